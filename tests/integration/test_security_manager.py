"""The security manager in the built image: Airflow's own webserver, a real PostgreSQL, over HTTP."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from rtbuild.engine import Mount
from tests.fakes.token_issuer import AUDIENCE, MISSING, Issuer, claims, forge, jwk_site
from tests.integration.conftest import BuiltImage
from tests.integration.servers import Server, free_port, postgresql
from tests.integration.webserver import Webserver, airflow_env, bearer, query, webserver

pytestmark = pytest.mark.integration

INSIDE = Mount(source=Path(__file__).parent / "inside", target="/inside")
NOW = int(time.time())
MARK = "mail.example"
"""The domain of every e-mail address in tokens: it must never be in a log."""


class Keys:
    """The PEM file that the webserver has mounted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "tls.crt"
        folder.chmod(0o755)

    def show(self, *issuers: Issuer) -> None:
        fresh = self.folder / "fresh"
        fresh.write_bytes(b"".join(issuer.pem for issuer in issuers))
        fresh.chmod(0o644)
        fresh.rename(self.file)


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer("RS256")


@pytest.fixture(scope="module")
def stranger() -> Issuer:
    return Issuer("RS256")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Keys:
    keys = Keys(tmp_path_factory.mktemp("keys"))
    keys.show(issuer)
    return keys


@pytest.fixture(scope="module")
def database(image: BuiltImage) -> Iterator[Server]:
    with postgresql() as server:
        made = image.engine.run(
            image.reference, ["airflow", "db", "init"], env=airflow_env(server.url), network="host", timeout=180
        )
        assert made.exit_code == 0, made.stderr.decode()
        yield server


@pytest.fixture(scope="module")
def site(image: BuiltImage, database: Server, keys: Keys) -> Iterator[Webserver]:
    """A webserver that verifies with the PEM file."""
    env = airflow_env(
        database.url,
        AIRFLOW__ASTRONOMER__JWT_SIGNING_CERT="/keys/tls.crt",
        AIRFLOW__ASTRONOMER__JWT_AUDIENCE=AUDIENCE,
        AIRFLOW__API__AUTH_BACKENDS="rtbuild_security_manager.api_auth",
    )
    mounts = [Mount(source=keys.folder, target="/keys")]
    with webserver(image.engine, image.reference, env, mounts=mounts) as running:
        yield running


def users(database: Server, name: str) -> list[str]:
    return query(database, f"select email, first_name, last_name from ab_user where username = '{name}'")


def roles(database: Server, name: str) -> list[str]:
    return query(
        database,
        "select r.name from ab_user u join ab_user_role ur on ur.user_id = u.id join ab_role r on r.id = ur.role_id "
        f"where u.username = '{name}' order by 1",
    )


def shown_profile(answer: httpx.Response) -> set[str]:
    """The e-mail addresses on a page."""
    return set(re.findall(rf"[a-z0-9-]+@{MARK}", answer.text))


def target(answer: httpx.Response) -> str:
    """Where on the server an answer redirects to."""
    url = answer.url.join(answer.headers["location"])
    assert (url.host, url.port) == (answer.url.host, answer.url.port)
    return url.raw_path.decode()


def assert_refused(answer: httpx.Response) -> None:
    assert answer.status_code == 403, answer.text
    assert answer.text == "Forbidden\n"
    assert "location" not in answer.headers
    assert "set-cookie" not in answer.headers


def test_a_good_token_creates_its_user(site: Webserver, database: Server, issuer: Issuer) -> None:
    answer = site.get("/home", issuer.token("first", roles=["User", "Op"]))
    assert answer.status_code == 200
    assert "DAGs - Airflow" in answer.text
    assert users(database, "first") == [f"first@{MARK}|Ada|King Lovelace"]
    assert roles(database, "first") == ["Op", "User"]


def test_a_later_token_updates_its_user(site: Webserver, database: Server, issuer: Issuer) -> None:
    assert site.get("/home", issuer.token("later")).status_code == 200
    changed = issuer.token("later", email=f"new@{MARK}", full_name="Grace Hopper")
    with site.browser() as browser:
        assert browser.get("/home", headers=bearer(changed)).status_code == 200
        assert users(database, "later") == [f"new@{MARK}|Grace|Hopper"]
        nameless = issuer.token("later", full_name=None)
        assert browser.get("/home", headers=bearer(nameless)).status_code == 200
        assert users(database, "later") == [f"later@{MARK}|later@{MARK}|"]


def test_a_certificate_will_do(site: Webserver, keys: Keys, issuer: Issuer) -> None:
    keys.file.write_bytes(issuer.certificate)
    try:
        assert site.get("/home", issuer.token("first")).status_code == 200
    finally:
        keys.show(issuer)


