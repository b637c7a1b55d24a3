"""Standard streams that are closed, or that cannot take what is written."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from rtbuild.workspace import Workspace


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", ">&- 2>&-"])
def test_a_command_needs_no_stderr(workspace: Workspace, redirection: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = f'"$0" -m rtbuild list --progress plain {redirection}; echo " code $?" >&9'
    done = subprocess.run(
        ["bash", "-c", f"exec 9>&1; {command}", sys.executable],
        cwd=workspace.root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.endswith(" code 0\n")
    assert "Traceback" not in done.stdout + done.stderr
