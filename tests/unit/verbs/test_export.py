"""The `export` verb on a workspace on disk."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from rtbuild.errors import LockError, RecipeError
from rtbuild.lockfile.read import write_lock
from rtbuild.platform import PLATFORMS, host_platform
from rtbuild.verbs.export import export
from rtbuild.workspace import Workspace
from tests.fakes import locks
from tests.fakes.workspaces import RELEASE, write_workspace

ARM64 = PLATFORMS["linux/arm64"]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace whose release has a lock for each platform."""
    release = RELEASE.replace('["linux/amd64"]', '["linux/amd64", "linux/arm64"]')
    workspace = Workspace.find(write_workspace(tmp_path, release=release))
    for platform in PLATFORMS.values():
        write_lock(workspace.lock_path("8.0.0", platform), locks.lock(platform=platform))
    return workspace


def test_requirements_for_this_machine_by_default(workspace: Workspace) -> None:
    lines = export(workspace, "8.0").splitlines()
    assert lines[0].startswith(f"# release 8.0.0 for {host_platform()}, Python 3.9.2")
    assert lines[1] == "apache-airflow==2.6.0 \\"


def test_another_platform_and_format(workspace: Workspace) -> None:
    assert export(workspace, "8.0.0", platform=ARM64).startswith("# release 8.0.0 for linux/arm64,")
    pylock = tomllib.loads(export(workspace, "8.0.0", platform=ARM64, format="pylock"))
    assert [package["name"] for package in pylock["packages"]] == ["apache-airflow", "pip"]


def test_an_unknown_release(workspace: Workspace) -> None:
    with pytest.raises(RecipeError, match=r"unknown release '9\.9'"):
        export(workspace, "9.9")


def test_a_release_without_a_lock(workspace: Workspace) -> None:
    workspace.lock_path("8.0.0", ARM64).unlink()
    with pytest.raises(LockError):
        export(workspace, "8.0", platform=ARM64)
