"""Reading the scripts that run inside the builder or in an image."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import rtbuild
from rtbuild.digest import sha256_bytes
from rtbuild.inside import read_script, script_digest

FOLDER = Path(rtbuild.__file__).parent
SCRIPTS = sorted(path.name for path in (FOLDER / "inside").iterdir() if path.is_file() and path.name != "__init__.py")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_digest_is_that_of_the_scripts_bytes(name: str) -> None:
    content = (FOLDER / "inside" / name).read_bytes()
    assert read_script(name) == content
    assert script_digest(name) == sha256_bytes(content)


def test_no_module_imports_a_script() -> None:
    """They run on the target's Python, without rtbuild."""
    scripts = {name.removesuffix(".py") for name in SCRIPTS}
    for path in FOLDER.rglob("*.py"):
        if path.parent.name == "inside":
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ImportFrom) and node.module == "rtbuild.inside":
                assert scripts.isdisjoint(alias.name for alias in node.names), path
            elif isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("rtbuild.inside."), path
            elif isinstance(node, ast.Import):
                assert not any(alias.name.startswith("rtbuild.inside.") for alias in node.names), path
