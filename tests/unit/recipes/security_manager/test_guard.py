"""What happens before each request, in a small Flask application with flask-login's sessions."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask, g, jsonify, session
from flask.testing import FlaskClient
from flask_login import LoginManager, current_user
from rtbuild_security_manager.accounts import Accounts
from rtbuild_security_manager.errors import Refused
from rtbuild_security_manager.guard import Guard, forbidden, user_of_session
from rtbuild_security_manager.tokens import Identity
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from tests.unit.recipes.security_manager.database import Database, Role, User

# Werkzeug of the image is older than the Python that runs the tests, and makes the `ast` module warn.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

ADA = Identity(subject="ada", email="ada@mail.example", first_name="Ada", last_name="King", roles=frozenset({"Viewer"}))
BOB = replace(ADA, subject="bob", email="bob@mail.example", first_name="Bob")


class Tokens:
    """Verifies nothing: the header has the name of an identity."""

    def __init__(self) -> None:
        self.known = {
            "ada": ADA,
            "ada-admin": replace(ADA, roles=frozenset({"Admin"})),
            "ada-both": replace(ADA, roles=frozenset({"Op", "User"})),
            "bob": BOB,
        }

    def identity(self, authorization: str | None) -> Identity:
        if authorization not in self.known:
            raise Refused("the token is bad")
        return self.known[authorization]


class Site:
    """The application; `seen` has what its pages saw, `failing` lets the database fail."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.failing = False
        self.transactions: list[bool] = []
        self.session: Any = database.make_session()
        self.asked_permissions: list[list[int]] = []
        here = str(Path(__file__).parent)
        self.app = Flask("airflow", root_path=here, instance_path=here, static_folder=here, static_url_path="/static")
        self.app.config.update(SECRET_KEY="a secret of these tests", TESTING=True)
        manager = LoginManager(self.app)
        manager.user_loader(user_of_session)
        self.app.before_request(
            Guard(Tokens(), accounts=self.accounts, find_permissions=self.permissions, index=lambda: "/start")
        )
        self.app.teardown_request(self.end)
        self.app.add_url_rule("/page", view_func=self.page, methods=["GET", "POST"])
        self.app.add_url_rule("/page/<path:rest>", view_func=self.page)
        self.app.add_url_rule("/api/v1/dags", view_func=self.page, endpoint="api")
        self.app.add_url_rule("/kept", view_func=self.kept)
        self.app.add_url_rule("/fresh.static", view_func=self.page, endpoint="view.static")
        airflow = Blueprint("Airflow", "airflow", root_path=here)
        airflow.add_url_rule("/health", view_func=self.health)
        self.app.register_blueprint(airflow)

    def accounts(self) -> Accounts:
        if self.failing:
            self.session.close()
            self.session.query = self.fail
        return Accounts(self.session, user_model=User, role_model=Role)

    def end(self, _error: BaseException | None) -> None:
        self.transactions.append(self.session.in_transaction())
        self.session.close()

    def fail(self, *_args: Any) -> Any:
        self.session.execute(text("select 1"))
        raise OperationalError("select ada@mail.example", {}, Exception("no connection"))

    def permissions(self, role_ids: list[int]) -> list[tuple[str, str]]:
        self.asked_permissions.append(role_ids)
        return [("can_read", str(role_id)) for role_id in role_ids]

    def page(self, rest: str = "") -> Any:
        """What a page sees of its user, after the record was given other roles."""
        self.database.give("Op", user=g.user.username)
        self.session.expire_all()
        return jsonify(
            name=g.user.username,
            full_name=repr(g.user),
            roles=[role.name for role in g.user.roles],
            current=[role.name for role in current_user.roles],
            same=current_user._get_current_object() is g.user,
            perms=sorted(g.user.perms),
        )

    def kept(self) -> Any:
        """Keeps how often this session was here."""
        session["count"] = session.get("count", 0) + 1
        return jsonify(session["count"])

    def health(self) -> Any:
        return jsonify(anonymous=g.user.is_anonymous, current=current_user.is_anonymous)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(Database(tmp_path / "airflow.db"))


@pytest.fixture
def browser(site: Site) -> Iterator[FlaskClient]:
    with site.app.test_client() as client:
        yield client


def bearer(token: str) -> dict[str, dict[str, str]]:
    return {"headers": {"Authorization": token}}


def test_the_roles_are_the_tokens_whatever_the_record_says(site: Site, browser: FlaskClient) -> None:
    with site.database.session() as session:
        ids = {role.name: role.id for role in session.query(Role)}
    for path in ("/page", "/api/v1/dags"):
        for token, role in (("ada", "Viewer"), ("ada-admin", "Admin"), ("ada", "Viewer")):
            seen = site.app.test_client().get(path, **bearer(token)).get_json()
            assert seen == {
                "name": "ada",
                "full_name": "Ada King",
                "roles": [role],
                "current": [role],
                "same": True,
                "perms": [["can_read", str(ids[role])]],
            }
    assert site.database.roles() == ["Op"]


