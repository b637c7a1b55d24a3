"""A small project with a lock, and a way to run the command line on it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rtbuild.cli.commands import rtbuild
from rtbuild.lockfile.model import Lock
from rtbuild.lockfile.read import write_lock
from rtbuild.store.store import Store
from rtbuild.workspace import Workspace
from tests.fakes import locks
from tests.fakes.command_line import AMD64, Run
from tests.fakes.workspaces import write_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A project of one release, not locked."""
    return Workspace.find(write_workspace(tmp_path / "project"))


@pytest.fixture
def lock(workspace: Workspace) -> Lock:
    """The release's lock, which fits its recipes."""
    lock = locks.lock(
        inputs=workspace.release("8.0.0").inputs,
        debs=(
            locks.deb("apt", "2.2.4", depends=("libc6",)),
            locks.deb("libc6", "2.31-13+deb11u1"),
            locks.deb("python3.9", "3.9.2-1", layer="python", depends=("libc6", "python3.9-minimal")),
            locks.deb("python3.9-minimal", "3.9.2-1", layer="python", depends=("libc6",)),
            locks.deb("tini", "0.19.0-1", depends=("libc6",)),
        ),
        pythons=(
            locks.wheel("apache-airflow", "2.6.0", layer="airflow", requires=("jinja2",)),
            locks.wheel("apache-airflow-providers-amazon", "8.0.0", requires=("apache-airflow", "requests")),
            locks.wheel("apache-airflow-providers-http", "4.3.0", requires=("apache-airflow", "requests")),
            locks.wheel("astro-sdk-python", "1.5.3", requires=("apache-airflow",)),
            locks.wheel("jinja2", "3.1.2", layer="airflow"),
            locks.wheel("pip", "23.1.2", layer="airflow"),
            locks.wheel("requests", "2.29.0"),
        ),
    )
    write_lock(workspace.lock_path("8.0.0", AMD64), lock)
    return lock


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The store that `run` works on."""
    return Store.open(tmp_path / "store")


@pytest.fixture
def run(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in the project, with a store and an engine folder of its own, whatever this machine is set to."""
    monkeypatch.chdir(workspace.root)
    environment = {
        "RTBUILD_STORE": str(tmp_path / "store"),
        "RTBUILD_ENGINE_DIR": str(tmp_path / "engine"),
        "RTBUILD_BUILDER": None,
        "RTBUILD_DEBIAN_MIRRORS": None,
        "RTBUILD_PYTHON_INDEXES": None,
        "BUILDX_BUILDER": None,
        "DOCKER_CONTEXT": None,
        "DOCKER_HOST": None,
    }

    def call(*arguments: str) -> Result:
        return CliRunner(env=environment).invoke(rtbuild, list(arguments), prog_name="rtbuild")

    return call
