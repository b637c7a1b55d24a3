"""Parsing JSON and TOML within limits."""

from __future__ import annotations

import pytest

from rtbuild.documents import DEEPEST, parse_json, parse_toml


def test_documents_are_parsed() -> None:
    assert parse_json(b'{"a": [1, 2.5, "\\ud83d\\ude00", null]}') == {"a": [1, 2.5, "\U0001f600", None]}
    assert parse_toml(b'a = 1\nb.c = ["x"]\n') == {"a": 1, "b": {"c": ["x"]}}


def test_nesting_is_limited() -> None:
    assert parse_json(b"[" * DEEPEST + b"]" * DEEPEST)
    assert parse_toml(b"a = " + b"[" * (DEEPEST - 1) + b"]" * (DEEPEST - 1))
    for deep in (DEEPEST + 2, 100_000):
        with pytest.raises(ValueError, match="is nested more than 64 levels deep"):
            parse_json(b"[" * deep + b"]" * deep)
        with pytest.raises(ValueError, match="is nested more than 64 levels deep"):
            parse_json(b'{"a":' * deep + b"1" + b"}" * deep)
        with pytest.raises(ValueError, match="is nested more than 64 levels deep"):
            parse_toml(b"a = " + b"[" * deep + b"]" * deep)
        with pytest.raises(ValueError, match="is nested more than 64 levels deep"):
            parse_toml(b"a." * deep + b"a = 1")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON: expecting value at line 1 column 1"),
        (b'{"a": 1,\n "b"}', "is not JSON: expecting ':' delimiter at line 2 column 5"),
        (b"[" + b"1" * 5000 + b"]", "is not JSON: a number has too many digits"),
        (b"1e999", "is not JSON: a number is out of range"),
        (b"NaN", "is not JSON: NaN is not a number"),
        (b"[-Infinity]", "is not JSON: -Infinity is not a number"),
        (b'{"a": 1, "a": 2}', "is not JSON: an object has the name 'a' twice"),
        (b'["\\ud800"]', "is not JSON: a string has half of a surrogate pair"),
        (b'["\xff"]', "is not JSON: byte 2 is not UTF-8"),
        ("[1]".encode("utf-16"), "is not JSON: byte 0 is not UTF-8"),
        (b"[" + b" " * 100 + b"]", "has 102 bytes, more than the 100 that are read"),
    ],
)
def test_bad_json_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match="^" + message.replace("[", r"\[")):
        parse_json(content, limit=5002 if len(content) > 200 else 100)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = 1\nb", "is not valid TOML: expected '=' after a key in a key/value pair"),
        (b"a = " + b"1" * 5000, "is not valid TOML: a number has too many digits"),
        (b"a = \xff", r"is not UTF-8 text \(byte 4\)"),
        (b"a = 1 # " + b"x" * 100, "has 108 bytes, more than the 100 that are read"),
    ],
)
def test_bad_toml_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match="^" + message):
        parse_toml(content, limit=5004 if len(content) > 200 else 100)
