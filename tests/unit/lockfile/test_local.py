"""Local packages in a lock: each is locked as the sdist that its source makes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.lockfile.local import as_locked, renew_local, stale_local
from rtbuild.lockfile.model import PythonArtifact
from rtbuild.recipe.model import Release
from rtbuild.recipe.read import read_release
from rtbuild.recipe.sdist import local_sdists
from tests.fakes import locks
from tests.fakes.packages import FOLDER, MODULE, PYPROJECT, write_workspace_with_package

STALE = f"gate-keeper: its source in {FOLDER} has changed since the lock was made"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_workspace_with_package(tmp_path)


@pytest.fixture
def artifact(root: Path) -> PythonArtifact:
    """The package as it is locked."""
    (sdist,) = local_sdists(read(root))
    return as_locked(locks.wheel("gate-keeper", "1.0.0", layer="gate", requires=("spam",)), sdist)


def read(root: Path) -> Release:
    return read_release(root, "8.0.0")


def test_the_file_is_the_sdist_and_the_path_its_folder(root: Path, artifact: PythonArtifact) -> None:
    (sdist,) = local_sdists(read(root))
    assert (artifact.filename, artifact.path, artifact.local) == ("gate_keeper-1.0.0.tar", FOLDER, True)
    assert (artifact.size, artifact.sha256, artifact.uploaded) == (sdist.size, sdist.sha256, read(root).as_of)
    assert (artifact.layer, artifact.requires) == ("gate", ("spam",))


def test_renewing_changes_local_packages_only(root: Path, artifact: PythonArtifact) -> None:
    older = replace(artifact, sha256=locks.wheel("other").sha256, size=1)
    spam = locks.wheel("spam")
    assert renew_local((older, spam), read(root)) == (artifact, spam)


def test_a_source_that_has_not_changed(root: Path, artifact: PythonArtifact) -> None:
    assert stale_local((artifact, locks.wheel("spam")), read(root)) == []
    assert stale_local((), read(root)) == []


def test_a_changed_file(root: Path, artifact: PythonArtifact) -> None:
    (root / FOLDER / MODULE).write_text("# nothing\n")
    assert stale_local((artifact,), read(root)) == [STALE]


def test_a_changed_mode(root: Path, artifact: PythonArtifact) -> None:
    (root / FOLDER / MODULE).chmod(0o755)
    assert stale_local((artifact,), read(root)) == [STALE]


def test_a_changed_version(root: Path, artifact: PythonArtifact) -> None:
    (root / FOLDER / "pyproject.toml").write_text(PYPROJECT.replace('"1.0.0"', '"1.1.0"'))
    assert stale_local((artifact,), read(root)) == [STALE]
