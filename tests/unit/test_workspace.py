"""A workspace is a folder with recipes and locks; names of releases lead to both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.digest import Sha256
from rtbuild.errors import LockError, RecipeError
from rtbuild.lockfile.model import EngineLock
from rtbuild.lockfile.read import write_engine_lock, write_lock
from rtbuild.platform import PLATFORMS
from rtbuild.store.collect import Roots
from rtbuild.workspace import Workspace
from tests.fakes import locks, workspaces
from tests.fakes.workspaces import put, write_workspace

AMD64 = PLATFORMS["linux/amd64"]
ARM64 = PLATFORMS["linux/arm64"]


def test_a_workspace_is_found_from_a_folder_inside_it(tmp_path: Path) -> None:
    root = write_workspace(tmp_path)
    assert Workspace.find(root).root == root
    assert Workspace.find(root / "recipes" / "layers").root == root


def test_a_folder_outside_of_any_workspace(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        Workspace.find(tmp_path)
    assert caught.value.brief == f"{tmp_path}: neither this folder nor one above it has a recipes/ folder"
    assert caught.value.hint == "change into a workspace, or name one with --workspace"


def test_a_series_means_its_newest_patch(tmp_path: Path) -> None:
    workspace = Workspace(root=write_workspace(tmp_path))
    for version in ("8.0.10", "8.0.9", "8.10.0"):
        put(workspace.root / f"recipes/releases/{version}.toml", workspaces.RELEASE)
    assert workspace.resolve("8.0") == "8.0.10"
    assert workspace.resolve("8.0.9") == "8.0.9"
    assert workspace.resolve("8.10") == "8.10.0"
    assert workspace.release("8.0").version == "8.0.10"


@pytest.mark.parametrize("name", ["8", "8.1", "8.0.1", "", "..", "8.0.0.toml"])
def test_an_unknown_release_names_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Workspace(root=write_workspace(tmp_path)).resolve(name)
    assert caught.value.brief == f"unknown release {name!r}"
    assert caught.value.hint == "known releases: 8.0.0"


def test_where_locks_are(tmp_path: Path) -> None:
    workspace = Workspace(root=tmp_path)
    assert workspace.relative(workspace.lock_path("8.0.0", AMD64)) == "runtime.lock/8.0.0/linux-amd64.toml"
    engine = workspace.engine_lock_path("default", ARM64)
    assert workspace.relative(engine) == "runtime.lock/engines/default/linux-arm64.toml"


def test_a_platform_that_a_release_does_not_have(tmp_path: Path) -> None:
    release = Workspace(root=write_workspace(tmp_path)).release("8.0")
    release.require_platform(AMD64)
    with pytest.raises(RecipeError) as caught:
        release.require_platform(ARM64)
    assert caught.value.brief == "release 8.0.0 has no image for linux/arm64"
    assert caught.value.hint == "its platforms are: linux/amd64"


def test_a_missing_lock_says_how_to_create_it(tmp_path: Path) -> None:
    with pytest.raises(LockError) as caught:
        Workspace(root=tmp_path).read_lock("8.0.0", AMD64)
    assert caught.value.brief == "runtime.lock/8.0.0/linux-amd64.toml: no such file"
    assert caught.value.hint == "create it with: rtbuild lock 8.0.0 --platform linux/amd64"


def test_a_lock_that_was_copied_to_another_release(tmp_path: Path) -> None:
    workspace = Workspace(root=tmp_path)
    write_lock(workspace.lock_path("8.0.1", AMD64), locks.lock())
    with pytest.raises(LockError, match=r"8\.0\.1/linux-amd64\.toml: is the lock of 8\.0\.0 for linux/amd64") as caught:
        workspace.read_lock("8.0.1", AMD64)
    assert caught.value.hint == (
        "restore the lockfile from version control, "
        "or regenerate it with: rtbuild lock 8.0.1 --platform linux/amd64 --refresh"
    )


def test_a_lock_that_was_copied_to_another_engine(tmp_path: Path) -> None:
    workspace = Workspace(root=tmp_path)
    lock = EngineLock(engine="default", platform=AMD64, inputs=(), debs=(locks.deb("runc"),), suites=(locks.suite(),))
    write_engine_lock(workspace.engine_lock_path("testing", AMD64), lock)
    with pytest.raises(LockError, match="is the lock of default for linux/amd64") as caught:
        workspace.read_engine_lock("testing", AMD64)
    assert caught.value.hint is not None
    assert caught.value.hint.endswith("regenerate it with: rtbuild engine lock --name testing --platform linux/amd64")


def test_the_roots_are_what_locks_of_releases_and_engines_refer_to(tmp_path: Path) -> None:
    workspace = Workspace(root=write_workspace(tmp_path))
    assert workspace.roots() == Roots()
    lock = locks.lock()
    write_lock(workspace.lock_path("8.0.0", AMD64), lock)
    package = replace(locks.deb("runc"), sha256=Sha256("d" * 64))
    engine = EngineLock(engine="default", platform=ARM64, inputs=(("recipes/engines/default.toml", package.sha256),))
    engine = replace(engine, debs=(package,), suites=(locks.suite(),))
    write_engine_lock(workspace.engine_lock_path("default", ARM64), engine)
    roots = workspace.roots()
    assert roots.artifacts == {package.sha256, *(artifact.sha256 for artifact in lock.remote)}
    assert lock.image is not None
    assert roots.manifests == {lock.image.manifest}
    assert roots.trees is None
