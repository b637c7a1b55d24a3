"""`import rtbuild` gives the whole public API, and costs nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

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
    assert dir(rtbuild) == rtbuild.__all__


def test_public_names_for_type_checkers_are_the_same() -> None:
    assert rtbuild.__file__ is not None
    text = Path(rtbuild.__file__).read_text(encoding="utf-8")
    block = text[text.index("if TYPE_CHECKING") : text.index("_ORIGIN")]
    names = re.findall(r"(\w+),?$", block.replace("(", ""), re.MULTILINE)
    assert set(rtbuild.__all__) <= set(names)
    assert sorted(rtbuild._ORIGIN) == sorted(rtbuild.__all__)


def test_importing_it_imports_nothing_else() -> None:
    script = "import sys, rtbuild; print([name for name in sys.modules if name.startswith('rtbuild.')])"
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert process.stdout == "[]\n"
