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

SCRIPT = Path(__file__).parents[3] / "recipes/layers/runtime/wait-for-services"


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
    """The port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that nobody listens at, kept so."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        yield kept.getsockname()[1]


def run(database: str = "", broker: str = "", seconds: str | None = "1") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ASTRO_RUNTIME_DATABASE": database, "ASTRO_RUNTIME_BROKER": broker}
    environment.pop("ASTRO_RUNTIME_WAIT_SECONDS", None)
    if seconds is not None:
        environment["ASTRO_RUNTIME_WAIT_SECONDS"] = seconds
    return subprocess.run(
        [sys.executable, "-IS", str(SCRIPT)], env=environment, capture_output=True, text=True, check=False, timeout=30
    )


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


def test_what_is_up_is_passed_in_silence(listening: int) -> None:
    done = run(f"postgresql://u:p@127.0.0.1:{listening}/x", f"redis://127.0.0.1:{listening}/0")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_nothing_configured_is_passed_in_silence() -> None:
    done = run("sqlite:////tmp/airflow.db", seconds=None)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_is_down_is_told_after_the_time_limit(silent: int) -> None:
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


def test_the_broker_counts_as_well(listening: int, silent: int) -> None:
    done = run(f"postgresql://127.0.0.1:{listening}/x", f"redis://127.0.0.1:{silent}/0", "0.2")
    assert done.returncode == 1
    assert "the broker does not answer after 0.2 s" in done.stderr


def test_one_of_several_will_do(listening: int, silent: int) -> None:
    assert run(f"postgresql://127.0.0.1:{silent},127.0.0.1:{listening}/x").returncode == 0
    assert run("", f"sentinel://127.0.0.1:{silent};sentinel://127.0.0.1:{listening}").returncode == 0


def test_a_host_that_does_not_exist_is_told() -> None:
    done = run("postgresql://no-such-host.invalid/x", seconds="0.1")
    assert done.returncode == 1
    assert "no-such-host.invalid:5432: " in done.stderr


def test_what_comes_up_in_time_is_waited_for() -> None:
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
def test_a_time_limit_that_is_none_is_refused(listening: int, seconds: str) -> None:
    done = run(f"postgresql://127.0.0.1:{listening}/x", seconds=seconds)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"entrypoint: ASTRO_RUNTIME_WAIT_SECONDS is '{seconds}', a number of seconds is expected\n"
