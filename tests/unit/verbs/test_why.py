"""The `why` verb on a workspace on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbuild.errors import LockError, RecipeError, UsageError
from rtbuild.lockfile.read import write_lock
from rtbuild.platform import PLATFORMS, host_platform
from rtbuild.verbs.why import why
from rtbuild.workspace import Workspace
from tests.fakes import locks
from tests.fakes.workspaces import RELEASE, write_workspace

AMD64, ARM64 = PLATFORMS["linux/amd64"], PLATFORMS["linux/arm64"]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace whose release has one lock, for amd64."""
    workspace = Workspace.find(write_workspace(tmp_path))
    write_lock(workspace.lock_path("8.0.0", AMD64), locks.lock())
    return workspace


@pytest.mark.parametrize("release", ["8.0", "8.0.0"])
def test_the_reason_for_a_package(workspace: Workspace, release: str) -> None:
    (reason,) = why(workspace, release, "libc6", platform=AMD64)
    assert (reason.origin, reason.chain) == ("recipe layer base-os", ("apt", "libc6"))


def test_the_platform_is_this_machines_by_default(tmp_path: Path) -> None:
    workspace = Workspace.find(write_workspace(tmp_path, release=RELEASE.replace("linux/amd64", host_platform().name)))
    write_lock(workspace.lock_path("8.0.0", host_platform()), locks.lock(platform=host_platform()))
    assert [reason.name for reason in why(workspace, "8.0", "apt")] == ["apt"]


def test_a_package_that_is_not_locked(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="has no package 'emacs'"):
        why(workspace, "8.0", "emacs", platform=AMD64)


def test_a_platform_that_the_release_does_not_have(workspace: Workspace) -> None:
    with pytest.raises(RecipeError, match="linux/arm64"):
        why(workspace, "8.0", "apt", platform=ARM64)


def test_a_release_without_a_lock(workspace: Workspace) -> None:
    workspace.lock_path("8.0.0", AMD64).unlink()
    with pytest.raises(LockError) as caught:
        why(workspace, "8.0", "apt", platform=AMD64)
    assert caught.value.hint == "create it with: rtbuild lock 8.0.0 --platform linux/amd64"
