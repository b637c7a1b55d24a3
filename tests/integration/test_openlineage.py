"""OpenLineage and the deferrable operators of astronomer-providers, as they are in the built image."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from rtbuild.engine.containers import Mount
from tests.fakes.serving import serving
from tests.integration.conftest import BuiltImage
from tests.integration.deployment import SCHEDULER, TRIGGERER, Deployment, local_environment
from tests.integration.servers import postgresql

pytestmark = [pytest.mark.integration, pytest.mark.large]

INSIDE = Path(__file__).parent / "inside"
DAGS = "/usr/local/airflow/dags"

# What modules of astronomer-providers need of providers that 8.0.0 does not have.
NOT_IN_RELEASE = ("airflow.providers.", "asyncssh", "impala", "snowflake")


class Service:
    """Receives lineage, and gets ready at the third time of asking."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.asked = 0


@contextmanager
def service() -> Iterator[tuple[Service, str]]:
    """A service on the loopback interface, and its address."""
    state = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked += 1
            self.send_response(404 if state.asked < 3 else 200)
            self.end_headers()

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/api/v1/lineage":
                state.events.append(json.loads(content))
            self.send_response(201)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with serving(server):
        yield state, f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize(
    ("environment", "place", "listens"),
    [
        ({}, None, False),
        ({"OPENLINEAGE_URL": ""}, None, False),
        ({"OPENLINEAGE_URL": "http://127.0.0.1:1"}, None, True),
        ({"MARQUEZ_URL": "http://127.0.0.1:1"}, None, True),
        ({"OPENLINEAGE_CONFIG": "/tmp/lineage.yml"}, None, True),
        ({}, "/usr/local/airflow/openlineage.yml", True),
        ({}, "/home/astro/.openlineage/openlineage.yml", True),
        ({"OPENLINEAGE_DISABLED": "false"}, None, True),
        ({"OPENLINEAGE_DISABLED": "True", "OPENLINEAGE_URL": "http://127.0.0.1:1"}, None, False),
    ],
)
def test_the_plugin_is_loaded_and_listens_where_it_is_told_to_whom(
    image: BuiltImage, tmp_path: Path, environment: dict[str, str], place: str | None, listens: bool
) -> None:
    file = tmp_path / "openlineage.yml"
    file.write_text("transport:\n  type: console\n")
    mounts = [Mount(source=file, target=place)] if place else []
    code = "from openlineage.airflow.plugin import OpenLineagePlugin as p; print(list(vars(p)))"
    outcome = image.engine.run(
        image.reference, ["python", "-c", code], env=environment, mounts=mounts, entrypoint=[], timeout=120
    )
    assert outcome.exit_code == 0, outcome.stderr.decode()
    parts = outcome.text.splitlines()[-1]
    assert ("'listeners'" in parts, "'macros'" in parts) == (listens, True)


def test_airflow_knows_the_plugin(image: BuiltImage) -> None:
    asked = {"OPENLINEAGE_URL": "http://127.0.0.1:1"}
    outcome = image.engine.run(image.reference, ["airflow", "plugins", "-o", "json"], env=asked, timeout=120)
    assert outcome.exit_code == 0, outcome.stderr.decode()
    (plugin,) = (one for one in json.loads(outcome.stdout) if one["name"] == "OpenLineagePlugin")
    assert "openlineage.airflow.macros.lineage_run_id" in plugin["macros"]
    assert "openlineage.airflow.listener" in plugin["listeners"]


