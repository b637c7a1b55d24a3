"""The security manager in the built image: Airflow's own webserver, a real PostgreSQL, over HTTP.

`--airflow VERSION` tries all of it on another version of Airflow (`nox -s security-manager-versions`).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rtbuild.engine.containers import Mount
from rtbuild.engine.engine import Engine
from rtbuild.settings import Settings
from rtbuild.workspace import Workspace
from tests.fakes.token_issuer import AUDIENCE, Issuer, jwk_site, silent_site
from tests.integration.airflow_versions import airflow_image
from tests.integration.guarded import (
    BAD_TOKENS,
    MARK,
    Keys,
    Runtime,
    assert_nothing_told,
    assert_refused,
    roles,
    series,
    shown_profile,
    target,
    user_news,
    users,
)
from tests.integration.servers import Server, free_port, postgresql
from tests.integration.webserver import Webserver, airflow_env, bearer, query, webserver

pytestmark = pytest.mark.integration

CONFIG = "/usr/local/airflow/webserver_config.py"
ORIGINAL = "/usr/local/share/astro-runtime-webserver_config.py"
"""The copy from which the entrypoint restores it."""


@pytest.fixture(scope="module")
def runtime(
    request: pytest.FixtureRequest,
    engine: Engine,
    workspace: Workspace,
    settings: Settings,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Runtime]:
    version = request.config.getoption("--airflow")
    if version is None:
        image = request.getfixturevalue("image")
        airflow = workspace.release("8.0").airflow
        assert airflow is not None
        yield Runtime(engine=engine, reference=image.reference, airflow=series(airflow))
        return
    folder = tmp_path_factory.mktemp("airflow") / "project"
    with airflow_image(version, real=workspace, settings=settings, engine=engine, folder=folder) as reference:
        yield Runtime(engine=engine, reference=reference, airflow=series(version))


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
def database(runtime: Runtime) -> Iterator[Server]:
    with postgresql() as server:
        runtime.run(["airflow", "db", "init"], airflow_env(server.url))
        yield server


@pytest.fixture(scope="module")
def read_only_config(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Mount:
    """The image's `webserver_config.py` mounted as docs/how-to/webserver-behind-a-platform.md says."""
    config = tmp_path_factory.mktemp("config") / "webserver_config.py"
    config.write_bytes(runtime.run(["cat", ORIGINAL], {}).stdout)
    config.chmod(0o666)  # its mode keeps nobody out, the mount does
    return Mount(source=config, target=CONFIG)


@pytest.fixture(scope="module")
def site(runtime: Runtime, database: Server, keys: Keys, read_only_config: Mount) -> Iterator[Webserver]:
    """A webserver that verifies with the PEM file, tells as much as it can, and cannot change its configuration."""
    env = airflow_env(
        database.url,
        AIRFLOW__ASTRONOMER__JWT_SIGNING_CERT="/keys/tls.crt",
        AIRFLOW__ASTRONOMER__JWT_AUDIENCE=AUDIENCE,
        AIRFLOW__LOGGING__LOGGING_LEVEL="DEBUG",
        AIRFLOW__LOGGING__FAB_LOGGING_LEVEL="DEBUG",
        **runtime.token_backend(),
    )
    with webserver(runtime.engine, runtime.reference, env, mounts=[keys.mount, read_only_config]) as running:
        yield running


@pytest.mark.parametrize(
    "change", [f"echo >> {CONFIG}", f"rm -f {CONFIG}", f"other=$(mktemp) && mv -f $other {CONFIG}"]
)
def test_a_mounted_webserver_config_cannot_be_changed(site: Webserver, change: str) -> None:
    """Neither by Airflow's user nor by root."""
    for user in ("astro", "root"):
        outcome = site.container.exec(["sh", "-c", f"exec 2>&1; {change}"], user=user)
        assert outcome.exit_code != 0
        assert re.search(r"Read-only file system|Device or resource busy", outcome.text), outcome.text
    assert site.container.exec(["cmp", CONFIG, ORIGINAL]).exit_code == 0


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


