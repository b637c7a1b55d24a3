"""A runtime image in an engine that runs nothing: its containers answer like those of a good image, unless told."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from rtbuild.conformance.subject import Subject
from rtbuild.digest import Digest
from rtbuild.engine.containers import RunOutcome
from rtbuild.engine.engine import Engine
from rtbuild.engine.images import ImageFacts

CONFIG: dict[str, Any] = {
    "User": "astro",
    "Entrypoint": ["/entrypoint"],
    "Cmd": ["airflow", "--help"],
    "WorkingDir": "/usr/local/airflow",
    "Env": ["AIRFLOW_HOME=/usr/local/airflow", "LANG=C.UTF-8", "ASTRONOMER_RUNTIME_VERSION=8.0.0", "A=b=c"],
    "Labels": {
        "io.astronomer.docker": "true",
        "io.astronomer.docker.module": "airflow",
        "io.astronomer.docker.distro": "debian",
        "io.astronomer.docker.runtime.version": "8.0.0",
        "io.astronomer.docker.airflow.version": "2.6.0",
        "org.opencontainers.image.title": "x",
        "org.opencontainers.image.description": "x",
        "org.opencontainers.image.version": "8.0.0",
    },
    "Shell": ["/bin/bash", "-o", "pipefail", "-e", "-u", "-x", "-c"],
}
FOLDER = {"uid": 50000, "gid": 0, "mode": "0775", "writable": True}
FACTS: dict[str, Any] = {
    "uid": 50000,
    "gid": 0,
    "account": {"name": "astro", "gid": 0, "home": "/home/astro"},
    "group": 50000,
    "user": "astro",
    "home": "/home/astro",
    "umask": 0o002,
    "folder": "/usr/local/airflow",
    "path": ["/home/astro/.local/bin", "/usr/bin"],
    "import_path": ["/usr/local/airflow"],
    "programs": {"git": "/usr/bin/git"},
    "folders": dict.fromkeys(("", "dags", "plugins", "include", "tests", "logs"), FOLDER),
    "home_folder": FOLDER,
    "first_process": ["/usr/bin/tini", "--"],
}
SETTINGS = {
    "version": "2.6.0+astro.1",
    "dag_dir_list_interval": 30,
    "stalled_task_timeout": 600,
    "worker_pods_creation_batch_size": 16,
}
HEALTHY = {"metadatabase": {"status": "healthy"}, "scheduler": {"status": "healthy"}}
LOGS = (
    "waiting for the database\nResetting orphaned tasks\nExited execute loop\nClosing gunicorn\n"
    "Starting the triggerer\nExited trigger loop\n"
)


def outcome(stdout: str = "", *, stderr: str = "", exit_code: int = 0) -> RunOutcome:
    return RunOutcome(exit_code=exit_code, stdout=stdout.encode(), stderr=stderr.encode())


@dataclass(slots=True, kw_only=True)
class FakeContainer:
    """A container that runs until it is stopped, and then ends with `code`."""

    written: str = LOGS
    code: int = 0
    ended: int | None = None
    health: RunOutcome = field(default_factory=lambda: outcome(json.dumps(HEALTHY)))

    @property
    def exit_code(self) -> int | None:
        return self.ended

    def logs(self) -> str:
        return self.written

    def exec(self, command: Sequence[str]) -> RunOutcome:
        return self.health

    def stop(self, grace: float) -> int:
        return self.code


Answer = Callable[[Sequence[str], dict[str, Any]], RunOutcome | None]
"""What a command has for an outcome, from its words and the options of its container; None for that of a good image."""


@dataclass(slots=True, kw_only=True)
class RuntimeImage:
    """An engine with one image, `here`. `facts` is what `inside/probe.py` prints in it."""

    config: dict[str, Any] = field(default_factory=lambda: CONFIG)
    facts: object = field(default_factory=lambda: FACTS)
    answer: Answer = lambda command, options: None
    container: FakeContainer = field(default_factory=FakeContainer)

    def inspect(self, reference: str) -> ImageFacts | None:
        if reference != "here":
            return None
        digest = Digest("sha256:" + "0" * 64)
        return ImageFacts(id=digest, names=("here",), platform="linux/amd64", layers=(), config=self.config, size=0)

    def run(self, reference: str, command: Sequence[str], **options: Any) -> RunOutcome:
        return self.answer(command, options) or self._good_answer(command, options)

    @contextlib.contextmanager
    def running(self, reference: str, command: Sequence[str], **options: Any) -> Iterator[FakeContainer]:
        yield self.container

    def __str__(self) -> str:
        return "the fake"

    def engine(self) -> Engine:
        return cast(Engine, self)

    def subject(self, **options: Any) -> Subject:
        return Subject(engine=self.engine(), reference="here", config=self.config, **options)

    def _good_answer(self, command: Sequence[str], options: dict[str, Any]) -> RunOutcome:
        match command:
            case ["python", "-c", _]:
                foreign = {"uid": 123456, "account": None} if "user" in options else {}
                return outcome(json.dumps({**self.facts, **foreign} if isinstance(self.facts, dict) else self.facts))
            case ["python", "-W", "ignore", *_]:
                return outcome(json.dumps(SETTINGS))
            case ["pip", "freeze"]:
                return outcome("apache-airflow==2.6.0\nlocal @ file:///wheel\n")
            case ["sh", "-c", "exit 42"]:
                return outcome(exit_code=42)
            case ["airflow", "db", "check"]:
                return outcome(stderr="no answer from the database at 127.0.0.1:1\n", exit_code=1)
            case ["sh", "-c", script] if "pip config list" in script:
                return outcome("/usr/local/share/runtime-constraints.txt\n")
        return outcome()
