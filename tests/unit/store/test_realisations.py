"""Records of what derivations resulted in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rtbuild.store.store import Store
from tests.fakes.store_content import realisation


def test_a_realisation_is_kept_and_the_last_one_is_the_latest(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    first, second = realisation(blob=b"one"), realisation(blob=b"two")
    assert store.realisation(first.key) is None
    assert store.latest("8.0.0", "linux/amd64", "airflow") is None
    store.record(first)
    store.record(second)
    assert Store.open(tmp_path).realisation(first.key) == first
    assert store.latest("8.0.0", "linux/amd64", "airflow") == second
    assert store.latest("8.0.0", "linux/arm64", "airflow") is None


def damaged(tmp_path: Path, change: Callable[[str], str]) -> bool:
    """Change the file of a realisation, and return whether the store then has none."""
    store = Store.open(tmp_path)
    record = realisation()
    store.record(record)
    path = tmp_path / "realisations" / "by-key" / f"{record.key}.json"
    path.write_text(change(path.read_text()))
    latest = store.latest("8.0.0", "linux/amd64", "airflow")
    return latest is None and store.realisation(record.key) is None and not path.exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"layer": 1},
        {"size": -1},
        {"blob_size": "5"},
        {"blob": "md5:1"},
        {"inputs": {}},
        {"inputs": [["package source"]]},
        {"another": 1},
    ],
)
def test_a_realisation_with_a_wrong_field_counts_as_missing(tmp_path: Path, fields: dict[str, object]) -> None:
    assert damaged(tmp_path, lambda text: json.dumps({**json.loads(text), **fields}))


@pytest.mark.parametrize("length", [0, 2, 100])
def test_a_truncated_realisation_counts_as_missing(tmp_path: Path, length: int) -> None:
    assert damaged(tmp_path, lambda text: text[:length])


def test_a_rewritten_realisation_is_still_one(tmp_path: Path) -> None:
    assert not damaged(tmp_path, lambda text: json.dumps(json.loads(text)))


def test_a_realisation_with_another_key_counts_as_missing(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    record, other = realisation(), realisation(blob=b"other")
    store.record(record)
    path = tmp_path / "realisations" / "by-key" / f"{record.key}.json"
    path.rename(path.with_name(f"{other.key}.json"))
    assert store.realisation(other.key) is None