BAD_TOKENS: dict[str, Callable[[Issuer, Issuer], str]] = {
    "expired": lambda good, _: good.token("nobody", exp=NOW - 3600),
    "not yet valid": lambda good, _: good.token("nobody", nbf=NOW + 3600, exp=NOW + 7200),
    "wrong audience": lambda good, _: good.token("nobody", aud="other.example"),
    "wrong key": lambda _, other: other.token("nobody"),
    "wrong algorithm": lambda good, _: jwt.encode(claims("nobody"), good.key, algorithm="RS512"),
    "alg none": lambda *_: forge({"alg": "none"}, claims("nobody"), b""),
    "alg none with a signature": lambda *_: forge({"alg": "none"}, claims("nobody"), b"x"),
    "public key as a shared secret": lambda good, _: hmac_token(good),
    "changed": lambda good, _: changed_token(good),
    "bad role": lambda good, _: good.token("nobody", roles=["SuperAdmin"]),
    "bad role beside a good one": lambda good, _: good.token("nobody", roles=["Viewer", "SuperAdmin"]),
    "roles that are no list": lambda good, _: good.token("nobody", roles="Admin"),
    "no roles": lambda good, _: good.token("nobody", roles=[]),
    "sub too long": lambda good, _: good.token("n" * 600),
    "nonsense": lambda *_: "nonsense",
    **{
        f"without {name}": lambda good, _, name=name: good.token("nobody", **{name: MISSING})  # type: ignore[misc]
        for name in ("sub", "email", "full_name", "roles", "exp", "nbf", "aud")
    },
}


def hmac_token(issuer: Issuer) -> str:
    header = {"alg": "HS256", "typ": "JWT"}
    signed = forge(header, claims("nobody", roles=["Admin"]), b"").rstrip(".")
    return forge(
        header, claims("nobody", roles=["Admin"]), hmac.new(issuer.pem, signed.encode(), hashlib.sha256).digest()
    )


def changed_token(issuer: Issuer) -> str:
    head, _, tail = issuer.token("nobody").split(".")
    return ".".join([head, issuer.token("nobody", roles=["Admin"]).split(".")[1], tail])


@pytest.mark.parametrize("title", BAD_TOKENS)
def test_anything_else_is_forbidden(
    title: str, site: Webserver, database: Server, issuer: Issuer, stranger: Issuer
) -> None:
    token = BAD_TOKENS[title](issuer, stranger)
    assert_refused(site.get("/home", token))
    with site.browser() as browser:
        # Nor does a session that somebody has help
        assert browser.get("/home", headers=bearer(issuer.token("first", roles=["User", "Op"]))).status_code == 200
        assert_refused(browser.get("/home", headers=bearer(token)))
        assert_refused(browser.get("/home"))
    assert site.get("/api/v1/dags", token).status_code == 403
    assert query(database, "select 1 from ab_user where username like 'n%' or username = 'None'") == []


@pytest.mark.parametrize("header", ["", "Bearer", "Basic YWRtaW46YWRtaW4=", "Bearer a b", "Token x"])
def test_other_credentials_are_forbidden(site: Webserver, header: str) -> None:
    assert_refused(httpx.get(f"{site.url}/home", headers={"Authorization": header}))


@pytest.mark.parametrize(
    "path", ["/", "/home", "/login/", "/logout/", "/nowhere", "/robots.txt", "/users/add", "/health/x"]
)
def test_without_a_token_nothing_is_shown(site: Webserver, path: str) -> None:
    assert_refused(site.get(path))
    assert_refused(httpx.post(f"{site.url}{path}"))


def test_health_and_static_files_are_free(site: Webserver) -> None:
    health = site.get("/health")
    assert (health.status_code, health.json()["metadatabase"]["status"]) == (200, "healthy")
    assert site.get("/static/pin_32.png").status_code == 200
    assert site.get("/static/appbuilder/css/bootstrap.min.css").status_code == 200
    assert site.get("/health", "nonsense").status_code == 200
    assert httpx.get(httpx.URL(site.url).copy_with(raw_path=b"/static/../home")).status_code in (403, 404)
    assert site.get("/static/nowhere").status_code == 404


