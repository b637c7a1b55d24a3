"""`import rtbuild` gives the whole public API, and costs nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import rtbuild

PUBLIC: list[str] = getattr(rtbuild, "__all__")  # noqa: B009 - type checkers see the imports that it is made from


def test_what_is_public_stays_public() -> None:
    """Names are added to `public_names.txt`. Taking one out breaks programs, and needs a fragment of type `removed`."""
    names = (Path(__file__).parent / "public_names.txt").read_text(encoding="utf-8").split()
    assert names == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_loads_and_has_a_docstring(name: str) -> None:
    value = getattr(rtbuild, name)
    if name != "PLATFORMS":
        assert value.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        rtbuild.nonsense  # type: ignore[attr-defined]  # noqa: B018
    assert set(PUBLIC) <= set(dir(rtbuild))


def test_importing_rtbuild_imports_only_what_loads_the_rest() -> None:
    script = "import sys, rtbuild; print([name for name in sys.modules if name.startswith('rtbuild.')])"
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert process.stdout == "['rtbuild.lazy']\n"


@pytest.mark.slow
def test_mypy_refuses_a_misspelt_public_name(tmp_path: Path) -> None:
    uses = "import rtbuild\n\nworkspace = rtbuild.Workspace.find()\nprint(rtbuild.{name}(workspace, '8.0').image_id)\n"
    (tmp_path / "right.py").write_text(uses.format(name="build"))
    (tmp_path / "wrong.py").write_text(uses.format(name="biuld"))
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary", "right.py", "wrong.py"]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert process.stdout.splitlines() == [
        'wrong.py:4: error: Module has no attribute "biuld"; maybe "build"?  [attr-defined]'
    ]
    assert process.returncode == 1
