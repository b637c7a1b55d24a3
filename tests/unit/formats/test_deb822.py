"""Parsing stanzas of Debian control files."""

from __future__ import annotations

import pytest

from rtbuild.formats.deb822 import parse_stanza, source_package


def test_returns_fields_by_lower_case_name() -> None:
    assert parse_stanza("Package: libc6\nInstalled-Size:  12 \nEMPTY:\n") == {
        "package": "libc6",
        "installed-size": "12",
        "empty": "",
    }


def test_a_value_may_contain_colons() -> None:
    assert parse_stanza("Version: 1:2.30\n") == {"version": "1:2.30"}


def test_joins_continuation_lines() -> None:
    text = "Description: short\n long\n .\n\t indented\nSection: libs\n"
    assert parse_stanza(text) == {"description": "short\nlong\n.\n indented", "section": "libs"}


def test_ignores_comments_and_empty_lines() -> None:
    assert parse_stanza("# a comment\nPackage: a\n# another\n\n") == {"package": "a"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" text\nPackage: a\n", "' text' is a continuation line without a field"),
        ("Package: a\nnonsense\n", "'nonsense' is not a field"),
        (": value\n", "': value' is not a field"),
    ],
)
def test_rejects_other_lines(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_stanza(text)


@pytest.mark.parametrize(
    ("written", "source"),
    [
        (None, ("libgcc-s1", "10.2-6+b1")),
        ("gcc-10", ("gcc-10", "10.2-6+b1")),
        ("gcc-10 (10.2-6)", ("gcc-10", "10.2-6")),
        ("gcc-10  (1:10.2-6)", ("gcc-10", "1:10.2-6")),
    ],
)
def test_the_source_of_a_binary_package(written: str | None, source: tuple[str, str]) -> None:
    fields = {"package": "libgcc-s1", "version": "10.2-6+b1"} | ({"source": written} if written else {})
    assert source_package(fields) == source


@pytest.mark.parametrize("written", ["", "a b", "a (1", "a ()", "(1)x y"])
def test_a_malformed_source(written: str) -> None:
    with pytest.raises(ValueError, match="is not a name with an optional version"):
        source_package({"package": "a", "version": "1", "source": written})
