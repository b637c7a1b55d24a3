"""`rtbuild completion`: scripts that a shell can read."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.fakes.command_line import Run, answer


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_a_script(run: Run, shell: str) -> None:
    script = run("completion", shell).stdout
    assert "_RTBUILD_COMPLETE" in script
    assert answer(run("completion", shell, "--json"))["script"].rstrip("\n") == script.rstrip("\n")


def test_bash_accepts_its_script(run: Run) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    script = run("completion", "bash").stdout
    checked = subprocess.run([bash, "-n"], input=script, text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_another_shell_is_a_usage_error(run: Run) -> None:
    result = run("completion", "tcsh")
    assert result.exit_code == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in result.stderr