def test_clocks_may_differ_by_a_minute(site: Webserver, issuer: Issuer) -> None:
    now = int(time.time())
    assert site.get("/robots.txt", issuer.token("late", exp=now - 40)).status_code == 200
    assert site.get("/robots.txt", issuer.token("late", nbf=now + 50)).status_code == 200
    assert_refused(site.get("/robots.txt", issuer.token("late", exp=now - 61)))
    assert_refused(site.get("/robots.txt", issuer.token("late", nbf=now + 90)))


@pytest.mark.parametrize("header", ["", "Bearer", "Basic YWRtaW46YWRtaW4=", "Bearer a b", "Token x"])
def test_other_credentials_are_forbidden(site: Webserver, header: str) -> None:
    assert_refused(httpx2.get(f"{site.url}/home", headers={"Authorization": header}))


@pytest.mark.parametrize(
    "path", ["/", "/home", "/login/", "/logout/", "/nowhere", "/robots.txt", "/users/add", "/health/x"]
)
def test_without_a_token_nothing_is_shown(site: Webserver, path: str) -> None:
    assert_refused(site.get(path))
    assert_refused(httpx2.post(f"{site.url}{path}"))


def test_health_and_static_files_are_free(site: Webserver) -> None:
    health = site.get("/health")
    assert (health.status_code, health.json()["metadatabase"]["status"]) == (200, "healthy")
    assert site.get("/static/pin_32.png").status_code == 200
    assert site.get("/static/appbuilder/css/bootstrap.min.css").status_code == 200
    assert site.get("/health", "nonsense").status_code == 200
    assert httpx2.get(httpx2.URL(site.url).copy_with(raw_path=b"/static/../home")).status_code in (403, 404)
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
        url = httpx2.URL(site.url).copy_with(raw_path=b"//evil.example/%5c")
        answer = browser.get(url, headers=bearer(issuer.token("steered", roles=["User"])))
        assert answer.status_code in (302, 308)
        assert httpx2.URL(site.url).join(answer.headers["location"]).host == "127.0.0.1"


def test_permissions_are_those_of_the_requests_token(
    runtime: Runtime, database: Server, keys: Keys, issuer: Issuer
) -> None:
    """Whatever a request with another token of the same user made of the record meanwhile."""
    env = airflow_env(
        database.url,
        AIRFLOW__ASTRONOMER__JWT_SIGNING_CERT="/keys/tls.crt",
        AIRFLOW__ASTRONOMER__JWT_AUDIENCE=AUDIENCE,
        **runtime.token_backend(),
    )
    tokens = {role.lower(): issuer.token("twofold", roles=[role]) for role in ("Viewer", "Admin")}
    said = runtime.run(["python", "/inside/ask_permissions.py", json.dumps(tokens)], env, mounts=[keys.mount])
    told = json.loads(said.text.splitlines()[-1])
    for role, may_write in (("Viewer", False), ("Admin", True)):
        assert told[role.lower()] == {
            "roles": [role],
            "roles of current_user": [role],
            "permissions of roles": True,
            "writes variables": may_write,
            "perms": may_write,
            "edits the DAG": may_write,
            "readable DAGs": ["asked"],
            "editable DAGs": ["asked"] if may_write else [],
            "accessible DAGs": ["asked"],
            "all DAGs": True,
            "menu": ["DAG Runs", "Variables"] if may_write else ["DAG Runs"],
            "authorized": may_write,
        }


