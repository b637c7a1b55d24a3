"""What the Astro CLI does with an image, command for command, on the project in `examples/project`.

`astro dev parse` and `astro dev pytest` run pytest in a container without network or database; `astro dev start` brings
up scheduler, triggerer and webserver at once against an empty PostgreSQL, then puts the project's settings into it by
commands in the scheduler's container, as `astro dev bash`, `run` and `object export` do later.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from rtbuild.engine.containers import Mount, RunOutcome
from rtbuild.engine.engine import Engine
from rtbuild.settings import Settings
from rtbuild.workspace import Workspace
from tests.integration.child_projects import Builder, connect
from tests.integration.conftest import BuiltImage
from tests.integration.deployment import SCHEDULER, TRIGGERER, WEBSERVER, Deployment, local_environment
from tests.integration.servers import postgresql

pytestmark = pytest.mark.integration

EXAMPLE = Path(__file__).parents[2] / "examples" / "project"
HOME = "/usr/local/airflow"
SEMANTIC_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class AstroProject:
    """A folder with a project, and the image that was built of it."""

    folder: Path
    image: BuiltImage
    reference: str

    def mounts(self, *folders: str) -> list[Mount]:
        """The folders of the project over those of the image, so that a change is seen at once."""
        return [Mount(source=self.folder / name, target=f"{HOME}/{name}", read_only=False) for name in folders]

    def pytest(self, *arguments: str) -> RunOutcome:
        """`docker run -v ... IMAGE pytest ...`: no network, no database."""
        return self.image.engine.run(
            self.reference,
            ["pytest", *arguments],
            mounts=self.mounts("dags", "plugins", "include", ".astro", "tests"),
            timeout=120,
        )


@pytest.fixture(scope="module")
def connected(builder: Builder, image: BuiltImage, workspace: Workspace, settings: Settings) -> str:
    return connect(builder, f"{image.reference}-base", workspace.release("8.0"), settings)


@pytest.fixture(scope="module")
def astro(
    builder: Builder, connected: str, image: BuiltImage, tmp_path_factory: pytest.TempPathFactory
) -> AstroProject:
    """`astro dev start` and its like begin with `docker build`."""
    folder = tmp_path_factory.mktemp("astro") / "project"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    assert (folder / "Dockerfile").read_text() == "FROM astro-runtime:8.0.0\n"
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    del files["Dockerfile"]
    built = builder.build(connected, files, network="host").succeeded()
    return AstroProject(folder=folder, image=image, reference=built.reference)


@pytest.fixture(scope="module")
def local(astro: AstroProject) -> Iterator[Deployment]:
    """`astro dev start`, until the webserver is healthy."""
    with postgresql() as database, ExitStack() as stack:
        logs = stack.enter_context(volume(astro.image.engine, "rtbuild-tests-logs"))
        deployment = Deployment(
            engine=astro.image.engine,
            reference=astro.reference,
            # The CLI names no database: it is the user's
            environment=local_environment(database.url.removesuffix("/postgres")),
            mounts=[
                *astro.mounts("dags", "plugins", "include", "tests"),
                # Docker fills it from the image, owners and modes too: that is what makes it writable
                Mount(source=logs, target=f"{HOME}/logs", read_only=False),
            ],
        )
        for name, command in (("scheduler", SCHEDULER), ("triggerer", TRIGGERER), ("webserver", WEBSERVER)):
            stack.enter_context(deployment.running(name, command))
        deployment.until("the webserver answers", deployment.health)
        yield deployment


@contextmanager
def volume(engine: Engine, name: str) -> Iterator[str]:
    """A volume of that name, new, until the block is left."""
    remove = [*engine.endpoint.command(), "volume", "rm", "--force", name]
    subprocess.run(remove, check=True, capture_output=True)
    try:
        yield name
    finally:
        subprocess.run(remove, check=True, capture_output=True)


def in_scheduler(local: Deployment, command: str) -> str:
    """`docker exec <scheduler> bash -c <command>`, which must succeed; what it says."""
    outcome = local.containers["scheduler"].exec(["bash", "-c", command], timeout=120)
    assert outcome.exit_code == 0, outcome.stdout.decode() + outcome.stderr.decode()
    return outcome.text


def test_the_labels_say_which_runtime_it_is(astro: AstroProject) -> None:
    facts = astro.image.engine.inspect(astro.reference)
    assert facts is not None
    labels = facts.config["Labels"]
    assert SEMANTIC_VERSION.fullmatch(labels["io.astronomer.docker.runtime.version"])
    assert labels["io.astronomer.docker.airflow.version"] == "2.6.0"


def test_pip_freeze_prints_nothing_else(astro: AstroProject) -> None:
    outcome = astro.image.engine.run(astro.reference, ["pip", "freeze"], timeout=60)
    assert outcome.exit_code == 0
    lines = outcome.stdout.decode().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==\S+", line)] == []
    assert "apache-airflow==2.6.0" in lines


def test_the_project_brings_its_packages_and_files(astro: AstroProject) -> None:
    script = "jq --version; pip list --format freeze | grep ^inflect=; cat include/stations.csv | wc -l"
    outcome = astro.image.engine.run(astro.reference, ["bash", "-c", script], timeout=60)
    assert re.fullmatch(r"jq-\S+\ninflect==5\.6\.2\n5", outcome.text), outcome.stdout + outcome.stderr


def test_parse_accepts_the_project(astro: AstroProject) -> None:
    outcome = astro.pytest(".astro/test_dag_integrity_default.py")
    assert outcome.exit_code == 0, outcome.text
    assert "1 passed" in outcome.text


def test_parse_names_the_file_that_cannot_be_imported(astro: AstroProject) -> None:
    broken = astro.folder / "dags" / "broken.py"
    broken.write_text("import airflow.models.dag\nimport no_such_package\n")
    try:
        outcome = astro.pytest(".astro/test_dag_integrity_default.py")
    finally:
        broken.unlink()
    assert outcome.exit_code == 1
    assert "dags/broken.py" in outcome.text
    assert "No module named 'no_such_package'" in outcome.text


def test_pytest_runs_the_tests_of_the_project(astro: AstroProject) -> None:
    outcome = astro.pytest("tests/")
    assert outcome.exit_code == 0, outcome.text
    assert "3 passed" in outcome.text


def test_start_looks_for_basic_authentication_in_the_list_of_airflow_s_files(astro: AstroProject) -> None:
    """The webserver's command decides by it how the REST API authenticates."""
    outcome = astro.image.engine.run(astro.reference, ["bash", "-c", "pip show -f apache-airflow"], timeout=60)
    assert "airflow/api/auth/backend/basic_auth.py" in outcome.text


