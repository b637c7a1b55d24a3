"""Installation schemes."""

from __future__ import annotations

import pytest

from rtbuild.wheels.scheme import debian_scheme

SCHEME = debian_scheme("3.9")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"{SCHEME.library}/demo/a.py", True),
        (f"{SCHEME.library}/demo/a.pyi", False),
        ("/usr/local/bin/tool.py", False),
        (f"{SCHEME.library}2/demo/a.py", False),
    ],
)
def test_what_is_a_module(path: str, expected: bool) -> None:
    assert SCHEME.is_module(path) == expected


def test_where_compiled_modules_are() -> None:
    compiled = SCHEME.compiled(f"{SCHEME.library}/demo/a.py")
    assert compiled == "/usr/local/lib/python3.9/dist-packages/demo/__pycache__/a.cpython-39.pyc"
    assert debian_scheme("3.12").cache_tag == "cpython-312"
