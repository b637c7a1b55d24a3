"""Records of what derivations resulted in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from rtbuild.store.collect import Roots
from rtbuild.store.realisation import Realisation
from rtbuild.store.store import Store
from tests.fakes.store_content import put_blob, realisation, record_file


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
    path = record_file(store, record)
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
    path = record_file(store, record)
    path.parent.rename(path.parent.with_name(other.key))
    assert store.realisation(other.key) is None


def test_each_compressor_has_a_record_of_its_own(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    zstd = realisation()
    gzip = replace(zstd, blob=put_blob(store, b"gzip"), blob_size=4, compressor="zlib 1.3")
    store.record(zstd)
    store.record(gzip)
    assert store.realisation(zstd.key, gzip.compressor) == gzip
    assert store.realisation(zstd.key) == gzip, "the one whose blob is in the store"
    put_blob(store, b"layer")
    assert store.realisation(zstd.key, zstd.compressor) == zstd
    assert store.realisation(zstd.key, gzip.compressor) == gzip
    store.forget(gzip)
    assert store.realisation(zstd.key, gzip.compressor) == zstd
    store.forget(zstd)
    assert store.realisation(zstd.key) is None


def old_record(store: Store, record: Realisation) -> Path:
    """Write a record as rtbuild did when there was one for each key."""
    path = store.root / "realisations" / "by-key" / f"{record.key}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(asdict(record)))
    return path


def test_records_of_earlier_versions_are_read_and_superseded(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    old = realisation()
    path = old_record(store, old)
    assert store.realisation(old.key) == old
    assert store.realisation(old.key, old.compressor) == old
    new = replace(old, size=11)
    store.record(new)
    assert store.realisation(old.key, old.compressor) == new
    assert store.realisation(old.key) == new
    put_blob(store, b"layer")
    assert store.verify().bad == ()
    store.forget(new)
    assert store.realisation(old.key) is None
    assert not path.exists()


def test_garbage_collection_removes_the_records_of_every_version_and_compressor(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    dropped, kept = realisation(blob=b"dropped"), realisation("python", b"kept")
    old_record(store, dropped)
    store.record(replace(dropped, compressor="another"))
    for compressor in ("one", "two"):
        store.record(replace(kept, compressor=compressor))
    report = store.gc(lambda: Roots(keys=frozenset({kept.key})))
    assert dict(report.removed) == {"realisation": 2}
    assert [path.name for path in (tmp_path / "realisations" / "by-key").iterdir()] == [kept.key]
