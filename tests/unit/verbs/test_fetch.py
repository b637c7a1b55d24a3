"""The `fetch` verb: what it fetches, and where from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.digest import sha256_bytes
from rtbuild.errors import EngineError, MirrorError
from rtbuild.lockfile.read import write_lock
from rtbuild.platform import parse_platform
from rtbuild.settings import Settings
from rtbuild.store.store import Store
from rtbuild.verbs.engine import start_engine
from rtbuild.verbs.fetch import fetch
from tests.fakes import locks
from tests.fakes.dated_archive import dated_archive
from tests.fakes.docker_command import FakeDocker
from tests.fakes.machine import Machine, make_machine
from tests.fakes.serving import only_loopback
from tests.fakes.users import open_folder, require_root

AMD64 = parse_platform("linux/amd64")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine whose store has the artifacts of the release, one package and one wheel."""
    deb = replace(locks.deb("apt"), size=3, sha256=sha256_bytes(b"deb"))
    wheel = replace(locks.wheel("pip", layer="airflow"), size=5, sha256=sha256_bytes(b"wheel"))
    with open_folder() as folder:
        machine = make_machine(folder)
        monkeypatch.setenv("PATH", str(machine.programs))
        write_lock(machine.workspace.lock_path("8.0.0", AMD64), locks.lock(debs=(deb,), pythons=(wheel,)))
        for content in (b"deb", b"wheel"):
            machine.store.artifact_path(sha256_bytes(content)).write_bytes(content)
        yield machine


def fetched(machine: Machine, settings: Settings, *, engine: bool = False) -> int:
    """Fetch, and return how many artifacts there were beside those of the release."""
    report = fetch(machine.workspace, "8.0.0", platform=AMD64, settings=settings, engine=engine)
    return report.fetched + report.present - 2


def test_the_packages_of_the_engine_are_fetched_if_a_build_would_start_it(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fetched(machine, machine.settings) == 1
    assert fetched(machine, replace(machine.settings, docker_host="unix:///nowhere")) == 0, "the user chose another"
    monkeypatch.setenv("PATH", f"{FakeDocker(tmp_path / 'docker').install()}:{machine.programs}")
    assert fetched(machine, machine.settings) == 0
    assert fetched(machine, machine.settings, engine=True) == 1, "for another machine"


def test_the_packages_of_an_unpacked_engine_are_not_fetched(machine: Machine) -> None:
    require_root()
    with pytest.raises(EngineError, match="exited during startup"):
        start_engine(machine.workspace, settings=machine.settings)
    assert fetched(machine, machine.settings) == 0


def test_a_deb_of_a_dated_suite_is_fetched_from_the_dated_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_loopback(monkeypatch)
    monkeypatch.setenv("PATH", f"{FakeDocker(tmp_path / 'docker').install()}:/usr/bin:/bin")
    with dated_archive(tmp_path) as dated:
        with pytest.raises(MirrorError, match=r"\.whl: no mirror serves the file that the lock names"):
            fetch(dated.workspace, "8.0", platform=AMD64, settings=dated.settings)
    store = Store.open(dated.settings.store)
    assert all(store.verify_artifact(deb) for deb in dated.lock.debs)
