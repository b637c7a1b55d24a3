"""The records of which trees a layer is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbuild.digest import Key
from rtbuild.errors import StoreError
from rtbuild.store.trees import read_tree_keys, tree_records, write_tree_keys

LAYER, OTHER = Key("1" * 64), Key("2" * 64)
TREES = {Key("a" * 64), Key("b" * 64)}


def test_a_layer_has_the_trees_of_each_compressor(tmp_path: Path) -> None:
    assert read_tree_keys(tmp_path, LAYER) == set()
    write_tree_keys(tmp_path, LAYER, "zstd 1", {Key("c" * 64)})
    write_tree_keys(tmp_path, LAYER, "zstd 1", TREES)
    assert read_tree_keys(tmp_path, LAYER) == TREES
    write_tree_keys(tmp_path, LAYER, "gzip 1", {Key("d" * 64)})
    assert read_tree_keys(tmp_path, LAYER) == {*TREES, Key("d" * 64)}
    write_tree_keys(tmp_path, OTHER, "zstd 1", ())
    assert read_tree_keys(tmp_path, OTHER) == set()
    assert [path.name for path in tree_records(tmp_path)] == [LAYER, OTHER]


def test_a_damaged_line_is_ignored(tmp_path: Path) -> None:
    write_tree_keys(tmp_path, LAYER, "zstd 1", TREES)
    (path,) = tree_records(tmp_path)[0].iterdir()
    path.write_bytes(path.read_bytes() + b"../../artifacts\n\xff\n" + b"c" * 63)
    assert read_tree_keys(tmp_path, LAYER) == TREES


def test_a_record_that_cannot_be_written_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "trees").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        write_tree_keys(tmp_path, LAYER, "zstd 1", TREES)