def test_the_roles_are_the_tokens_even_if_the_record_changes_at_once(site: Site, browser: FlaskClient) -> None:
    assert browser.get("/kept", **bearer("ada-admin")).get_json() == 1
    event.listen(site.session, "after_commit", lambda _: site.database.give("Finance", "Op"))
    assert site.app.test_client().get("/page", **bearer("ada")).get_json()["roles"] == ["Viewer"]


def test_permissions_are_asked_for_once_and_only_if_wanted(site: Site, browser: FlaskClient) -> None:
    with site.app.test_request_context("/page", **bearer("ada-both")):
        assert site.app.preprocess_request() is None
        assert site.asked_permissions == []
        assert len(g.user.perms) == 2
        assert g.user.perms is g.user.perms
        assert len(site.asked_permissions) == 1


def test_a_custom_role_counts_beside_the_tokens(site: Site, browser: FlaskClient) -> None:
    browser.get("/kept", **bearer("ada"))
    site.database.give("Admin", "Finance")
    assert sorted(browser.get("/page", **bearer("ada")).get_json()["roles"]) == ["Finance", "Viewer"]


def test_a_user_has_nothing_that_is_not_copied(site: Site) -> None:
    with site.app.test_request_context("/page", **bearer("ada")):
        assert site.app.preprocess_request() is None
        user = g.user
        assert (user.email, user.active, user.is_active, user.login_count) == ("ada@mail.example", True, True, 1)
        assert (user.is_authenticated, user.is_anonymous) == (True, False)
        assert user.get_id() == str(user.id)
        assert not hasattr(user, "password")
        site.session.close()
        assert user.get_full_name() == "Ada King", "without the database"


def test_a_session_goes_on_with_its_roles(site: Site, browser: FlaskClient) -> None:
    counts = [browser.get("/kept", **bearer("ada")).get_json() for _ in range(3)]
    assert counts == [1, 2, 3]
    with site.database.session() as session:
        assert session.query(User).one().login_count == 1, "created, and no other login"
    # Whatever becomes of the record meanwhile, and whatever another token does
    site.database.give("Admin")
    assert site.app.test_client().get("/kept", **bearer("ada-admin")).get_json() == 1
    assert browser.get("/kept", **bearer("ada")).get_json() == 4
    assert site.database.roles() == ["Viewer"]
    with site.database.session() as session:
        assert session.query(User).one().login_count == 2


def test_a_session_with_other_roles_ends(site: Site, browser: FlaskClient) -> None:
    assert browser.get("/kept", **bearer("ada")).get_json() == 1
    answer = browser.get("/kept?a=b%20c", **bearer("ada-admin"))
    assert (answer.status_code, answer.headers["Location"]) == (302, "/kept?a=b%20c")
    assert answer.headers["Set-Cookie"].startswith("session=; Expires=Thu, 01 Jan 1970")
    assert browser.get("/kept", **bearer("ada-admin")).get_json() == 1, "a session of its own"
    assert browser.get("/page", **bearer("ada-admin")).get_json()["roles"] == ["Admin"]
    answer = browser.get("/kept", **bearer("ada"))
    assert answer.status_code == 302, "and the other way round"
    assert browser.get("/kept", **bearer("ada")).get_json() == 1


def test_what_was_sent_with_other_roles_is_not_done(site: Site, browser: FlaskClient) -> None:
    assert browser.get("/kept", **bearer("ada")).get_json() == 1
    answer = browser.post("/page", **bearer("ada-admin"))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/start")
    assert site.asked_permissions == []
    assert browser.post("/page", **bearer("ada-admin")).get_json()["roles"] == ["Admin"]


@pytest.mark.parametrize("path", ["//evil.example/x", "/\\evil.example/x"])
def test_a_redirect_stays_on_the_server(browser: FlaskClient, path: str) -> None:
    browser.get("/kept", **bearer("ada"))
    answer = browser.get("/", **bearer("ada-admin"), environ_overrides={"PATH_INFO": path})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/evil.example/x")


def test_the_rest_api_does_not_end_sessions(browser: FlaskClient) -> None:
    assert browser.get("/kept", **bearer("ada")).get_json() == 1
    seen = browser.get("/api/v1/dags", **bearer("ada-admin")).get_json()
    assert (seen["roles"], seen["current"], seen["same"]) == (["Admin"], ["Admin"], True)


def test_the_rest_api_is_no_login(site: Site, browser: FlaskClient) -> None:
    for _ in range(3):
        assert site.app.test_client().get("/api/v1/dags", **bearer("ada")).status_code == 200
    with site.database.session() as session:
        assert session.query(User).one().login_count == 1
    assert site.app.test_client().get("/page", **bearer("ada")).status_code == 200
    with site.database.session() as session:
        assert session.query(User).one().login_count == 2


