"""An Airflow made of several containers of one image, which share a database and the machine's network.

Everything waits on a condition, and a condition that does not come says what every container wrote.
"""

from __future__ import annotations

import base64
import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx2

from rtbuild.engine.containers import Container, Mount, RunOutcome
from rtbuild.engine.engine import Engine
from tests.integration.servers import free_port

Found = TypeVar("Found")

PATIENCE = 300.0
"""Seconds that a condition may take, on a machine that is busy with other things: idle, the slowest takes twenty."""
RESTARTS = 2
TOLD = 6000
"""Characters of each container's output that a failure shows."""

# What the Astro CLI has its containers do, in the spellings of its different releases: they serve Airflow 1 as well. It
# leaves the port of the webserver alone; here a setting moves it.
SCHEDULER = ("bash", "-c", "(airflow upgradedb || airflow db upgrade) && airflow scheduler")
TRIGGERER = ("bash", "-c", "(airflow db upgrade || airflow upgradedb) && airflow triggerer")
WORKER = ("bash", "-c", "airflow celery worker")
ADMINISTRATOR = "-r Admin -u admin -e admin@example.com -f admin -l user -p admin"
CREATE = '{ airflow users create "$@" || airflow create_user "$@"; }'
WEBSERVER = ("bash", "-c", f"{CREATE} && airflow sync-perm && airflow webserver", "--", *ADMINISTRATOR.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """`environment` and `mounts` are those of every container; `containers` has the ones that run, by name."""

    engine: Engine
    reference: str
    environment: Mapping[str, str]
    mounts: Sequence[Mount] = ()
    web_port: int = field(default_factory=free_port)
    containers: dict[str, Container] = field(default_factory=dict)
    restarts: Counter[str] = field(default_factory=Counter)

    @contextlib.contextmanager
    def running(self, name: str, command: Sequence[str], **environment: str) -> Iterator[Container]:
        """A container of the deployment as user `astro`, until the block is left."""
        with self.engine.running(
            self.reference,
            command,
            user="astro",
            env={**self._environment(), "SERVICE": name, **environment},
            mounts=self.mounts,
            network="host",
        ) as container:
            self.containers[name] = container
            try:
                yield container
            finally:
                del self.containers[name]

    def run(self, command: Sequence[str], **environment: str) -> RunOutcome:
        """One command in a container of its own, to its end."""
        return self.engine.run(
            self.reference,
            command,
            user="astro",
            env={**self._environment(), **environment},
            mounts=self.mounts,
            network="host",
            timeout=PATIENCE,
        )

    def until(self, what: str, probe: Callable[[], Found | None], *, seconds: float = PATIENCE) -> Found:
        """What `probe` finds, once it finds anything; fails with every container's output where that takes too long or
        a container keeps ending."""
        begun = time.monotonic()
        while not (found := probe()):
            self._restart()
            assert time.monotonic() < begun + seconds, f"{what}: not within {seconds:g} s\n{self.logs()}"
            time.sleep(0.5)
        print(f"{what}: {time.monotonic() - begun:.1f} s")
        return found

    def _restart(self) -> None:
        """Start again what ended, as Compose does for the Astro CLI: where two containers upgrade the database at once,
        one of them fails on the rows that the other wrote."""
        for name, container in self.containers.items():
            if (code := container.exit_code) is not None:
                assert self.restarts[name] < RESTARTS, f"{name} ends with {code} each time\n{self.logs()}"
                self.restarts[name] += 1
                container.start()

    def logs(self) -> str:
        """The last of what every container wrote."""
        return "\n".join(f"--- {name}\n{one.logs()[-TOLD:]}" for name, one in self.containers.items())

    def health(self) -> dict[str, Any] | None:
        """What the webserver says at /health; None while it does not answer."""
        try:
            answer = httpx2.get(f"http://127.0.0.1:{self.web_port}/health", timeout=10, trust_env=False)
        except httpx2.TransportError:
            return None
        return dict(answer.json()) if answer.status_code == 200 else None

    def statuses(self) -> dict[str, str]:
        """The status of each part that the webserver knows of; empty while it does not answer."""
        return {part: said["status"] for part, said in (self.health() or {}).items()}

    def api(self, method: str, path: str, body: object = None) -> httpx2.Response:
        """An answer of the REST API to the user that the webserver made at its start."""
        return httpx2.request(
            method,
            f"http://127.0.0.1:{self.web_port}/api/v1/{path}",
            json=body,
            auth=("admin", "admin"),
            timeout=30,
            trust_env=False,
        )

    def document(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """An answer that must be a document."""
        answer = self.api(method, path, body)
        assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}\n{self.logs()}"
        return dict(answer.json())

    def run_dag(self, dag: str, run: str) -> dict[str, str]:
        """Run a DAG that the scheduler must find, to its end; returns the tasks' final states."""
        self.until("the webserver answers", self.health)
        self.until(f"DAG {dag} is found", lambda: self.api("GET", f"dags/{dag}").status_code == 200)
        self.document("PATCH", f"dags/{dag}?update_mask=is_paused", {"is_paused": False})
        self.document("POST", f"dags/{dag}/dagRuns", {"dag_run_id": run})

        def final() -> str | None:
            state: str = self.document("GET", f"dags/{dag}/dagRuns/{run}")["state"]
            return state if state in ("success", "failed") else None

        state = self.until(f"run {run} of DAG {dag} ends", final)
        listed = self.document("GET", f"dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]
        for task in listed:
            print(*(task[name] for name in ("task_id", "state", "queued_when", "start_date", "end_date")))
        states = {task["task_id"]: task["state"] for task in listed}
        if state != "success":
            said = [f"{task}: {self.task_log(dag, run, task)}" for task in states]
            raise AssertionError(f"{dag} {run}: {states}\n" + "\n".join(said) + self.logs())
        return states

    def task_log(self, dag: str, run: str, task: str) -> str:
        """The log of a task's first try, as the webserver gets it from wherever the task ran."""
        return self.api("GET", f"dags/{dag}/dagRuns/{run}/taskInstances/{task}/logs/1?full_content=true").text

    def result(self, dag: str, run: str, task: str) -> str:
        """What a task returned."""
        path = f"dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries/return_value"
        return str(self.document("GET", path)["value"])

    def _environment(self) -> dict[str, str]:
        return {"AIRFLOW__WEBSERVER__WEB_SERVER_PORT": str(self.web_port), **self.environment}


def writable(folder: Path) -> Path:
    """A folder of the tests in which user `astro` of the image may write, as in a volume that Docker makes for it."""
    folder.chmod(0o777)
    return folder


def local_environment(database: str) -> dict[str, str]:
    """What the Astro CLI's compose file gives every container, and ports on which several deployments do not meet."""
    fernet_key = base64.urlsafe_b64encode(os.urandom(32)).decode()
    return {
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__FERNET_KEY": fernet_key,
        "AIRFLOW__WEBSERVER__SECRET_KEY": "project",
        "AIRFLOW__WEBSERVER__RBAC": "True",
        "AIRFLOW__WEBSERVER__EXPOSE_CONFIG": "True",
        "AIRFLOW__API__AUTH_BACKEND": "airflow.api.auth.backend.basic_auth",
        "ASTRONOMER_ENVIRONMENT": "local",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
    }