def test_nothing_is_said_of_lineage_to_whoever_tries_a_task_in_a_running_container(image: BuiltImage) -> None:
    """`docker exec` starts programs beside the entrypoint, with nothing that it set."""
    script = "airflow db init > /dev/null 2>&1; airflow tasks test hello say 2023-05-01 2>&1"
    mounts = [Mount(source=INSIDE / "dags", target=DAGS)]
    environment = {"AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    with image.engine.running(image.reference, ["sleep", "infinity"], mounts=mounts, env=environment) as container:
        outcome = container.exec(["bash", "-c", script], timeout=180)
    assert outcome.exit_code == 0, outcome.text
    assert "Marking task as SUCCESS" in outcome.text
    telling = ("lineage", "eventType", "Traceback", "No module named")
    assert [line for line in outcome.text.splitlines() if any(word in line for word in telling)] == []


def test_nothing_is_said_of_lineage_where_nothing_is_configured(image: BuiltImage) -> None:
    """Not in what Airflow prints, nor in any log of a task; its extractors all load."""
    script = "bash /inside/run_dag.sh 2>&1; cat /tmp/scheduler.log; find logs -name '*.log' -print -exec cat {} +"
    outcome = image.engine.run(
        image.reference,
        ["bash", "-c", script],
        mounts=[Mount(source=INSIDE, target="/inside"), Mount(source=INSIDE / "dags", target=DAGS)],
        env={"AIRFLOW__CORE__LOAD_EXAMPLES": "False"},
        timeout=300,
    )
    assert outcome.text.splitlines()[:2] == ["SequentialExecutor", "success"], outcome.text
    assert "attempt=1.log" in outcome.text
    telling = ("lineage", "eventType", "No module named")  # the last is what it says of extractors that do not load
    assert [line for line in outcome.text.splitlines() if any(word in line for word in telling)] == []


@pytest.mark.parametrize(
    ("service", "started"), [("webserver", "Listening at"), ("triggerer", "Starting the triggerer")]
)
def test_services_say_nothing_of_what_nobody_asked_for(image: BuiltImage, service: str, started: str) -> None:
    """Each loads every extractor where lineage is wanted, whether its provider is there or not."""
    script = f"airflow db init > /dev/null 2>&1; timeout --signal=INT 30 airflow {service} 2>&1"
    asked = {"OPENLINEAGE_URL": "http://127.0.0.1:1"}
    outcome = image.engine.run(image.reference, ["bash", "-c", script], env=asked, timeout=180)
    assert started in outcome.text
    assert [line for line in outcome.text.splitlines() if "No module named" in line or "lineage" in line] == []


def test_an_extractor_that_somebody_asked_for_is_missed_aloud(image: BuiltImage) -> None:
    code = "from openlineage.airflow.extractors.extractors import Extractors as e\ne()"
    asked = {"OPENLINEAGE_EXTRACTORS": "nowhere.Extractor"}
    outcome = image.engine.run(image.reference, ["python", "-c", code], env=asked, timeout=60)
    said = outcome.stdout.decode() + outcome.stderr.decode()
    assert outcome.exit_code == 1
    assert [line for line in said.splitlines() if "WARN" in line and "No module named 'nowhere'" in line]
    assert "paramiko" not in said


def test_what_does_not_load_can_be_seen(image: BuiltImage) -> None:
    code = "import openlineage.airflow.extractors.extractors"
    aloud = {"AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG"}
    outcome = image.engine.run(image.reference, ["python", "-c", code], env=aloud, timeout=60)
    said = outcome.stdout.decode() + outcome.stderr.decode()
    assert [line for line in said.splitlines() if "DEBUG" in line and "No module named 'paramiko'" in line], said


def test_a_run_emits_its_lineage_and_an_asynchronous_sensor_defers(image: BuiltImage) -> None:
    with postgresql() as database, service() as (state, address):
        deployment = Deployment(
            engine=image.engine,
            reference=image.reference,
            environment={
                **local_environment(database.url),
                "OPENLINEAGE_URL": address,
                "OPENLINEAGE_NAMESPACE": "tests",
                "AIRFLOW_CONN_SERVICE": address,
            },
            mounts=[Mount(source=INSIDE / "openlineage", target=DAGS)],
        )
        upgraded = deployment.run(["airflow", "db", "upgrade"])
        assert upgraded.exit_code == 0, upgraded.stderr.decode()
        with deployment.running("scheduler", SCHEDULER), deployment.running("triggerer", TRIGGERER) as triggerer:
            deployment.until("the run ends", lambda: database.query("select 1 from dag_run where end_date is not null"))
            states = database.query("select task_id, state from task_instance order by task_id")
            assert states == "ask|success\nwork|success", f"{states}\n{deployment.logs()}"
            assert "asks/scheduled__2023-05-01T00:00:00+00:00/ask/-1/1" in triggerer.logs()
        assert state.asked == 3  # and not once more after it got its answer
        for task in ("ask", "work"):
            events = [event for event in state.events if event["job"]["name"] == f"asks.{task}"]
            kinds = [event["eventType"] for event in events]
            assert (kinds[0], kinds[-1]) == ("START", "COMPLETE"), (task, kinds)
            assert {event["job"]["namespace"] for event in events} == {"tests"}
            assert len({event["run"]["runId"] for event in events}) == 1
            assert events[0]["run"]["facets"]["parent"]["job"] == {"namespace": "tests", "name": "asks"}


def test_asynchronous_operators_can_be_imported(image: BuiltImage) -> None:
    outcome = image.engine.run(
        image.reference,
        ["python", "/inside/import_async.py"],
        mounts=[Mount(source=INSIDE, target="/inside")],
        timeout=120,
    )
    assert outcome.exit_code == 0, outcome.stderr.decode()
    found = json.loads(outcome.text.splitlines()[-1])
    unexpected = {module: lacks for module, lacks in found["failed"].items() if not lacks.startswith(NOT_IN_RELEASE)}
    assert unexpected == {}
    families = {name.split(".")[2] for name in found["operators"]}
    assert families >= {"amazon", "cncf", "core", "google", "http", "microsoft"}
    assert len(found["operators"]) > 40
    assert len(found["triggers"]) > 30
