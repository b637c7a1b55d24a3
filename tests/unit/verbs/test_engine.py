"""The private engine of a project: when its packages are fetched, and what is said where it cannot be had."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from rtbuild.engine.private import EngineStatus, engine_status, packages_digest
from rtbuild.errors import EngineError, RecipeError, StaleLockError
from rtbuild.lockfile.model import DebArtifact
from rtbuild.lockfile.read import write_engine_lock
from rtbuild.platform import host_platform
from rtbuild.progress import Silent
from rtbuild.settings import Settings
from rtbuild.store.store import Store
from rtbuild.verbs.engine import start_private_engine
from rtbuild.verbs.fetch import fetch_release
from rtbuild.workspace import Workspace
from tests.fakes import locks
from tests.fakes.docker_command import FakeDocker
from tests.fakes.engine_packages import engine_packages
from tests.fakes.users import open_folder, somebody
from tests.fakes.workspaces import ENGINE, put, write_workspace

MOMENT = "20230501T000000Z"

as_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="a private engine needs root on Linux, even one that is a fake"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A project with the lock of an engine that ends at once; its package is in the dated archive of a mirror."""

    workspace: Workspace
    package: DebArtifact
    settings: Settings
    store: Store

    def start(self, name: str = "default") -> EngineStatus:
        return start_private_engine(self.workspace, self.settings, self.store, Silent(), name=name)


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture
def machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Without Docker: nothing but `env` is on the PATH."""
    programs = folder / "programs"
    programs.mkdir()
    for program in ("env", "sh", "cat"):
        (programs / program).symlink_to(shutil.which(program) or "")
    monkeypatch.setenv("PATH", str(programs))
    root = write_workspace(folder / "project")
    put(
        root / "recipes/engines/default.toml",
        ENGINE.replace('suite = "trixie"', f'suite = "trixie"\nsnapshot = "{MOMENT}"'),
    )
    workspace = Workspace.find(root)
    lock, files = engine_packages(folder / "made", "exit 1")
    (package,) = (replace(deb, suite="trixie", layer="engine", built=1) for deb in lock.debs)
    write_engine_lock(
        workspace.engine_lock_path("default", host_platform()),
        replace(lock, inputs=workspace.engine("default").inputs, debs=(package,)),
    )
    place = folder / "mirror" / MOMENT / package.path
    place.parent.mkdir(parents=True)
    files[package.sha256].rename(place)
    settings = Settings(
        store=folder / "store",
        engine_dir=folder / "engines",
        debian_mirrors=(str(folder / "mirror"),),
        retries=0,
    )
    return Machine(workspace=workspace, package=package, settings=settings, store=Store.open(settings.store))


@as_root
def test_packages_are_fetched_unless_they_are_unpacked(machine: Machine, folder: Path) -> None:
    with pytest.raises(EngineError, match="ended as soon as it was started"):
        machine.start()
    assert machine.store.verify_artifact(machine.package), "from the dated archive that the recipe asks for"
    assert engine_status(machine.settings.engine_dir).packages == packages_digest([machine.package])
    # As `verify` does it: another store, and no mirror that has them.
    machine.store.artifact_path(machine.package.sha256).unlink()
    shutil.rmtree(folder / "mirror")
    with pytest.raises(EngineError, match="ended as soon as it was started"):
        machine.start()


def test_without_root_nothing_is_fetched(machine: Machine) -> None:
    with somebody(), pytest.raises(EngineError, match="needs root"):
        machine.start()
    assert not machine.store.has_artifact(machine.package)


def test_a_lock_that_its_recipe_has_left_behind_is_refused(machine: Machine) -> None:
    recipe = machine.workspace.root / "recipes/engines/default.toml"
    recipe.write_text(recipe.read_text().replace('runc = "bookworm"', 'runc = "trixie"'))
    with pytest.raises(StaleLockError) as caught:
        machine.start()
    platform = host_platform()
    assert caught.value.brief == f"runtime.lock/engines/default/{platform.slug}.toml: made from another recipe"
    assert caught.value.details == "recipes/engines/default.toml has changed since the lock was made"
    assert caught.value.hint == f"make it again with: rtbuild engine lock --name default --platform {platform}"


def test_an_engine_that_there_is_not_comes_with_those_that_there_are(machine: Machine) -> None:
    with pytest.raises(RecipeError) as caught:
        machine.start("nope")
    assert caught.value.hint == "known engines: default"


def test_everything_that_a_build_takes_has_an_engine_where_the_machine_has_none(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = locks.lock(debs=(), pythons=())

    def fetched(settings: Settings, *, engine: bool = False) -> int:
        report = fetch_release(machine.workspace, lock, settings, machine.store, Silent(), engine=engine)
        return report.fetched + report.present

    assert fetched(machine.settings) == 1
    assert fetched(replace(machine.settings, docker_host="unix:///nowhere")) == 0, "the user has chosen another"
    monkeypatch.setenv("PATH", f"{FakeDocker(tmp_path / 'docker').install()}:{os.environ['PATH']}")
    assert fetched(machine.settings) == 0
    assert fetched(machine.settings, engine=True) == 1, "for another machine"


@as_root
def test_an_engine_that_is_unpacked_is_not_fetched(machine: Machine) -> None:
    with pytest.raises(EngineError, match="ended as soon"):
        machine.start()
    lock = locks.lock(debs=(), pythons=())
    report = fetch_release(machine.workspace, lock, machine.settings, machine.store, Silent())
    assert report.fetched + report.present == 0
