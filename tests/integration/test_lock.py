"""Lock the real release with the mirrors of this machine."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from rtbuild.errors import IntegrityError
from rtbuild.lockfile.model import Lock
from rtbuild.lockfile.read import read_lock, write_lock
from rtbuild.platform import PLATFORMS
from rtbuild.recipe.names import normalized
from rtbuild.settings import load_settings
from rtbuild.verbs.lock import LockResult, check_lock, lock
from rtbuild.workspace import Workspace

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
AMD64 = PLATFORMS["linux/amd64"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The recipes of this repository, without its lockfiles."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    return Workspace(root=folder)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


def lock_now(workspace: Workspace, store: Path, *, refresh: bool = False) -> LockResult:
    """Lock 8.0."""
    settings = load_settings(os.environ, workspace.root, store=store)
    return lock(workspace, "8.0", platform=AMD64, settings=settings, refresh=refresh)


@pytest.fixture(scope="module")
def cold(workspace: Workspace, store: Path) -> Lock:
    """The lock, made with an empty store."""
    result = lock_now(workspace, store)
    assert result.is_new
    assert result.changed
    assert len(result.moved) == len((*result.lock.debs, *result.lock.pythons, *result.lock.build_pythons))
    return result.lock


def test_every_requirement_of_the_recipe_is_locked(workspace: Workspace, cold: Lock) -> None:
    release = workspace.release("8.0")
    versions = {artifact.name: artifact.version for artifact in cold.pythons}
    for text in release.requirements:
        wanted = Requirement(text)
        assert wanted.specifier.contains(versions[normalized(wanted.name)], prereleases=True), text
    assert check_lock(workspace, "8.0", platform=AMD64) == ()


def test_only_the_providers_of_the_recipe_are_locked(workspace: Workspace, cold: Lock) -> None:
    required = {normalized(Requirement(text).name) for text in workspace.release("8.0").requirements}
    locked = {artifact.name for artifact in cold.pythons if artifact.name.startswith("apache-airflow-providers-")}
    assert locked <= required


def test_no_release_candidate_is_locked(cold: Lock) -> None:
    assert [
        artifact.filename
        for artifact in cold.pythons
        if any(mark in artifact.published for mark in ("a", "b", "rc", "dev"))
    ] == []


def test_locking_again_changes_nothing(workspace: Workspace, store: Path, cold: Lock) -> None:
    path = workspace.lock_path("8.0.0", AMD64)
    before = path.read_bytes()
    result = lock_now(workspace, store)
    assert (result.lock, result.changed) == (cold, False)
    assert path.read_bytes() == before


def test_a_lock_from_scratch_is_the_same(workspace: Workspace, store: Path, cold: Lock) -> None:
    path = workspace.lock_path("8.0.0", AMD64)
    before = path.read_bytes()
    assert not lock_now(workspace, store, refresh=True).changed
    assert path.read_bytes() == before


def test_the_state_of_each_suite_and_the_source_of_each_package_is_locked(workspace: Workspace, cold: Lock) -> None:
    locked = {(suite.archive, suite.suite) for suite in cold.suites}
    assert locked == {(suite.archive, suite.suite) for suite in workspace.release("8.0").suites}
    assert all(suite.date > datetime(2024, 1, 1, tzinfo=UTC) for suite in cold.suites)
    sources = {deb.name: deb.source_package[0] for deb in cold.debs}
    assert (sources["libc6"], sources["libpython3.9-minimal"], sources["git"]) == ("glibc", "python3.9", "git")


def test_an_older_archive_than_the_locks_is_refused(workspace: Workspace, store: Path, cold: Lock) -> None:
    path = workspace.lock_path("8.0.0", AMD64)
    write_lock(path, replace(cold, suites=tuple(replace(suite, date=datetime.now(UTC)) for suite in cold.suites)))
    try:
        with pytest.raises(IntegrityError) as caught:
            lock_now(workspace, store, refresh=True)
        assert "--allow-older-archive" in str(caught.value.hint)
    finally:
        write_lock(path, cold)


def test_the_python_side_is_that_of_the_lock_in_this_repository(cold: Lock) -> None:
    kept = read_lock(ROOT / "runtime.lock" / "8.0.0" / "linux-amd64.toml")
    assert cold.pythons == kept.pythons
    assert cold.build_pythons == kept.build_pythons


OLD_RELEASE = """
airflow = "2.2.0"
extras = ["celery"]
released = "2021-10-11"
python = "3.9"
os = "Debian 11"
as_of = 2021-11-01T00:00:00Z
platforms = ["linux/amd64"]
layers = ["base-os", "python", "airflow", "providers"]

[support]
status = "stable"
"""


def test_metadata_of_its_time_is_read_as_then(store: Path, tmp_path: Path) -> None:
    """The one Celery that Airflow 2.2.0 can have requires `pytz (>dev)`, which is no requirement by today's rules."""
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes", ignore=shutil.ignore_patterns("releases"))
    releases = tmp_path / "recipes" / "releases"
    releases.mkdir()
    (releases / "2.2.0.toml").write_text(OLD_RELEASE)
    settings = load_settings(os.environ, tmp_path, store=store)
    result = lock(Workspace(root=tmp_path), "2.2", platform=AMD64, settings=settings)
    pythons = {artifact.name: artifact for artifact in result.lock.pythons}
    assert (pythons["apache-airflow"].version, pythons["celery"].version) == ("2.2.0", "5.1.2")
    assert "pytz" in pythons["celery"].requires
