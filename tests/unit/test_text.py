"""Small pieces of text."""

from __future__ import annotations

import pytest

from rtbuild.text import amount_text, count, name_hint, printable, size_text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (98_213_000, "98.2 MB"),
        (5 * 10**9, "5.0 GB"),
        (10**13, "10000.0 GB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == amount_text(size, "bytes") == text


def test_amounts_of_other_units() -> None:
    assert (amount_text(3, "files"), amount_text(3, "")) == ("3 files", "3")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("blobs/sha256/0: Grüße, 漢字 and \\", "blobs/sha256/0: Grüße, 漢字 and \\"),
        ("x\nreproducible\r\t", r"x\nreproducible\r\t"),
        ("\x1b[2K\x9b2K\x7f", r"\x1b[2K\x9b2K\x7f"),
        ("caf\udce9", r"caf\udce9"),
        ("a\u202eb\u2028", r"a\u202eb\u2028"),
    ],
)
def test_what_a_terminal_might_obey_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_counts() -> None:
    assert [count("layer", number) for number in (0, 1, 2)] == ["0 layers", "1 layer", "2 layers"]
    assert (count("entry", 1, plural="entries"), count("entry", 2, plural="entries")) == ("1 entry", "2 entries")


def test_hints_for_unknown_names() -> None:
    assert name_hint("airflw", ["python", "airflow"], "layers") == "did you mean 'airflow'?"
    assert name_hint("x", ["python", "airflow"], "layers") == "known layers: airflow, python"
    assert name_hint("x", [], "layers") == "known layers: none"
