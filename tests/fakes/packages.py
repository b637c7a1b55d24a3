"""A small local package: a Python package whose source lies in the recipes."""

from __future__ import annotations

from pathlib import Path

from tests.fakes.workspaces import PROVIDERS, RELEASE, put, write_workspace

PYPROJECT = """
[build-system]
requires = ["setuptools>=64", "wheel"]
build-backend = "setuptools.build_meta"

[project]
name = "Gate_Keeper"
version = "1.0.0"
requires-python = ">=3.9"
dependencies = ["spam>=1", "lantern"]

[project.optional-dependencies]
Night = ["owl; os_name == 'posix'"]
"""

LAYER = """
kind = "python"
title = "A gate keeper"

[[packages]]
source = "package"
"""

FOLDER = "recipes/layers/gate/package"
MODULE = "src/gate_keeper/__init__.py"


def write_package(folder: Path, pyproject: str = PYPROJECT) -> Path:
    """Write the package `gate-keeper`, with tests and leftovers of tools beside its source."""
    put(folder / "pyproject.toml", pyproject)
    put(folder / "README.md", "# Gate keeper\n")
    put(folder / MODULE, "def knock() -> str:\n    return 'who is there'\n")
    put(folder / "src/gate_keeper/data/bell", "#!/bin/sh\necho ring\n")
    (folder / "src/gate_keeper/data/bell").chmod(0o755)
    for leftover in (
        ".coverage",
        "build/lib/gate_keeper/__init__.py",
        "docs/index.md",
        "src/Gate_Keeper.egg-info/SOURCES.txt",
        "src/gate_keeper/.hidden",
        "src/gate_keeper/__init__.py~",
        "src/gate_keeper/__pycache__/__init__.cpython-311.pyc",
        "src/gate_keeper/tests/test_knock.py",
        "tests/test_gate.py",
    ):
        put(folder / leftover, "leftover\n")
    return folder


def write_workspace_with_package(root: Path, *, pyproject: str = PYPROJECT, layer: str = LAYER, **changed: str) -> Path:
    """Write the small workspace with a top layer `gate`, which holds the package."""
    release = changed.pop("release", RELEASE).replace('"providers"]', '"providers", "gate"]')
    write_workspace(root, release=release, providers=PROVIDERS, **changed)
    put(root / "recipes" / "layers" / "gate.toml", layer)
    write_package(root / FOLDER, pyproject)
    return root