def test_start_brings_up_an_airflow_that_runs_the_project(local: Deployment) -> None:
    """With the connections, variables and pools of airflow_settings.yaml, put in as the CLI does."""
    in_scheduler(local, "airflow pools set stations 2 'Requests to the stations at once'")
    in_scheduler(local, "airflow variables set greeting 'Good morning'")
    in_scheduler(local, "airflow connections list -o plain")
    in_scheduler(
        local, "airflow connections add 'station_service' --conn-type 'http' --conn-host '127.0.0.1' --conn-port 8000"
    )
    states = local.run_dag("stations", "first")
    assert states == dict.fromkeys(("read", "coldest", "thaw", "report"), "success")
    assert local.result("stations", "first", "coldest") == "Zugspitze"
    assert local.result("stations", "first", "report") == "Good morning: four stations, water freezes at 32.0 °F"


def test_start_asks_the_webserver_for_its_health_with_curl(local: Deployment) -> None:
    """At port 8080 where nothing moves it: `rtbuild test` asks there (check `stop-webserver`)."""
    asked = ["curl", "--fail", "--silent", f"http://localhost:{local.web_port}/health"]
    outcome = local.containers["webserver"].exec(asked, timeout=60)
    assert outcome.exit_code == 0, outcome.stderr.decode()
    assert json.loads(outcome.text)["metadatabase"]["status"] == "healthy"


def test_the_volume_for_logs_is_the_user_s(local: Deployment) -> None:
    assert in_scheduler(local, "stat --format '%u:%g %a' logs; ls logs/scheduler").startswith("50000:0 775\n")


def test_bash_is_user_astro_in_the_project(local: Deployment) -> None:
    said = in_scheduler(local, "whoami; pwd; airflow version; python --version; ls -d dags plugins include tests logs")
    assert said.splitlines() == [
        "astro",
        HOME,
        "2.6.0",
        "Python 3.9.2",
        *("dags", "include", "logs", "plugins", "tests"),
    ]


def test_run_reaches_airflow_s_command_line(local: Deployment) -> None:
    listed = json.loads(in_scheduler(local, "airflow dags list -o json"))
    assert [one["dag_id"] for one in listed] == ["stations"]


def test_object_export_writes_files_where_it_works(local: Deployment) -> None:
    """The CLI looks for "successfully", prints the file, and removes it."""
    assert "successfully" in in_scheduler(local, "airflow variables export tmp.var 2>&1")
    assert json.loads(in_scheduler(local, "cat tmp.var && rm tmp.var")) == {"greeting": "Good morning"}
    assert "successfully" in in_scheduler(local, "airflow connections export tmp.connections --file-format env 2>&1")
    exported = in_scheduler(local, "cat tmp.connections && rm tmp.connections").splitlines()
    assert "station_service=http://127.0.0.1:8000" in exported
    assert "- conn_id: station_service" in in_scheduler(local, "airflow connections list -o yaml")
    assert "pool: stations" in in_scheduler(local, "airflow pools list -o yaml")


def test_stop_lets_every_container_end_by_itself(local: Deployment) -> None:
    """Each says so at its end. The last test: nothing runs after it.

    Idle, each ends within Compose's ten seconds; the webserver's processes need most of that for themselves, so a busy
    machine gets more.
    """
    said = {"scheduler": "Exited execute loop", "triggerer": "Exited trigger loop", "webserver": "Closing gunicorn"}
    codes = {name: container.stop(120) for name, container in local.containers.items()}
    # Airflow's patience with the webserver's processes is 30 s: then it ends with 1
    assert {name: code for name, code in codes.items() if code not in ((0, 1) if name == "webserver" else (0,))} == {}
    assert [name for name, container in local.containers.items() if said[name] not in container.logs()] == []
