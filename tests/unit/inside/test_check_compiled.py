"""The script that looks whether Python loads the compiled modules of an image."""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rtbuild.inside import read_script


@pytest.fixture(autouse=True)
def beside_their_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled modules lie beside their sources, wherever the Python that runs the tests keeps its own."""
    monkeypatch.setattr(sys, "pycache_prefix", None)


def look(folder: Path) -> list[str]:
    """Run the script with nothing but `folder` on the path, and return its lines."""
    script = (
        f"import importlib.util, marshal, os, sys; sys.path[:] = [{str(folder)!r}]\n"
        + read_script("check_compiled.py").decode()
    )
    command = [sys.executable, "-I", "-B", "-c", script]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    return process.stdout.splitlines()


def compiled(folder: Path, mode: py_compile.PycInvalidationMode = py_compile.PycInvalidationMode.TIMESTAMP) -> Path:
    (folder / "module.py").write_text("answer = 42\n")
    path = py_compile.compile(str(folder / "module.py"), invalidation_mode=mode)
    assert path is not None
    return Path(path)


@pytest.mark.parametrize("mode", list(py_compile.PycInvalidationMode))
def test_every_kind_of_compiled_module_is_loaded(tmp_path: Path, mode: py_compile.PycInvalidationMode) -> None:
    compiled(tmp_path, mode)
    assert look(tmp_path) == []


def test_nothing_is_compiled(tmp_path: Path) -> None:
    assert look(tmp_path) == [f"Python {sys.version_info[0]}.{sys.version_info[1]} finds no compiled module"]


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda path: path.write_bytes(b"\0\0\r\n" + path.read_bytes()[4:]), "made by another Python"),
        (lambda path: path.write_bytes(path.read_bytes()[:-5]), "cannot be loaded: "),
        (lambda path: path.write_bytes(path.read_bytes()[:16] + b"N"), "is no module"),
        (lambda path: os.utime(path.parent.parent / "module.py", (1, 1)), "its source has another time or size"),
        (lambda path: (path.parent.parent / "module.py").unlink(), "its source is missing"),
    ],
)
def test_a_compiled_module_that_is_not_loaded(tmp_path: Path, spoil: Callable[[Path], object], problem: str) -> None:
    path = compiled(tmp_path)
    spoil(path)
    (line,) = look(tmp_path)
    assert line.startswith(f"{path}: {problem}")