def test_a_change_of_roles_ends_the_session_and_redirects(site: Webserver, database: Server, issuer: Issuer) -> None:
    viewer, op = issuer.token("changing"), issuer.token("changing", roles=["Op"])
    with site.browser() as browser:
        assert browser.get("/home", headers=bearer(viewer)).status_code == 200
        before = browser.cookies["session"]
        assert target(browser.get("/variable/list/", headers=bearer(viewer))).startswith("/login/")
        page = "/variable/list/?_flt_0_key=a%20b"
        answer = browser.get(page, headers=bearer(op))
        assert (answer.status_code, target(answer)) == (302, page)
        assert "session" not in browser.cookies
        assert roles(database, "changing") == ["Op"]
        assert browser.get(page, headers=bearer(op)).status_code == 200
        assert browser.cookies["session"] != before
        # The other way round, and from another window with the session of before
        assert browser.get("/home", headers=bearer(viewer)).status_code == 302
        assert browser.get("/home", headers=bearer(viewer)).status_code == 200
        assert target(browser.get("/variable/list/", headers=bearer(viewer))).startswith("/login/")
    assert roles(database, "changing") == ["Viewer"]


def test_what_was_sent_with_other_roles_is_not_done(site: Webserver, database: Server, issuer: Issuer) -> None:
    with site.browser() as browser:
        op, admin = issuer.token("sender", roles=["Op"]), issuer.token("sender", roles=["Admin"])
        form = browser.get("/variable/add", headers=bearer(op))
        (csrf,) = re.findall(r'name="csrf_token" type="hidden" value="([^"]+)"', form.text)[:1]
        sent = {"key": "sent", "val": "1", "csrf_token": csrf}
        answer = browser.post("/variable/add", data=sent, headers=bearer(admin))
        assert (answer.status_code, target(answer)) == (303, "/")
        assert query(database, "select key from variable") == []


def test_a_redirect_stays_on_the_server(site: Webserver, issuer: Issuer) -> None:
    with site.browser() as browser:
        assert browser.get("/home", headers=bearer(issuer.token("steered"))).status_code == 200
        url = httpx.URL(site.url).copy_with(raw_path=b"//evil.example/%5c")
        answer = browser.get(url, headers=bearer(issuer.token("steered", roles=["User"])))
        assert answer.status_code in (302, 308)
        assert httpx.URL(site.url).join(answer.headers["location"]).host == "127.0.0.1"


def test_one_users_token_on_another_ones_cookie(site: Webserver, issuer: Issuer) -> None:
    ada, bob = issuer.token("ada", roles=["Admin"]), issuer.token("bob", roles=["Viewer"])
    with site.browser() as browser:
        assert shown_profile(browser.get("/users/userinfo/", headers=bearer(ada))) == {f"ada@{MARK}"}
        answer = browser.get("/users/userinfo/", headers=bearer(bob))
        assert (answer.status_code, shown_profile(answer)) == (200, {f"bob@{MARK}"})
        assert target(browser.get("/users/list/", headers=bearer(bob))).startswith("/login/")
        assert shown_profile(browser.get("/users/userinfo/", headers=bearer(ada))) == {f"ada@{MARK}"}


def test_a_session_of_somebody_else_cannot_send_forms(site: Webserver, database: Server, issuer: Issuer) -> None:
    with site.browser() as browser:
        form = browser.get("/variable/add", headers=bearer(issuer.token("ada", roles=["Admin"])))
        (csrf,) = re.findall(r'name="csrf_token" type="hidden" value="([^"]+)"', form.text)[:1]
        sent = {"key": "foreign", "val": "1", "csrf_token": csrf}
        other = bearer(issuer.token("mallory", roles=["Op"]))
        assert browser.post("/variable/add", data=sent, headers=other).status_code == 400
    assert query(database, "select key from variable") == []


def test_fifty_first_requests_at_once_create_one_user(site: Webserver, database: Server, issuer: Issuer) -> None:
    token = issuer.token("many", roles=["User", "Op"])
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda n: site.get(("/home", "/api/v1/dags")[n % 2], token).status_code, range(50)))
    assert answers == [200] * 50
    assert users(database, "many") == [f"many@{MARK}|Ada|King Lovelace"]
    assert roles(database, "many") == ["Op", "User"]
    # And so do as many changes of its roles
    token = issuer.token("many", roles=["Viewer"])
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: site.get("/api/v1/dags", token).status_code, range(50)))
    assert answers == [200] * 50
    assert roles(database, "many") == ["Viewer"]


