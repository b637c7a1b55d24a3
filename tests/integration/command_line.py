"""Run rtbuild as users do, in a process of its own, with a store and an environment chosen by the test."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rtbuild.engine.engine import Engine
from rtbuild.lockfile.model import Artifact, Lock
from rtbuild.settings import Settings
from rtbuild.store.store import Store

ROOT = Path(__file__).parents[2]
TIMEOUT = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The output and the exit code of a run."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        """The JSON object on stdout; fails if there is anything else."""
        document = json.loads(self.stdout)
        assert isinstance(document, dict)
        return document

    def succeeded(self) -> Answer:
        """Return itself; fails if the exit code is not 0."""
        assert self.code == 0, self.stderr + self.stdout
        return self

    def error(self, code: int = 1) -> str:
        """Return the brief of the error; fails if there is not exactly one, another exit code, or a traceback."""
        assert self.code == code, self.stderr + self.stdout
        assert "Traceback" not in self.stderr, self.stderr
        errors = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, self.stderr
        return errors[0].removeprefix("error: ")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """How to run rtbuild.

    Attributes:
        workspace: The workspace, which is the current folder.
        store: The store.
        environment: Variables that are added to those of the tests; None removes a variable.
        before: The start of the command, such as `unshare` or `setpriv` with their options.
    """

    workspace: Path
    store: Path
    environment: Mapping[str, str | None] = field(default_factory=dict)
    before: Sequence[str] = ()

    def run(self, *arguments: str, timeout: float = TIMEOUT) -> Answer:
        """Run a command and wait for its end."""
        process = self.start(*arguments)
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            process.communicate()
            raise
        answer = Answer(code=process.returncode, stdout=stdout, stderr=stderr)
        print(f"$ rtbuild {shlex.join(arguments)}\n{answer.stderr}{answer.stdout}[{answer.code}]")
        return answer

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command without waiting for its end; see `finish`."""
        return subprocess.Popen(
            [*self.before, sys.executable, "-m", "rtbuild", *arguments],
            cwd=self.workspace,
            env=self._variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def with_environment(self, **variables: str | None) -> CommandLine:
        """Return the same command line with other variables."""
        return replace(self, environment={**self.environment, **variables})

    def _variables(self) -> dict[str, str]:
        variables: dict[str, str | None] = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "src"),
            **self.environment,
            "RTBUILD_STORE": str(self.store),
        }
        return {name: value for name, value in variables.items() if value is not None}


def finish(process: subprocess.Popen[str], *, timeout: float = TIMEOUT) -> Answer:
    """Wait for the end of a command that was started."""
    stdout, stderr = process.communicate(timeout=timeout)
    print(f"{stderr}{stdout}[{process.returncode}]")
    return Answer(code=process.returncode, stdout=stdout, stderr=stderr)


def reaching(engine: Engine) -> dict[str, str | None]:
    """Return variables with which the docker command, and so rtbuild, uses the private engine `engine`."""
    assert engine.endpoint.host is not None
    return {
        "DOCKER_HOST": engine.endpoint.host,
        "DOCKER_CONFIG": str(engine.endpoint.config),
        "DOCKER_CONTEXT": None,
        "BUILDX_BUILDER": None,
        "RTBUILD_BUILDER": None,
        "RTBUILD_DOCKER_HOST": None,
        "RTBUILD_DOCKER_CONTEXT": None,
        "PATH": f"{engine.endpoint.docker.parent}:{os.environ['PATH']}",
    }


def as_chosen(settings: Settings) -> dict[str, str | None]:
    """Return variables with which rtbuild uses the engine that the tests use."""
    return {"RTBUILD_ENGINE_DIR": str(settings.engine_dir)}


def artifacts_of(lock: Lock) -> tuple[Artifact, ...]:
    """Return the artifacts that must be fetched to build `lock`."""
    return lock.remote


def lend(artifacts: Iterable[Artifact], store: Store, folder: Path, *, owner: int | None = None) -> Store:
    """Create a store in `folder` that holds only `artifacts`: a build starts from nothing but downloads nothing.

    The files are hard links, unless they get another `owner`.
    """
    fresh = Store.open(folder)
    for sha256 in {artifact.sha256 for artifact in artifacts}:
        source, target = store.artifact_path(sha256), fresh.artifact_path(sha256)
        if owner is None and source.stat().st_dev == folder.stat().st_dev:
            os.link(source, target)
        else:
            shutil.copyfile(source, target)
    if owner is not None:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, owner, owner)
    return fresh
