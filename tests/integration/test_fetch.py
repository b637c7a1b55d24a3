"""Fetch a real lock's files from the mirrors that this machine really has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rtbuild.mirror.download import fetch_artifacts
from rtbuild.platform import PLATFORMS
from rtbuild.settings import Settings, load_settings
from rtbuild.store.store import Store
from rtbuild.verbs.mirrors import mirrors
from rtbuild.workspace import Workspace

WORKSPACE = Workspace(root=Path(__file__).parents[2])

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(os.environ, tmp_path, store=tmp_path / "store")


def test_the_smallest_files_of_each_kind_arrive(settings: Settings) -> None:
    lock = WORKSPACE.read_lock("8.0.0", PLATFORMS["linux/amd64"])
    store = Store.open(settings.store)
    wheels = [artifact for artifact in lock.pythons if not artifact.local]
    wanted = [
        *sorted(lock.debs, key=lambda artifact: artifact.size)[:10],
        *sorted(wheels, key=lambda artifact: artifact.size)[:10],
        *lock.build_pythons,
    ]
    report = fetch_artifacts(wanted, store, settings)
    assert report.fetched == len(wanted)
    assert report.bytes == sum(artifact.size for artifact in wanted)
    assert all(store.verify_artifact(artifact) for artifact in wanted)


def test_the_mirrors_serve_every_suite_of_the_release_and_an_index(settings: Settings) -> None:
    suites = {suite.suite for suite in WORKSPACE.release("8.0.0").suites}
    reports = mirrors(WORKSPACE, "8.0.0", settings=settings)
    served = {name for report in reports if report.kind == "debian" for name in report.serves}
    assert suites <= served
    assert any("index with upload times" in report.serves for report in reports if report.kind == "python")
