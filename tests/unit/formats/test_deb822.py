"""Parsing stanzas of Debian control files."""

from __future__ import annotations

import pytest

from rtbuild.formats.deb822 import parse_stanza


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
