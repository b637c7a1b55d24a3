"""Local packages in the store: their sdists are made from the recipes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.errors import StaleLockError
from rtbuild.lockfile.local import as_locked
from rtbuild.lockfile.model import Lock, PythonArtifact
from rtbuild.recipe.model import Release
from rtbuild.recipe.read import read_release
from rtbuild.recipe.sdist import local_sdists
from rtbuild.store.store import Store
from rtbuild.wheels.local import store_local
from tests.fakes import locks
from tests.fakes.packages import FOLDER, write_workspace_with_package


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return read_release(write_workspace_with_package(tmp_path / "workspace"), "8.0.0")


@pytest.fixture
def artifact(release: Release) -> PythonArtifact:
    """The package as it is locked."""
    (sdist,) = local_sdists(release)
    return as_locked(locks.wheel("gate-keeper", "1.0.0", layer="gate"), sdist)


def lock_of(artifact: PythonArtifact) -> Lock:
    return locks.lock(pythons=(artifact, locks.wheel("spam")))


def test_an_sdist_is_put_into_the_store(release: Release, artifact: PythonArtifact, tmp_path: Path) -> None:
    store, lock = Store.open(tmp_path / "store"), lock_of(artifact)
    store_local(release, lock, store)
    assert store.verify_artifact(artifact)
    assert [path.name for path in (store.root / "artifacts").iterdir()] == [artifact.sha256]
    store_local(release, lock, store)


@pytest.mark.parametrize("content", [b"", b"other bytes", b"x" * 1_000_000])
def test_a_damaged_sdist_is_replaced(
    release: Release, artifact: PythonArtifact, tmp_path: Path, content: bytes
) -> None:
    store = Store.open(tmp_path / "store")
    store.artifact_path(artifact.sha256).write_bytes(content)
    (store.root / "partial" / artifact.sha256).write_bytes(content)
    store_local(release, lock_of(artifact), store)
    assert store.verify_artifact(artifact)


def test_a_source_that_has_changed_is_not_stored(release: Release, artifact: PythonArtifact, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    lock = lock_of(replace(artifact, sha256=locks.wheel("other").sha256))
    with pytest.raises(StaleLockError) as caught:
        store_local(release, lock, store)
    assert caught.value.brief == (f"gate-keeper: its source in {FOLDER} has changed since the lock of 8.0.0 was made")
    assert caught.value.hint == "update it with: rtbuild lock 8.0.0 --platform linux/amd64"
    assert list((store.root / "artifacts").iterdir()) == []
