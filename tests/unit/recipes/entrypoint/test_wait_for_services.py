"""The script of the runtime layer that waits for the database and the broker."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[4] / "recipes/layers/runtime/wait-for-services"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    loader = SourceFileLoader("wait_for_services", str(SCRIPT))
    spec = importlib.util.spec_from_loader("wait_for_services", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def listening() -> Iterator[int]:
    """The port of a server that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def silent() -> Iterator[int]:
    """A reserved port that nobody listens on."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


WORKER = ("airflow", "celery", "worker")
"""A command that needs both services."""


def run(
    database: str = "", broker: str = "", seconds: str | None = "1", command: tuple[str, ...] = WORKER, **more: str
) -> subprocess.CompletedProcess[str]:
    others = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "ASTRO"))}
    environment = {
        **others,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__CELERY__BROKER_URL": broker,
        **more,
    }
    if seconds is not None:
        environment["ASTRO_RUNTIME_WAIT_SECONDS"] = seconds
    return subprocess.run(
        [sys.executable, "-IS", str(SCRIPT), *command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    "command",
    [
        ["airflow", "scheduler"],
        ["/home/astro/.local/bin/airflow", "db", "upgrade"],
        ["airflow", "dag-processor", "--verbose"],
        ["python", "-m", "airflow", "webserver"],
        ["/usr/bin/python3.9", "-m", "airflow", "triggerer"],
        # Commands of the Astro CLI
        ["bash", "-c", "(airflow db upgrade || airflow upgradedb) && airflow scheduler"],
        ["bash", "-c", "(airflow upgradedb || airflow db upgrade) && airflow triggerer"],
        ["bash", "-c", "airflow users create -r Admin -u admin && airflow sync-perm && airflow webserver"],
        # Options and scripts of shells
        ["sh", "-ec", "airflow db check"],
        ["bash", "-euo", "pipefail", "-c", "airflow db check"],
        ["bash", "-o", "pipefail", "-lc", "airflow db check", "name", "argument"],
        ["/bin/bash", "--login", "-c", "airflow db check"],
        ["bash", "-c", "pg_isready -h postgres; airflow scheduler"],
        ["bash", "-c", "airflow version --help; airflow scheduler"],
        ["bash", "-c", "airflow scheduler>log"],
        ["bash", "-c", "airflow scheduler 2>&1|tee log"],
        ["bash", "-c", "sleep 1 &\nexec airflow \\\n  scheduler"],
        ["bash", "-c", "cd /usr/local/airflow&&airflow scheduler"],
        ["bash", "-c", "{ AIRFLOW__CORE__EXECUTOR=LocalExecutor airflow scheduler; }"],
        ["bash", "-c", "if ! airflow db check; then echo no; fi"],
        ["bash", "-c", "test -e x || exec '/home/astro/.local/bin/airflow' \"scheduler\""],
        ["bash", "-c", "echo $(airflow dags list)"],
        ["bash", "-c", "bash -c 'airflow scheduler'"],
        ["bash", "-c", "# airflow\nairflow scheduler # it\n"],
        # Commands that run another command
        ["env", "-i", "A=b", "airflow", "scheduler"],
        ["nice", "-n", "10", "airflow", "celery", "worker"],
        ["timeout", "--signal=INT", "30", "airflow", "scheduler"],
        ["tini", "-g", "--", "airflow", "scheduler"],
        ["tini", "--", "bash", "-c", "exec airflow scheduler"],
        ["nohup", "timeout", "30", "airflow", "scheduler"],
    ],
    ids=" ".join,
)
def test_a_command_that_needs_the_database(script: ModuleType, command: list[str]) -> None:
    assert script.needs(command, "")[0]


@pytest.mark.parametrize(
    "command",
    [
        [],
        [""],
        ["airflow"],
        ["airflow", "--help"],
        ["airflow", "version"],
        ["airflow", "config", "get-value", "core", "executor"],
        ["airflow", "scheduler", "--help"],
        ["airflow", "db", "upgrade", "-h"],
        ["pip", "freeze"],
        ["pytest", "tests"],
        ["python", "-c", "print('airflow scheduler')"],
        ["python", "-m", "pytest", "airflow", "scheduler"],
        ["bash"],
        ["bash", "-c"],
        ["bash", "-c", ""],
        ["bash", "start.sh", "airflow", "scheduler"],
        ["bash", "-c", "airflow scheduler -h"],
        ["bash", "-c", "echo airflow scheduler"],
        ["bash", "-c", "airflow\nscheduler"],
        ["bash", "-c", "ls > airflow scheduler"],
        ["bash", "-c", "cp -r /usr/local/airflow dags"],
        ["bash", "-c", "echo 'airflow scheduler"],
        ["bash", "-c", "ls \"\" ''"],
        ["timeout", "30", "ls", "/usr/local/airflow", "dags"],
        ["ls", "/usr/local/airflow", "dags"],
        ["cat", "airflow", "db"],
    ],
    ids=" ".join,
)
def test_a_command_that_needs_nothing(script: ModuleType, command: list[str]) -> None:
    assert script.needs(command, "CeleryExecutor") == (False, False)


@pytest.mark.parametrize(
    ("command", "executor", "expected"),
    [
        (["airflow", "celery", "worker"], "", True),
        (["bash", "-c", "airflow celery worker"], "", True),
        (["airflow", "celery", "worker", "--help"], "", False),
        (["airflow", "scheduler"], "CeleryExecutor", True),
        (["airflow", "scheduler"], "CeleryKubernetesExecutor", True),
        (["bash", "-c", "airflow db upgrade && airflow scheduler"], "CeleryExecutor", True),
        (["airflow", "scheduler"], "LocalExecutor", False),
        (["airflow", "scheduler"], "", False),
        (["airflow", "webserver"], "CeleryExecutor", False),
        (["bash", "-c", "airflow db upgrade; echo scheduler"], "CeleryExecutor", False),
    ],
)
def test_which_commands_need_the_broker(script: ModuleType, command: list[str], executor: str, expected: bool) -> None:
    assert script.needs(command, executor)[1] == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("postgresql://user:pass@db/airflow", [("db", 5432)]),
        ("postgresql+psycopg2://user:p%40ss@db.internal:5433/airflow?sslmode=require", [("db.internal", 5433)]),
        ("postgres://db", [("db", 5432)]),
        ("postgresql://user:p/a#s?s@db:1/airflow", [("db", 1)]),
        ("postgresql://user:p@ss@db:1/airflow", [("db", 1)]),
        ("postgresql://user@[fe80::1%eth0]:77/airflow", [("fe80::1%eth0", 77)]),
        ("postgresql://one:1,two/airflow", [("one", 1), ("two", 5432)]),
        ("postgresql://u:p@db/x?application_name=team@corp", [("db", 5432)]),
        ("postgresql://db/x?application_name=team@corp", [("db", 5432)]),
        ("postgresql:///airflow?host=/var/run/postgresql", []),
        ("mysql+mysqldb://root@db/airflow", [("db", 3306)]),
        ("mssql+pyodbc://sa:x@db:99/airflow?driver=ODBC+Driver", [("db", 99)]),
        ("redis://:secret@redis:6380/0", [("redis", 6380)]),
        ("rediss://redis", [("redis", 6379)]),
        ("amqp://guest:guest@mq//", [("mq", 5672)]),
        ("sentinel://one:26379/0;sentinel://two", [("one", 26379), ("two", 26379)]),
        ("sqs://key:secret@", []),
        ("sqla+postgresql://db/x", []),
        ("sqlite:////usr/local/airflow/airflow.db", []),
        ("not an address", []),
        ("", []),
    ],
)
def test_the_server_of_an_address(script: ModuleType, address: str, expected: list[tuple[str, int]]) -> None:
    assert script.servers(address) == expected


def test_running_services_print_nothing(listening: int) -> None:
    done = run(f"postgresql://u:p@127.0.0.1:{listening}/x", f"redis://127.0.0.1:{listening}/0")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_services_nothing_is_printed() -> None:
    done = run("sqlite:////tmp/airflow.db", seconds=None)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_command_that_needs_no_service_does_not_wait(silent: int) -> None:
    place = f"127.0.0.1:{silent}"
    done = run(f"postgresql://{place}/x", f"redis://{place}/0", "abc", command=("pip", "freeze"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_both_names_of_the_database_setting_are_read(listening: int, silent: int) -> None:
    new, dead = f"postgresql://127.0.0.1:{listening}/x", f"postgresql://127.0.0.1:{silent}/x"
    assert run("", seconds="0.1", AIRFLOW__CORE__SQL_ALCHEMY_CONN=dead).returncode == 1
    assert run(new, seconds="0.1", AIRFLOW__CORE__SQL_ALCHEMY_CONN=dead).returncode == 0, (
        "if both are set, Airflow uses the new name"
    )


def test_a_missing_service_is_reported_after_the_time_limit(silent: int) -> None:
    begun = time.monotonic()
    done = run(f"postgresql://user:secret@127.0.0.1:{silent}/x")
    assert time.monotonic() - begun >= 1
    assert (done.returncode, done.stdout) == (1, "")
    place = f"127.0.0.1:{silent}: Connection refused"
    assert done.stderr.splitlines() == [
        f"entrypoint: waiting up to 1 s for the database ({place})",
        f"entrypoint: the database does not answer after 1 s ({place})",
        "entrypoint: is it running, and is its address right? ASTRO_RUNTIME_WAIT_SECONDS sets how long to wait",
    ]
    assert "secret" not in done.stderr


def test_the_broker_is_waited_for_too(listening: int, silent: int) -> None:
    done = run(f"postgresql://127.0.0.1:{listening}/x", f"redis://127.0.0.1:{silent}/0", "0.2")
    assert done.returncode == 1
    assert "the broker does not answer after 0.2 s" in done.stderr
    other = run(
        f"postgresql://127.0.0.1:{listening}/x", f"redis://127.0.0.1:{silent}/0", command=("airflow", "webserver")
    )
    assert (other.returncode, other.stderr) == (0, "")


def test_one_of_several_servers_is_enough(listening: int, silent: int) -> None:
    assert run(f"postgresql://127.0.0.1:{silent},127.0.0.1:{listening}/x").returncode == 0
    assert run("", f"sentinel://127.0.0.1:{silent};sentinel://127.0.0.1:{listening}").returncode == 0


def test_a_host_that_does_not_exist_is_reported() -> None:
    done = run("postgresql://no-such-host.invalid/x", seconds="0.1")
    assert done.returncode == 1
    assert "no-such-host.invalid:5432: " in done.stderr


def test_a_service_that_starts_in_time() -> None:
    def listen() -> None:
        time.sleep(0.8)
        late.listen()

    with socket.socket() as late:
        late.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        late.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=listen)
        thread.start()
        done = run(f"postgresql://127.0.0.1:{late.getsockname()[1]}/x", seconds="20")
        thread.join()
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1].endswith("answers")


@pytest.mark.parametrize("seconds", ["abc", "-1", "nan", "inf"])
def test_an_invalid_time_limit_is_refused(listening: int, seconds: str) -> None:
    done = run(f"postgresql://127.0.0.1:{listening}/x", seconds=seconds)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"entrypoint: ASTRO_RUNTIME_WAIT_SECONDS is '{seconds}', a number of seconds is expected\n"