def test_two_tokens_of_one_user_at_once(site: Webserver, database: Server, issuer: Issuer) -> None:
    """16 clients, half of them with a Viewer's token and half with an Admin's, 2,000 requests: no wrong answer."""
    clients, requests = 16, 2000
    tokens = {role: issuer.token("both", roles=[role]) for role in ("Viewer", "Admin")}
    assert site.get("/home", tokens["Viewer"]).status_code == 200

    def wrong_answers(number: int) -> list[str]:
        role = ("Viewer", "Admin")[number % 2]
        admin = role == "Admin"
        found = []
        with httpx2.Client(base_url=site.url, headers=bearer(tokens[role]), timeout=120) as client:
            for turn in range(requests // clients):
                if turn % 25 == 0:
                    what, answer = "page", client.get("/variable/list/")
                    right = answer.status_code == 200 if admin else target(answer).startswith("/login/")
                elif turn % 25 == 12:
                    what, answer = "start page", client.get("/home")
                    right = answer.status_code == 200 and ("/variable/list/" in answer.text) == admin
                elif turn % 4 == 1:
                    what = "written variable"
                    answer = client.post("/api/v1/variables", json={"key": f"{role}-{number}-{turn}", "value": "1"})
                    right = answer.status_code == (200 if admin else 403)
                elif turn % 4 == 3:
                    what, answer = "DAGs", client.get("/api/v1/dags")
                    right = answer.status_code == 200
                else:
                    what, answer = "variables", client.get("/api/v1/variables?limit=1")
                    right = answer.status_code == (200 if admin else 403)
                if not right:
                    found.append(f"{role}: {what}: {answer.status_code} {answer.headers.get('location', '')}")
        return found

    with ThreadPoolExecutor(clients) as pool:
        wrong = [answer for answers in pool.map(wrong_answers, range(clients)) for answer in answers]
    assert wrong == []
    written = query(database, "delete from variable where key like 'Viewer-%' or key like 'Admin-%' returning key")
    assert [key for key in written if not key.startswith("Admin-")] == ["DELETE " + str(len(written) - 1)]
    assert len(written) > requests / 10
    assert roles(database, "both") in (["Admin"], ["Viewer"]), "one of them, not a mixture"


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
    with httpx2.Client(base_url=f"{site.url}/api/v1", headers=admin, timeout=60) as api:
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
    api = httpx2.post(f"{site.url}/api/v1/users", json={**user, "password": "p"}, headers=admin)
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


def test_a_database_that_does_not_answer(site: Webserver, database: Server, issuer: Issuer) -> None:
    other = replace(database, url=database.url.removesuffix("/postgres") + "/template1")
    query(other, "alter database postgres with allow_connections false")
    query(other, "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'postgres'")
    try:
        for path in ("/home", "/api/v1/dags"):
            answer = site.get(path, issuer.token("unlucky"))
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert "set-cookie" not in answer.headers
        assert_refused(site.get("/home", "nonsense"))
    finally:
        query(other, "alter database postgres with allow_connections true")
    assert site.get("/home", issuer.token("unlucky")).status_code == 200


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
    runtime: Runtime, database: Server, keys: Keys, issuer: Issuer
) -> None:
    """The JWK server is down, does not answer, comes up, gets other keys, and is down again."""
    port = free_port()
    env = airflow_env(
        database.url,
        AIRFLOW__ASTRONOMER__JWT_SIGNING_CERT="/keys/tls.crt",
        AIRFLOW__ASTRONOMER__JWT_AUDIENCE=AUDIENCE,
        AIRFLOW__ASTRONOMER__HOUSTON_JWK_URL=f"http://127.0.0.1:{port}/keys",
        AIRFLOW__ASTRONOMER__HOUSTON_URL_TIMEOUT="6",
        # Where Airflow has one of its own for sessions, it is the default
        **({} if runtime.airflow >= (2, 3) else runtime.token_backend()),
    )
    first, second = Issuer("ES256", kid="first"), Issuer("RS256", kid="second")
    with webserver(runtime.engine, runtime.reference, env, mounts=[keys.mount], workers=1) as site:

        def status(who: Issuer, **options: Any) -> int:
            return site.get("/robots.txt", who.token("rotating", **options)).status_code

        def until_good(who: Issuer) -> None:
            deadline = time.monotonic() + 120
            while status(who) != 200:
                assert time.monotonic() < deadline, site.container.logs()
                time.sleep(0.2)

        assert (status(issuer), status(first)) == (200, 403), "the server is down: the file counts"
        with silent_site(port) as silent:
            deadline, slowest = time.monotonic() + 120, 0.0
            while not silent.waited:
                assert time.monotonic() < deadline, site.container.logs()
                begun = time.monotonic()
                assert status(issuer) == 200
                slowest = max(slowest, time.monotonic() - begun)
                time.sleep(0.2)
        assert 5.5 < silent.waited[0] < 60, "houston_url_timeout"
        assert slowest < 5.5, "no request waits for a server that failed before"
        with jwk_site(port=port) as server:
            server.show_one(first)
            until_good(first)
            assert status(issuer) == 403, "beside a server that works, the file does not count"
            assert status(second) == 403
            server.show(first, second)
            assert status(second, headers={"kid": "first"}) == 403, "a signature of another key"
            # After ten seconds: such tokens may not cause more questions than that
            until_good(second)
            assert status(first) == 200
            server.show(second)
            asked, begun = server.asked, time.monotonic()
            assert {status(issuer, headers={"kid": f"unknown-{n}"}) for n in range(20)} == {403}
            assert server.asked <= asked + 1 + (time.monotonic() - begun) // 10
        assert status(second) == 200, "the server is down again: what it said counts for five minutes"
        assert_refused(site.get("/home", issuer.token("nobody")))
        assert_nothing_told(site)
        assert site.get("/api/v1/dags", second.token("rotating")).status_code == 200


