"""The script of the runtime layer that starts every container, run in a folder in place of the image's root."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

LAYERS = Path(__file__).parents[4] / "recipes/layers"
CERT = {"AIRFLOW__ASTRONOMER__JWT_SIGNING_CERT": "/keys/webserver.pem"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "usr/local/airflow"

    @property
    def config(self) -> Path:
        return self.home / "webserver_config.py"

    def start(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `/entrypoint COMMAND...`; `airflow` and `gunicorn` only print that they were started."""
        path = f"{self.folder / 'bin'}:/usr/bin:/bin"
        return subprocess.run(
            [shutil.which("dash") or "/bin/sh", str(self.folder / "entrypoint"), *command],
            env={"PATH": path, "AIRFLOW_HOME": str(self.home), "HOME": str(self.folder), **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


@pytest.fixture
def root(tmp_path: Path) -> Root:
    root = Root(folder=tmp_path)
    for source, target, mode in (
        ("runtime/entrypoint", "entrypoint", 0o755),
        ("runtime/wait-for-services", "usr/local/libexec/astro-runtime/wait-for-services", 0o755),
        ("security-manager/webserver_config.py", "usr/local/share/astro-runtime-webserver_config.py", 0o644),
    ):
        path = tmp_path / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((LAYERS / source).read_text().replace("/usr/local/", f"{tmp_path}/usr/local/"))
        path.chmod(mode)
    root.home.mkdir()
    for program in ("airflow", "gunicorn"):
        path = tmp_path / "bin" / program
        path.parent.mkdir(exist_ok=True)
        path.write_text('#!/bin/sh\necho "started $*"\n')
        path.chmod(0o755)
    return root


@pytest.fixture
def silent() -> Iterator[int]:
    """A reserved port that nobody listens on."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


def outcome(done: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    return done.returncode, done.stdout, done.stderr


def test_nothing_but_the_command_is_noticed(root: Root) -> None:
    assert outcome(root.start("echo", "a  b", "*")) == (0, "a  b *\n", "")
    assert outcome(root.start("sh", "-c", "exit 42")) == (42, "", "")
    assert outcome(root.start()) == (0, "", ""), "no command at all"
    assert root.start("sh", "-c", "umask; echo $USER").stdout.splitlines()[0] == "0002"


@pytest.mark.parametrize("name", ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CORE__SQL_ALCHEMY_CONN"])
@pytest.mark.parametrize(
    "command", [["airflow", "scheduler"], ["bash", "-c", "(airflow db upgrade) && airflow scheduler"]], ids=" ".join
)
def test_a_command_waits_for_the_database_that_it_needs(root: Root, silent: int, name: str, command: list[str]) -> None:
    environment = {name: f"postgresql://127.0.0.1:{silent}/x", "ASTRO_RUNTIME_WAIT_SECONDS": "0.1"}
    done = root.start(*command, **environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the database does not answer" in done.stderr


@pytest.mark.parametrize("name", ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CORE__SQL_ALCHEMY_CONN"])
def test_a_command_does_not_wait_for_a_database_that_it_does_not_need(root: Root, silent: int, name: str) -> None:
    environment = {name: f"postgresql://127.0.0.1:{silent}/x", "ASTRO_RUNTIME_WAIT_SECONDS": "0.1"}
    assert outcome(root.start("airflow", "version", **environment)) == (0, "started version\n", "")


def test_a_worker_waits_for_the_broker(root: Root, silent: int) -> None:
    environment = {"AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:{silent}/0", "ASTRO_RUNTIME_WAIT_SECONDS": "0.1"}
    done = root.start("bash", "-c", "airflow celery worker", **environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the broker does not answer" in done.stderr
    assert root.start("airflow", "scheduler", **environment).returncode == 0
    assert root.start("airflow", "scheduler", AIRFLOW__CORE__EXECUTOR="CeleryExecutor", **environment).returncode == 1


def test_waiting_can_be_turned_off(root: Root, silent: int) -> None:
    environment = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql://127.0.0.1:{silent}/x"}
    done = root.start("airflow", "scheduler", ASTRO_RUNTIME_WAIT_SECONDS="0", **environment)
    assert outcome(done) == (0, "started scheduler\n", "")


@pytest.mark.parametrize("environment", [{}, CERT], ids=["without", "with"])
def test_a_hidden_webserver_config_is_restored_whether_tokens_are_configured_or_not(
    root: Root, environment: dict[str, str]
) -> None:
    """They may be configured later, when Airflow would have created its own file."""
    assert outcome(root.start("airflow", "version", **environment)) == (0, "started version\n", "")
    assert root.config.read_text() == (LAYERS / "security-manager/webserver_config.py").read_text().replace(
        "/usr/local/", f"{root.folder}/usr/local/"
    )
    assert stat.S_IMODE(root.config.stat().st_mode) == 0o664
    assert os.listdir(root.home) == ["webserver_config.py"]


def test_a_missing_home_folder_is_created(root: Root) -> None:
    root.home.rmdir()
    assert root.start("airflow", "version").returncode == 0
    assert root.config.is_file()


def test_an_existing_webserver_config_is_kept(root: Root) -> None:
    root.config.write_text("mine")
    root.start("airflow", "webserver", **CERT)
    assert root.config.read_text() == "mine"


@pytest.mark.parametrize(
    "command",
    [["airflow", "webserver"], ["airflow", "standalone"], ["bash", "-c", "airflow sync-perm && airflow webserver"]],
    ids=" ".join,
)
def test_no_webserver_starts_without_checking_configured_tokens(root: Root, command: list[str]) -> None:
    root.home.rmdir()
    root.home.write_text("a file in place of the folder: nothing can be written to it, not even by root")
    done = root.start(*command, **CERT)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: tokens are configured, and ")
    assert root.start("gunicorn", "airflow.www.gunicorn_config", **CERT).returncode == 1
    assert outcome(root.start("airflow", "version", **CERT)) == (0, "started version\n", "")
    assert outcome(root.start("airflow", "webserver")) == (0, "started webserver\n", "")


def test_a_restored_file_is_complete_or_missing(root: Root) -> None:
    """As with a full disk: no partial file is left."""
    (root.folder / "bin/cp").write_text('#!/bin/sh\nprintf half > "$2"\nexit 1\n')
    (root.folder / "bin/cp").chmod(0o755)
    assert root.start("airflow", "webserver", **CERT).returncode == 1
    assert os.listdir(root.home) == []