def test_the_pem_key_rotates_without_a_restart(site: Webserver, keys: Keys, issuer: Issuer, stranger: Issuer) -> None:
    old, new = issuer.token("rotating"), stranger.token("rotating")

    def statuses(token: str) -> set[int]:
        with ThreadPoolExecutor(8) as pool:  # so that both processes are asked
            return set(pool.map(lambda _: site.get("/robots.txt", token).status_code, range(16)))

    try:
        assert (statuses(old), statuses(new)) == ({200}, {403})
        keys.show(issuer, stranger)
        assert (statuses(old), statuses(new)) == ({200}, {200})
        keys.show(stranger)
        assert (statuses(old), statuses(new)) == ({403}, {200})
        keys.file.write_bytes(b"")
        assert (statuses(old), statuses(new)) == ({403}, {403})
    finally:
        keys.show(issuer)
    assert statuses(old) == {200}


def test_the_rest_api_takes_tokens(site: Webserver, issuer: Issuer) -> None:
    answer = site.get("/api/v1/dags", issuer.token("machine"))
    assert (answer.status_code, answer.json()["total_entries"]) == (200, 0)
    assert "set-cookie" not in answer.headers
    denied = site.get("/api/v1/variables", issuer.token("machine"))
    assert (denied.status_code, denied.json()["title"]) == (403, "Forbidden")
    assert site.get("/api/v1/variables", issuer.token("machine", roles=["Op"])).status_code == 200
    assert site.get("/api/v1/variables", issuer.token("machine")).status_code == 403


@pytest.mark.parametrize("path", ["/api/v1/dags", "/api/v1/health", "/api/v1/nowhere"])
def test_the_rest_api_asks_for_a_token(site: Webserver, issuer: Issuer, path: str) -> None:
    with site.browser() as browser:
        assert browser.get("/home", headers=bearer(issuer.token("machine"))).status_code == 200
        assert "session" in browser.cookies
        for answer in (site.get(path), browser.get(path)):
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == 401


def test_a_custom_role_is_kept(site: Webserver, database: Server, issuer: Issuer) -> None:
    admin = bearer(issuer.token("boss", roles=["Admin"]))
    # Airflow itself logs the name of a user that is edited
    assert site.get("/home", issuer.token("worker", full_name="Busy Bee")).status_code == 200
    with httpx.Client(base_url=f"{site.url}/api/v1", headers=admin, timeout=60) as api:
        assert api.post("/roles", json={"name": "Finance", "actions": []}).status_code == 200
        given = {
            **{
                name: api.get("/users/worker").json()[name] for name in ("username", "email", "first_name", "last_name")
            },
            "roles": [{"name": "Finance"}, {"name": "Admin"}],
        }
        assert api.patch("/users/worker", json=given).status_code == 200
        assert roles(database, "worker") == ["Admin", "Finance"]
    assert target(site.get("/users/list/", issuer.token("worker"))).startswith("/login/")
    assert roles(database, "worker") == ["Finance", "Viewer"], "what an administrator gave of Airflow's own is gone"
    assert site.get("/home", issuer.token("worker", roles=["Op", "User"])).status_code == 200
    assert roles(database, "worker") == ["Finance", "Op", "User"]


def test_nobody_creates_users_by_hand(site: Webserver, database: Server, issuer: Issuer) -> None:
    admin = bearer(issuer.token("boss", roles=["Admin"]))
    user = {"username": "made", "email": "made@by.hand", "first_name": "Made", "last_name": "By Hand"}
    with site.browser() as browser:
        listed = browser.get("/users/list/", headers=admin)
        assert listed.status_code == 200
        assert "/users/add" not in listed.text
        assert browser.get("/users/add", headers=admin).status_code == 403
        form = browser.get("/variable/add", headers=admin)
        (csrf,) = re.findall(r'name="csrf_token" type="hidden" value="([^"]+)"', form.text)[:1]
        sent = {**user, "active": "y", "roles": "1", "csrf_token": csrf}
        assert browser.post("/users/add", data=sent, headers=admin).status_code == 403
    api = httpx.post(f"{site.url}/api/v1/users", json={**user, "password": "p"}, headers=admin)
    assert api.status_code == 403
    assert users(database, "made") == []


def test_a_deactivated_user_stays_out(site: Webserver, database: Server, issuer: Issuer) -> None:
    assert site.get("/home", issuer.token("leaver")).status_code == 200
    query(database, "update ab_user set active = false where username = 'leaver'")
    assert_refused(site.get("/home", issuer.token("leaver")))
    assert roles(database, "leaver") == ["Viewer"]


def test_nobody_takes_over_an_account(site: Webserver, database: Server, issuer: Issuer) -> None:
    assert site.get("/home", issuer.token("owner", roles=["Admin"])).status_code == 200
    assert_refused(site.get("/home", issuer.token("OWNER", email=f"other@{MARK}", roles=["Viewer"])))
    assert_refused(site.get("/home", issuer.token("thief", email=f"owner@{MARK}")))
    assert roles(database, "owner") == ["Admin"]
    assert query(database, "select username from ab_user where lower(username) in ('owner', 'thief')") == ["owner"]


