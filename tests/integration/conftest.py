"""What the integration tests share: the project, a store that keeps downloads, an engine, and the built image."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from rtbuild.engine.engine import Engine
from rtbuild.lockfile.model import Lock
from rtbuild.mirror.download import fetch_artifacts
from rtbuild.platform import parse_platform
from rtbuild.settings import Settings, load_settings
from rtbuild.store.store import Store
from rtbuild.verbs.build import BuildResult, build
from rtbuild.verbs.engine import open_engine, remove_engine
from rtbuild.workspace import Workspace
from tests.integration.airflow_versions import VERSIONS
from tests.integration.child_projects import Builder
from tests.integration.command_line import CommandLine, artifacts_of, as_chosen, lend
from tests.integration.small import VERSION, write_small_workspace
from tests.integration.told import Told

ROOT = Path(__file__).parents[2]
AMD64 = parse_platform("linux/amd64")
ALONE = "master"
"""What pytest-xdist calls a test process that is the only one."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--airflow", choices=list(VERSIONS), help="try the security manager on this Airflow, not on the release's"
    )
    parser.addoption("--rounds", type=int, default=1, help="how often each crash test disturbs a command")
    parser.addoption("--seed", type=int, default=secrets.randbelow(10**6), help="draws the moments of crash tests")


def pytest_report_header(config: pytest.Config) -> str:
    return f"crash tests: --rounds {config.getoption('rounds')} --seed {config.getoption('seed')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """Release 8.0.0 as the engine has it, under a name of the tests' own."""

    engine: Engine
    reference: str
    result: BuildResult
    lock: Lock


@pytest.fixture(scope="session")
def workspace() -> Workspace:
    return Workspace.find(ROOT)


@pytest.fixture(scope="session")
def settings(workspace: Workspace, worker_id: str) -> Iterator[Settings]:
    """The settings of whoever runs the tests: their store saves downloading everything again.

    Each of several test processes names its images otherwise, and has a private engine of its own.
    """
    chosen = load_settings(os.environ, ROOT)
    if worker_id == ALONE:
        yield replace(chosen, repository="rtbuild-tests/runtime")
        return
    folder = chosen.engine_dir.with_name(f"{chosen.engine_dir.name}-{worker_id}")
    own = replace(chosen, repository=f"rtbuild-tests-{worker_id}/runtime", engine_dir=folder)
    yield own
    if folder.exists():
        remove_engine(workspace, settings=own)


@pytest.fixture(scope="session")
def lock(workspace: Workspace) -> Lock:
    return workspace.read_lock("8.0.0", AMD64)


@pytest.fixture(scope="session")
def engine(workspace: Workspace, settings: Settings) -> Engine:
    return open_engine(workspace, settings, Store.open(settings.store), Told())


@pytest.fixture(scope="session")
def image(workspace: Workspace, settings: Settings, engine: Engine, lock: Lock) -> Iterator[BuiltImage]:
    """The image, built (or taken from the store) and loaded."""
    told = Told()
    result = build(workspace, "8.0", platform=AMD64, settings=settings, load=True, progress=told)
    reference = f"{settings.repository}:8.0.0"
    yield BuiltImage(engine=engine, reference=reference, result=result, lock=lock)
    engine.remove_image(reference)


@pytest.fixture(scope="module")
def builder(image: BuiltImage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    """Builds users' projects on the image, and removes what came out."""
    builder = Builder(engine=image.engine, folder=tmp_path_factory.mktemp("projects"))
    yield builder
    builder.clear()


@pytest.fixture(scope="session")
def artifacts(settings: Settings, lock: Lock) -> Store:
    """The store of whoever runs the tests, with everything that 8.0.0 is made of."""
    store = Store.open(settings.store)
    fetch_artifacts(artifacts_of(lock), store, settings, progress=Told())
    return store


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstBuild:
    """8.0.0, built from an empty store by a process of its own: the store, and what it answered."""

    command: CommandLine
    store: Path
    answer: dict[str, Any]


@pytest.fixture(scope="session")
def first_build(
    engine: Engine, settings: Settings, lock: Lock, artifacts: Store, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FirstBuild]:
    """The build that others are compared with. Its store is not to be changed: tests that do, lend from it."""
    store = lend(artifacts_of(lock), artifacts, tmp_path_factory.mktemp("first") / "store").root
    command = CommandLine(workspace=ROOT, store=store, environment=as_chosen(settings))
    answer = command.run("build", "8.0", "--json").succeeded().document
    assert {layer["state"] for layer in answer["layers"]} == {"built"}
    yield FirstBuild(command=command, store=store, answer=answer)
    shutil.rmtree(store)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallRelease:
    """A small release that is built and recorded: its project, its store, and how to run rtbuild on them."""

    folder: Path
    lock: Lock
    answer: dict[str, Any]
    environment: Mapping[str, str | None]

    @property
    def workspace(self) -> Workspace:
        return Workspace(root=self.folder / "project")

    @property
    def store(self) -> Store:
        return Store.open(self.folder / "store")

    @property
    def command(self) -> CommandLine:
        files = str(self.workspace.root / "files")
        environment = {"RTBUILD_PYTHON_INDEXES": files, "RTBUILD_DEBIAN_MIRRORS": files, **self.environment}
        return CommandLine(workspace=self.workspace.root, store=self.folder / "store", environment=environment)

    def copy(self, folder: Path) -> SmallRelease:
        """One of a test's own, to spoil."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return replace(self, folder=folder)

    def unbuilt(self, folder: Path) -> SmallRelease:
        """One of a test's own, of which only the artifacts are in the store."""
        shutil.copytree(self.workspace.root, folder / "project")
        lend(artifacts_of(self.lock), self.store, folder / "store")
        return replace(self, folder=folder)


@pytest.fixture(scope="session")
def small(
    engine: Engine,
    workspace: Workspace,
    settings: Settings,
    lock: Lock,
    artifacts: Store,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[SmallRelease]:
    """Not to be changed: tests that do, take a copy."""
    folder = tmp_path_factory.mktemp("small")
    made = write_small_workspace(folder / "project", workspace, lock)
    one = SmallRelease(folder=folder, lock=lock, answer={}, environment=as_chosen(settings))
    lend(made.read_lock(VERSION, AMD64).debs, artifacts, folder / "store")
    answer = one.command.run("build", VERSION, "--json", "--record").succeeded().document
    yield replace(one, lock=made.read_lock(VERSION, AMD64), answer=answer)
    shutil.rmtree(folder)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    """A folder for large things: it does not outlive its test, as `tmp_path` does."""
    yield tmp_path
    shutil.rmtree(tmp_path)
