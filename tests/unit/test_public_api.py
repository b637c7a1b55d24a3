"""`import rtbuild` gives the whole public API, and costs nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import rtbuild


@pytest.mark.parametrize("name", rtbuild.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    value = getattr(rtbuild, name)
    if name != "PLATFORMS":
        assert value.__doc__


def test_what_is_not_public_is_not_there() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        rtbuild.nonsense  # noqa: B018
    assert dir(rtbuild) == sorted(rtbuild.__all__)


def test_the_list_of_names_is_that_of_their_origins() -> None:
    assert sorted(rtbuild._ORIGIN) == sorted(rtbuild.__all__)


def test_importing_it_imports_nothing_else() -> None:
    script = "import sys, rtbuild; print([name for name in sys.modules if name.startswith('rtbuild.')])"
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert process.stdout == "[]\n"
