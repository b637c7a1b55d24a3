"""Standard streams that are closed, or that cannot take what is written."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from rtbuild.workspace import Workspace


def run_in_shell(workspace: Workspace, arguments: str) -> str:
    """Return what rtbuild printed where `arguments` let it, and its exit code."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("PYTHONUNBUFFERED", None)  # with it, no text is left for the interpreter's last flush
    done = subprocess.run(
        ["bash", "-c", f'exec 9>&1; "$0" -m rtbuild {arguments}; echo " code $?" >&9', sys.executable],
        cwd=workspace.root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stdout
    assert "Exception ignored" not in done.stdout
    return done.stdout


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", ">&- 2>&-"])
def test_a_command_needs_no_stderr(workspace: Workspace, redirection: str) -> None:
    assert run_in_shell(workspace, f"list --progress plain {redirection}").endswith(" code 0\n")


@pytest.mark.parametrize("arguments", ["list", "list --json", "--help", "--version"])
def test_a_full_stdout_is_an_error(workspace: Workspace, arguments: str) -> None:
    printed = run_in_shell(workspace, f"{arguments} >/dev/full")
    assert printed.startswith("error: No space left on device")
    assert printed.endswith("\n code 1\n")


@pytest.mark.parametrize("redirection", ["2>/dev/full", ">/dev/full 2>/dev/full", ">&- 2>&-"])
def test_an_error_that_nobody_can_read_keeps_its_exit_code(workspace: Workspace, redirection: str) -> None:
    assert run_in_shell(workspace, f"plan --nope {redirection}").endswith(" code 2\n")
    assert run_in_shell(workspace, f"plan --nope --json {redirection}").endswith(" code 2\n")
