"""What the shell completes, and which spellings of a platform are taken."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from rtbuild.cli.commands import rtbuild
from rtbuild.cli.invocation import Invocation
from rtbuild.cli.options import PlatformName, PlatformNames
from rtbuild.lockfile.model import Lock
from rtbuild.platform import PLATFORMS
from rtbuild.workspace import Workspace


def completions(workspace: Workspace, *words: str, incomplete: str = "") -> list[str]:
    arguments = {"obj": Invocation(workspace_folder=workspace.root)}
    items = ShellComplete(rtbuild, arguments, "rtbuild", "_RTBUILD_COMPLETE").get_completions(list(words), incomplete)
    return [item.value for item in items]


def test_releases_and_series_are_completed(workspace: Workspace) -> None:
    assert completions(workspace, "build") == ["8.0", "8.0.0"]
    assert completions(workspace, "build", incomplete="8.0.") == ["8.0.0"]
    assert completions(workspace, "lock", incomplete="9") == []


def test_nothing_is_completed_outside_a_workspace(tmp_path: Path) -> None:
    assert completions(Workspace(root=tmp_path), "build") == []


def test_commands_and_platforms_are_completed(workspace: Workspace) -> None:
    assert completions(workspace, incomplete="ver") == ["verify"]
    assert completions(workspace, "build", "--platform", incomplete="linux/am") == ["linux/amd64"]


def test_locked_packages_are_completed(workspace: Workspace, lock: Lock) -> None:
    platform = ("--platform", str(lock.platform))
    assert completions(workspace, "why", *platform, "8.0", incomplete="python") == ["python3.9", "python3.9-minimal"]
    assert "jinja2" in completions(workspace, "why", *platform, "8.0.0")
    assert completions(workspace, "why", *platform, "9.9") == [], "no such release"


@pytest.mark.parametrize("text", ["amd64", "linux/amd64", "x86_64", "Linux/AMD64"])
def test_spellings_of_one_platform(text: str) -> None:
    assert PlatformName().convert(text, None, None) == PLATFORMS["linux/amd64"]


def test_a_list_of_platforms() -> None:
    both = (PLATFORMS["linux/amd64"], PLATFORMS["linux/arm64"])
    assert PlatformNames().convert("linux/amd64,linux/arm64/v8", None, None) == both
    with pytest.raises(click.BadParameter, match="unknown platform 'riscv64'"):
        PlatformNames().convert("amd64,riscv64", None, None)
