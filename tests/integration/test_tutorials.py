"""The tutorial "Your own image", followed literally: every command of the page, in one shell and in its order."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rtbuild.engine.engine import Engine
from rtbuild.settings import Settings
from tests.integration.command_line import ROOT, as_chosen, reaching

pytestmark = [pytest.mark.integration, pytest.mark.large]

_COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_your_own_image(engine: Engine, settings: Settings, room: Path) -> None:
    page = (ROOT / "docs" / "tutorial" / "your-own-image.md").read_text()
    blocks = _COMMANDS.findall(page)
    assert len(blocks) == 10
    # A private engine has no docker on the PATH; the page refers to another one for an alias.
    docker = reaching(engine) if engine.private else as_chosen(settings)
    programs = room / "programs"
    programs.mkdir()
    rtbuild = programs / "rtbuild"
    rtbuild.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rtbuild "$@"\n')
    rtbuild.chmod(0o755)
    variables: dict[str, str | None] = {
        **os.environ,
        **docker,
        "PATH": f"{programs}:{docker.get('PATH') or os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "RTBUILD_STORE": str(settings.store),
    }
    marked = "".join(f"echo '## {number}'\n{block}" for number, block in enumerate(blocks))
    try:
        process = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", marked],
            cwd=room,
            env={name: value for name, value in variables.items() if value is not None},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        print(process.stderr + process.stdout)
        assert process.returncode == 0
        said = re.split(r"^## \d+\n", process.stdout, flags=re.MULTILINE)[1:]
        assert "the lock records no digests" in said[3]
        assert len(re.findall(r"^(?:base-os|python) +\w+ +cached ", said[5], re.MULTILINE)) == 2
        assert "hello from an image of my own" in said[7]
        assert "all 6 checks passed" in said[8]
        assert (room / "hello" / "runtime.lock" / "1.0.0").is_dir()
    finally:
        engine.remove_image("hello:1.0.0")
        shutil.rmtree(room / "hello", ignore_errors=True)
