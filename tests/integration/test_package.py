"""rtbuild as others install it: a wheel that holds everything and works away from the checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

import rtbuild
from tests.integration.command_line import CommandLine
from tests.integration.conftest import ROOT

pytestmark = pytest.mark.integration


def test_the_wheel_works_away_from_the_checkout(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, timeout=300)
    (wheel,) = tmp_path.glob("rtbuild-*.whl")
    installed = tmp_path / "installed"
    with ZipFile(wheel) as opened:
        opened.extractall(installed)
    sources = {path for path in (ROOT / "src").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {path.relative_to(ROOT / "src") for path in sources} <= {
        path.relative_to(installed) for path in installed.rglob("*")
    }

    code = "import rtbuild; print(rtbuild.__file__); [getattr(rtbuild, name) for name in rtbuild.__all__]"
    run = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert Path(run.stdout.strip()).is_relative_to(installed)
    assert not Path(rtbuild.__file__).is_relative_to(installed)  # the checkout's is the one that tests use

    away = CommandLine(workspace=tmp_path, store=tmp_path / "store", environment={"PYTHONPATH": str(installed)})
    answer = away.run("plan", "8.0", "--platform", "linux/amd64", "--json", "--workspace", str(ROOT)).succeeded()
    assert answer.document["stale"] == []