def test_without_configuration_airflows_own_login_stays(runtime: Runtime, database: Server) -> None:
    said = runtime.run(["python", "/inside/ask_webserver.py"], airflow_env(database.url))
    assert json.loads(said.text.splitlines()[-1]) == {
        "manager": "AirflowSecurityManager",
        "status": {"/home": 302, "/login/": 200, "/api/v1/dags": 401},
        "login": True,
        "half": "[astronomer] jwt_audience is not set: a token for any other service would be let in",
    }


def test_a_volume_over_airflows_home_does_not_bring_back_the_login(
    runtime: Runtime, database: Server, keys: Keys
) -> None:
    """As docs/how-to/webserver-behind-a-platform.md says."""
    tokens = {
        "AIRFLOW__ASTRONOMER__JWT_SIGNING_CERT": "/keys/tls.crt",
        "AIRFLOW__ASTRONOMER__JWT_AUDIENCE": AUDIENCE,
    }
    env = airflow_env(database.url, **tokens)
    tells = 'python -c "from airflow.www.app import create_app; print(type(create_app().appbuilder.sm).__name__)"'
    hides = 'rm "$AIRFLOW_HOME/webserver_config.py"'
    volume = {"/usr/local/airflow": "mode=1777"}
    said = runtime.run(["sh", "-ec", f"{tells}; {hides}; {tells}"], env, tmpfs=volume)
    managers = [line for line in said.text.splitlines() if line.endswith("SecurityManager")]
    assert managers == ["TokenSecurityManager", "AirflowSecurityManager"]
    # Nor does a volume in which Airflow has been before tokens were configured
    later = " ".join(f"{name}={value}" for name, value in tokens.items())
    said = runtime.run(["sh", "-ec", f"{tells}; export {later}; {tells}"], airflow_env(database.url), tmpfs=volume)
    managers = [line for line in said.text.splitlines() if line.endswith("SecurityManager")]
    assert managers == ["AirflowSecurityManager", "TokenSecurityManager"]


def test_no_webserver_starts_where_the_configuration_cannot_be_put_back(
    runtime: Runtime, database: Server, tmp_path: Path
) -> None:
    said = runtime.engine.run(
        runtime.reference,
        ["airflow", "webserver"],
        env=airflow_env(database.url, AIRFLOW__ASTRONOMER__JWT_AUDIENCE=AUDIENCE),
        mounts=[Mount(source=tmp_path, target="/usr/local/airflow")],
        network="host",
        timeout=60,
    )
    assert said.exit_code == 1
    assert said.stderr.decode().startswith("error: tokens are configured, and /usr/local/airflow/webserver_config.py")


def test_nothing_of_a_token_is_in_the_logs(site: Webserver, issuer: Issuer) -> None:
    """The last one: the webserver has seen all of the above."""
    token = issuer.token("logged-subject", full_name="Logged Lovelace")
    assert site.get("/home", token).status_code == 200
    assert "DEBUG" in site.container.logs(), "all that can be told was told"
    assert_nothing_told(site, token)
    told = "\n".join(user_news(site))
    assert "Created user" in told
    assert "Roles of user" in told
