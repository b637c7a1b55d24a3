"""The private engine of a workspace: when its packages are fetched, and which errors name what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.engine import private
from rtbuild.engine.private import EngineStatus
from rtbuild.errors import EngineError, RecipeError, StaleLockError
from rtbuild.platform import host_platform
from rtbuild.progress import Silent
from rtbuild.verbs.engine import engine_status, find_engine, open_engine, start_engine, stop_engine
from tests.fakes.docker_command import FakeDocker
from tests.fakes.machine import Machine, make_machine
from tests.fakes.running_engine import running_engine
from tests.fakes.store_content import Notes
from tests.fakes.users import open_folder, require_root, somebody


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    with open_folder() as folder:
        machine = make_machine(folder)
        monkeypatch.setenv("PATH", str(machine.programs))
        yield machine


def start(machine: Machine, name: str = "default") -> EngineStatus:
    return start_engine(machine.workspace, name, settings=machine.settings)


def test_packages_are_fetched_unless_they_are_unpacked(machine: Machine) -> None:
    require_root()
    with pytest.raises(EngineError, match="exited during startup"):
        start(machine)
    assert machine.store.verify_artifact(machine.package), "from the dated archive that the recipe names"
    assert private.status(machine.settings.engine_dir).packages == private.packages_digest([machine.package])
    # As in `verify`: another store, and no mirror that has the packages
    machine.store.artifact_path(machine.package.sha256).unlink()
    shutil.rmtree(machine.mirror)
    with pytest.raises(EngineError, match="exited during startup"):
        start(machine)


def test_without_root_nothing_is_fetched(machine: Machine) -> None:
    with somebody(), pytest.raises(EngineError, match="needs root"):
        start(machine)
    assert not machine.store.has_artifact(machine.package)


def test_a_stale_lock_is_refused(machine: Machine) -> None:
    recipe = machine.workspace.root / "recipes/engines/default.toml"
    recipe.write_text(recipe.read_text().replace('runc = "bookworm"', 'runc = "trixie"'))
    with pytest.raises(StaleLockError) as caught:
        start(machine)
    platform = host_platform()
    lockfile = f"runtime.lock/engines/default/{platform.slug}.toml"
    assert caught.value.brief == f"{lockfile}: stale, its recipe changed since it was made"
    assert caught.value.details == "recipes/engines/default.toml has changed since the lock was made"
    assert caught.value.hint == f"update it with: rtbuild engine lock --name default --platform {platform}"


def test_an_unknown_engine_is_an_error_that_names_the_known_ones(machine: Machine) -> None:
    calls: list[Callable[[], object]] = [
        lambda: start(machine, "nope"),
        lambda: stop_engine(machine.workspace, "nope", settings=machine.settings),
        lambda: engine_status(machine.workspace, "nope", settings=machine.settings),
        lambda: find_engine(machine.workspace, "nope", settings=machine.settings),
    ]
    for call in calls:
        with pytest.raises(RecipeError) as caught:
            call()
        assert caught.value.hint == "known engines: default"


def test_an_engine_without_a_recipe_is_known_once_it_was_unpacked(machine: Machine) -> None:
    (machine.settings.engine_dir / "former").mkdir(parents=True)
    status = engine_status(machine.workspace, "former", settings=machine.settings)
    assert status == engine_status(None, "former", settings=machine.settings)
    assert not status.running


def test_settings_are_those_of_the_workspace_by_default(machine: Machine) -> None:
    (machine.workspace.root / "rtbuild.toml").write_text('engine_dir = "engines"\n')
    assert engine_status(machine.workspace).folder == machine.workspace.root / "engines/default"
    assert stop_engine(machine.workspace).folder == machine.workspace.root / "engines/default"


def test_finding_an_engine_starts_none(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineError, match="no usable engine found"):
        find_engine(machine.workspace, settings=machine.settings)
    assert not machine.settings.engine_dir.exists()
    monkeypatch.setenv("PATH", f"{FakeDocker(tmp_path).install()}:{machine.programs}")
    assert not find_engine(machine.workspace, settings=machine.settings).private


def test_a_build_says_why_it_uses_the_private_engine(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_root()
    monkeypatch.setenv("PATH", f"{FakeDocker(tmp_path, store='').install()}:{machine.programs}")
    told = Notes()
    with running_engine(machine.settings.engine_dir):
        assert open_engine(machine.workspace, machine.settings, machine.store, told).private
    reason = "the machine's Docker uses the classic image store"
    (note,) = told.texts
    assert note.startswith(reason)
    assert note.endswith(": building with the private engine 'default'")


def test_a_usable_docker_needs_no_reason(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{FakeDocker(tmp_path).install()}:{machine.programs}")
    told = Notes()
    assert not open_engine(machine.workspace, machine.settings, machine.store, told).private
    assert told.texts == []


def test_a_build_starts_the_private_engine_if_there_is_no_docker(machine: Machine) -> None:
    require_root()
    told = Notes()
    with pytest.raises(EngineError, match="exited during startup"):
        open_engine(machine.workspace, machine.settings, machine.store, told)
    assert told.texts == ["no usable Docker found: starting a private engine (stop it with `rtbuild engine stop`)"]
    named = replace(machine.settings, docker_host="unix:///nowhere")
    with pytest.raises(EngineError, match="Docker at unix:///nowhere"):
        open_engine(machine.workspace, named, machine.store, Silent())