@pytest.mark.parametrize("role", ["Op", "User", "Viewer"])
def test_everybody_sees_their_own_profile(site: Webserver, issuer: Issuer, role: str) -> None:
    name = f"profile-{role.lower()}"
    assert shown_profile(site.get("/users/userinfo/", issuer.token(name, roles=[role]))) == {f"{name}@{MARK}"}
    assert target(site.get("/users/list/", issuer.token(name, roles=[role]))).startswith("/login/"), "but nobody else's"


def test_a_page_that_is_denied_leads_to_the_start_page(site: Webserver, issuer: Issuer) -> None:
    with site.browser() as browser:
        answer = browser.get("/users/list/", headers=bearer(issuer.token("curious")), follow_redirects=True)
        assert (answer.status_code, answer.url.path) == (200, "/home")
        assert "Access is Denied" in answer.text
        assert [step.url.path for step in answer.history] == ["/users/list/", "/login/", "/"]
        for path in ("/home", "/users/list/"):
            denied = browser.get(path, headers=bearer(issuer.token("guest", roles=["Public"])), follow_redirects=True)
            assert denied.status_code == 403


def test_keys_of_a_server_with_the_file_behind_it(
    image: BuiltImage, database: Server, keys: Keys, issuer: Issuer
) -> None:
    """The JWK server is down, comes up, and gets other keys."""
    port = free_port()
    env = airflow_env(
        database.url,
        AIRFLOW__ASTRONOMER__JWT_SIGNING_CERT="/keys/tls.crt",
        AIRFLOW__ASTRONOMER__JWT_AUDIENCE=AUDIENCE,
        AIRFLOW__ASTRONOMER__HOUSTON_JWK_URL=f"http://127.0.0.1:{port}/keys",
        AIRFLOW__ASTRONOMER__HOUSTON_URL_TIMEOUT="2",
    )
    first, second = Issuer("ES256", kid="first"), Issuer("RS256", kid="second")
    mounts = [Mount(source=keys.folder, target="/keys")]
    with webserver(image.engine, image.reference, env, mounts=mounts, workers=1) as site:

        def status(who: Issuer, **options: Any) -> int:
            return site.get("/home", who.token("rotating", **options)).status_code

        assert (status(issuer), status(first)) == (200, 403), "the server is down: the file counts"
        with jwk_site([first], port=port) as server:
            deadline = time.monotonic() + 30
            while status(first) != 200:
                assert time.monotonic() < deadline, site.container.logs()
                time.sleep(0.5)
            assert status(issuer) == 403, "beside a server that works, the file does not count"
            assert status(second) == 403
            server.show(first, second)
            assert status(second, headers={"kid": "first"}) == 403, "a signature of another key"
            time.sleep(11)  # such tokens may not cause more questions than one in ten seconds
            assert status(second) == 200
            assert status(first) == 200
            server.show(second)
            asked = server.asked
            assert {status(issuer, headers={"kid": f"unknown-{n}"}) for n in range(20)} == {403}
            assert server.asked <= asked + 1
        assert status(second) == 200, "the server is down again: what it said counts for five minutes"
        assert_nothing_told(site)
        assert site.get("/api/v1/dags", second.token("rotating")).status_code == 200, "Airflow's session backend"


def test_without_configuration_airflows_own_login_stays(image: BuiltImage, database: Server) -> None:
    said = image.engine.run(
        image.reference,
        ["python", "/inside/ask_webserver.py"],
        env=airflow_env(database.url),
        mounts=[INSIDE],
        network="host",
        timeout=300,
    )
    assert said.exit_code == 0, said.stderr.decode()
    assert json.loads(said.text.splitlines()[-1]) == {
        "manager": "AirflowSecurityManager",
        "status": {"/home": 302, "/login/": 200, "/api/v1/dags": 401},
        "login": True,
        "half": "[astronomer] jwt_audience is not set: a token for any other service would be let in",
    }


def test_nothing_of_a_token_is_in_the_logs(site: Webserver, issuer: Issuer) -> None:
    """The last one: the webserver has seen all of the above."""
    token = issuer.token("logged-subject", full_name="Logged Lovelace")
    assert site.get("/home", token).status_code == 200
    assert_nothing_told(site, token)


def assert_nothing_told(site: Webserver, *tokens: str) -> None:
    logs = site.container.logs()
    assert "Refused GET '/home'" in logs
    for word in (MARK, "Lovelace", "logged-subject", "eyJ", *tokens):
        assert word not in logs
