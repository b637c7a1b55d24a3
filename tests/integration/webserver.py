"""Airflow's webserver of the built image, with the security manager, for as long as a test needs it."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2

from rtbuild.engine.containers import Container, Mount
from rtbuild.engine.engine import Engine
from tests.integration.servers import Server, free_port, programs

PATIENCE = 180.0
"""Seconds until a webserver must be healthy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webserver:
    """A webserver that is healthy. `url` ends without a slash."""

    url: str
    container: Container

    def browser(self) -> httpx2.Client:
        """Keeps cookies, as a browser does, and does not follow redirects: tests want to see them."""
        return httpx2.Client(base_url=self.url, timeout=60)

    def get(self, path: str, token: str | None = None, **options: Any) -> httpx2.Response:
        """One request without cookies."""
        return httpx2.get(f"{self.url}{path}", headers=bearer(token), timeout=60, **options)


def bearer(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def airflow_env(database: str, **more: str) -> dict[str, str]:
    """The environment of an Airflow on `database`, under both names that its section has had."""
    return {
        "AIRFLOW__CORE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__FERNET_KEY": "",
        "AIRFLOW__WEBSERVER__SECRET_KEY": "a secret of these tests",
        **more,
    }


@contextlib.contextmanager
def webserver(
    engine: Engine,
    image: str,
    env: Mapping[str, str],
    *,
    workers: int = 2,
    threads: int = 8,
    mounts: Sequence[Mount] = (),
) -> Iterator[Webserver]:
    """`airflow webserver` with `workers` processes of `threads` threads on a loopback port of the machine."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {"AIRFLOW__WEBSERVER__WORKERS": str(workers), "GUNICORN_CMD_ARGS": f"--threads {threads}"}
    with engine.running(
        image,
        ["airflow", "webserver", "--hostname", "127.0.0.1", "--port", str(port)],
        env={**env, **settings},
        mounts=mounts,
        network="host",
    ) as container:
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(httpx2.TransportError):
                if httpx2.get(f"{url}/health", timeout=10).status_code == 200:
                    break
            assert container.exit_code is None, f"the webserver ended\n{container.logs()}"
            assert time.monotonic() < deadline, f"the webserver is not healthy\n{container.logs()}"
            time.sleep(0.2)
        yield Webserver(url=url, container=container)


def query(database: Server, statement: str) -> list[str]:
    """The rows that a statement gives, with `|` between columns."""
    said = subprocess.run(
        [programs() / "psql", "--dbname", database.url, "-At", "-v", "ON_ERROR_STOP=1", "-c", statement],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    return said.stdout.splitlines()
