"""`import rtbuild` gives the whole public API, and costs nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import rtbuild

PUBLIC: list[str] = getattr(rtbuild, "__all__")  # noqa: B009 - type checkers see the imports that it is made from


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
