"""A machine's Docker that takes images and answers for them under the names that it is told of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.settings import Settings
from tests.fakes.docker_command import FakeDocker
from tests.fakes.docker_daemon import DockerDaemon


@contextmanager
def docker(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerDaemon]:
    """Run a daemon in `folder`, which becomes the current folder, with a `docker` command on the PATH for it."""
    monkeypatch.chdir(folder)  # a socket's path must be short
    with DockerDaemon(Path("docker.sock")) as daemon:
        daemon.host = f"unix://{folder}/docker.sock"
        programs = FakeDocker(folder / "programs", host=daemon.host).install()
        monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
        yield daemon


def on(daemon: DockerDaemon, settings: Settings) -> Settings:
    """Return `settings` with that Docker."""
    return replace(settings, docker_host=daemon.host)
