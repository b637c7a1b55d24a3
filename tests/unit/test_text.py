"""Small pieces of text."""

from __future__ import annotations

import pytest

from rtbuild.text import amount_text, count, name_hint, size_text


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


def test_counts() -> None:
    assert [count("layer", number) for number in (0, 1, 2)] == ["0 layers", "1 layer", "2 layers"]
    assert (count("entry", 1, plural="entries"), count("entry", 2, plural="entries")) == ("1 entry", "2 entries")


def test_hints_for_unknown_names() -> None:
    assert name_hint("airflw", ["python", "airflow"], "layers") == "did you mean 'airflow'?"
    assert name_hint("x", ["python", "airflow"], "layers") == "known layers: airflow, python"
    assert name_hint("x", [], "layers") == "known layers: none"
