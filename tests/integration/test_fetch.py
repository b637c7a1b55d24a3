"""Fetching a real lock's files from the mirrors that this machine really has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rtbuild.lockfile.read import read_lock
from rtbuild.mirror.download import fetch
from rtbuild.recipe.model import Suite
from rtbuild.settings import Settings, load_settings
from rtbuild.store.store import Store
from rtbuild.verbs.mirrors import describe_mirrors

LOCK = Path(__file__).parents[2] / "runtime.lock" / "8.0.0" / "linux-amd64.toml"

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(os.environ, tmp_path, store=tmp_path / "store")


def test_the_smallest_files_of_each_kind_arrive(settings: Settings) -> None:
    lock = read_lock(LOCK)
    store = Store.open(settings.store)
    wanted = [
        *sorted(lock.debs, key=lambda artifact: artifact.size)[:10],
        *sorted((one for one in lock.pythons if not one.local), key=lambda artifact: artifact.size)[:10],
        *lock.build_pythons,
    ]
    report = fetch(wanted, store, settings)
    assert report.fetched == len(wanted)
    assert report.bytes == sum(artifact.size for artifact in wanted)
    assert all(store.verify_artifact(artifact) for artifact in wanted)


def test_some_mirror_serves_each_suite_of_the_lock_and_an_index(settings: Settings) -> None:
    lock = read_lock(LOCK)
    suites = {(deb.archive, deb.suite) for deb in lock.debs}
    found = describe_mirrors(settings, [Suite(archive=archive, suite=suite) for archive, suite in sorted(suites)])
    served = {name for one in found if one.kind == "debian" for name in one.serves}
    assert {suite for _, suite in suites} <= served
    assert any("index with upload times" in one.serves for one in found if one.kind == "python")
