"""Summaries of releases, and what is left of damaged ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbuild.digest import DiffId, Key, Sha256
from rtbuild.store.store import Store
from rtbuild.store.summaries import read_summary, write_summary

NAME = Sha256("a" * 64)
SUMMARY = {
    "base-os": (Key("1" * 64), DiffId("sha256:" + "2" * 64)),
    "python": (Key("3" * 64), DiffId("sha256:" + "4" * 64)),
}


def test_a_summary_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_summary(tmp_path, NAME, SUMMARY)
    assert read_summary(tmp_path, NAME) == SUMMARY
    assert read_summary(tmp_path, Sha256("b" * 64)) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b'{"base-os": ["1"]}',
        b'{"base-os": 1}',
        b'{"base-os": ["1", "2", "3"]}',
        b'{"base-os": ["%s", "%s"]}' % (b"1" * 64, b"2" * 64),
        b'{"base-os": ["%s", "sha256:%s"]' % (b"1" * 64, b"2" * 64),
    ],
)
def test_a_damaged_summary_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    assert read_summary(tmp_path, NAME) is None


def test_a_summary_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    write_summary(tmp_path / "file", NAME, SUMMARY)
    assert read_summary(tmp_path / "file", NAME) is None


def test_a_summary_is_a_cache_of_the_store(tmp_path: Path) -> None:
    Store.open(tmp_path / "store")
    Store.read_only(tmp_path / "store").add_summary(NAME, SUMMARY)
    store = Store.read_only(tmp_path / "store")
    assert store.summary(NAME) == SUMMARY
    assert [path.name for path in (tmp_path / "store" / "cache").rglob("*") if path.is_file()] == [NAME]
    assert store.verify().checked == 0


def test_a_store_that_is_missing_stays_so(tmp_path: Path) -> None:
    store = Store.read_only(tmp_path / "store")
    store.add_summary(NAME, SUMMARY)
    assert store.summary(NAME) is None
    assert not store.root.exists()