def test_a_session_of_somebody_else_ends(site: Site, browser: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    assert browser.get("/kept", **bearer("ada")).get_json() == 1
    with browser.session_transaction() as kept:
        kept.permanent = True
    assert browser.get("/kept", **bearer("bob")).get_json() == 1, "nothing of it is left"
    assert caplog.messages == ["A session of user 1 came with a token of somebody else, and has ended"]
    with browser.session_transaction() as kept:
        assert kept.permanent
    assert browser.get("/page", **bearer("bob")).get_json()["name"] == "bob"
    assert browser.get("/kept", **bearer("ada")).get_json() == 1


@pytest.mark.parametrize("forged", [{}, {"token_user": 2}, {"token_user": None}, {"token_roles": ["Viewer"]}], ids=str)
def test_a_session_that_no_token_began_ends(browser: FlaskClient, forged: dict[str, Any]) -> None:
    """One from before tokens were configured, for example."""
    assert browser.get("/kept", **bearer("bob")).get_json() == 1
    with browser.session_transaction() as kept:
        kept.clear()
        kept.update({"_user_id": "1", "_fresh": True, "count": 100, **forged})
    assert browser.get("/kept", **bearer("bob")).get_json() == 1
    assert browser.get("/page", **bearer("bob")).get_json()["name"] == "bob"


def test_flask_logins_session_is_mended_if_it_is_broken(browser: FlaskClient) -> None:
    assert browser.get("/kept", **bearer("ada")).get_json() == 1
    for user_id in ("7", None):
        with browser.session_transaction() as kept:
            kept["_user_id"] = user_id
        seen = browser.get("/page", **bearer("ada")).get_json()
        assert (seen["current"], seen["same"]) == (["Viewer"], True)
        with browser.session_transaction() as kept:
            assert kept["_user_id"] == "1"
    assert browser.get("/kept", **bearer("ada")).get_json() == 2, "the session goes on"


def test_a_session_alone_lets_nobody_in(site: Site, browser: FlaskClient) -> None:
    assert browser.get("/kept", **bearer("ada-admin")).get_json() == 1
    with browser.session_transaction() as kept:
        kept.permanent = True  # as Airflow's are: Flask sends them anew with each answer
    for answer in (browser.get("/page"), browser.get("/page", **bearer("nonsense")), browser.get("/nowhere")):
        assert (answer.status_code, answer.get_data(), answer.mimetype) == (403, b"Forbidden\n", "text/plain")
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Set-Cookie" not in answer.headers
    answer = browser.get("/api/v1/dags")
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert (answer.mimetype, answer.get_json()["title"]) == ("application/problem+json", "Unauthorized")
    answer = browser.get("/api/v1/dags", **bearer("nonsense"))
    assert (answer.status_code, answer.get_json()["title"]) == (403, "Forbidden")
    assert site.asked_permissions == []


def test_health_and_static_files_are_free_and_nobodys(browser: FlaskClient) -> None:
    assert browser.get("/kept", **bearer("ada-admin")).get_json() == 1
    for options in ({}, bearer("nonsense"), bearer("ada")):
        assert browser.get("/health", **options).get_json() == {"anonymous": True, "current": True}
    with browser.get("/static/database.py") as answer:
        assert answer.status_code == 200
    assert browser.get("/fresh.static").status_code == 403, "a view that is only called so"


def test_a_deactivated_user_stays_out(site: Site, browser: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    assert browser.get("/kept", **bearer("ada")).get_json() == 1
    with site.database.session() as session:
        session.query(User).one().active = False
    assert browser.get("/kept", **bearer("ada")).status_code == 403
    assert caplog.messages == ["Refused GET '/kept': the user was deactivated by an administrator"]


def test_a_database_that_does_not_answer(site: Site, browser: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    site.failing = True
    for path in ("/kept", "/api/v1/dags"):
        answer = browser.get(path, **bearer("ada"))
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert "Set-Cookie" not in answer.headers
    assert caplog.messages == ["The user cannot be looked up: OperationalError from the database"] * 2
    assert not any(site.transactions), "nothing of it is left for whoever uses the session next"
    assert browser.get("/kept", **bearer("nonsense")).status_code == 403


def test_nothing_of_a_token_is_logged(browser: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="rtbuild_security_manager"):
        for token in ("ada", "ada-admin", "bob", "nonsense"):
            browser.get("/kept", **bearer(token))
    assert "Created user" in caplog.text
    for word in ("ada", "King", "mail.example", "Admin", "Viewer", "nonsense"):
        assert word not in caplog.text


def test_the_answer_to_who_is_not_let_in(site: Site) -> None:
    with site.app.test_request_context("/page"):
        assert forbidden().status_code == 403
        assert user_of_session(1) is None
