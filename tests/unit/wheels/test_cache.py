"""The cache of wheel trees: a tree is complete or missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import zstandard

from rtbuild.digest import Key, sha256_file
from rtbuild.errors import BuildError
from rtbuild.formats.frames import DEFAULT, FRAME_SIZE, Compressor, gzip
from rtbuild.store.store import Store
from rtbuild.wheels.cache import TreeCache
from rtbuild.wheels.tree import TreeFile, TreeIndex, TreeWriter

KEY = Key("ab" * 32)
INDEX = TreeIndex(files=(TreeFile(path="usr/x", mode=0o644, size=3),))


def compose(out: TreeWriter) -> TreeIndex:
    for _ in range(3):
        out.write(b"tree" * (FRAME_SIZE // 8))
    return INDEX


def test_an_added_tree_is_found(tmp_path: Path) -> None:
    cache = TreeCache(tmp_path)
    assert cache.find(KEY) is None
    added = cache.add(KEY, compose)
    assert not added.repaired
    tree = cache.find(KEY)
    assert tree == added
    assert tree.index == INDEX
    assert tree.uncompressed == 3 * FRAME_SIZE // 2
    assert (tree.size, tree.sha256) == (tree.frames.stat().st_size, sha256_file(tree.frames))
    with tree.frames.open("rb") as stream:
        plain = zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True).read()
    assert plain == b"tree" * (tree.uncompressed // 4)


def test_the_bytes_do_not_depend_on_the_size_of_the_writes(tmp_path: Path) -> None:
    def compose_in_small_pieces(out: TreeWriter) -> TreeIndex:
        for _ in range(3 * 64):
            out.write(b"tree" * (FRAME_SIZE // 8 // 64))
        return INDEX

    large = TreeCache(tmp_path / "1").add(KEY, compose)
    small = TreeCache(tmp_path / "2").add(KEY, compose_in_small_pieces)
    assert large.frames.read_bytes() == small.frames.read_bytes()


def spoil(file: Path, damage: str) -> None:
    content = bytearray(file.read_bytes())
    match damage:
        case "truncate":
            file.write_bytes(content[:-3])
        case "flip":
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
        case "remove":
            file.unlink()
        case "empty":
            file.write_bytes(b"")


@pytest.mark.parametrize("part", ["frames", "record"])
@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "empty"])
def test_a_damaged_tree_is_not_used(tmp_path: Path, part: str, damage: str) -> None:
    cache = TreeCache(tmp_path)
    tree = cache.add(KEY, compose)
    spoil(tree.frames if part == "frames" else tmp_path / f"{KEY}.json", damage)
    assert cache.find(KEY) is None
    again = cache.add(KEY, compose)
    assert again == cache.find(KEY)
    # A tree without a record is what a killed process leaves behind, not a damaged one.
    assert again.repaired == ((part, damage) != ("record", "remove"))


@pytest.mark.parametrize("part", ["frames", "record"])
@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
@pytest.mark.parametrize("compressor", [DEFAULT, gzip()], ids=["zstd", "gzip"])
def test_the_store_detects_the_damage_too(tmp_path: Path, part: str, damage: str, compressor: Compressor) -> None:
    store = Store.open(tmp_path)
    tree = TreeCache(store.trees, compressor).add(KEY, compose)
    assert store.verify().bad == ()
    spoil(tree.frames if part == "frames" else store.trees / f"{KEY}.json", damage)
    ((name, problem),) = store.verify().bad
    assert name == f"trees/{tree.frames.name}"
    assert problem.startswith("its sha256 is" if part == "frames" else "its record is damaged")
    assert list(store.trees.iterdir()) == []


def test_a_record_of_another_tree_is_not_used(tmp_path: Path) -> None:
    cache = TreeCache(tmp_path)
    cache.add(KEY, compose)
    other = Key("cd" * 32)
    for suffix in ("tar.zst", "json"):
        (tmp_path / f"{KEY}.{suffix}").rename(tmp_path / f"{other}.{suffix}")
    assert cache.find(other) is None


def test_an_index_edited_by_hand_is_not_used(tmp_path: Path) -> None:
    cache = TreeCache(tmp_path)
    cache.add(KEY, compose)
    record = json.loads((tmp_path / f"{KEY}.json").read_bytes())
    record["files"][0][0] = "etc/shadow"
    (tmp_path / f"{KEY}.json").write_text(json.dumps(record))
    assert cache.find(KEY) is None


def test_a_failure_leaves_no_files(tmp_path: Path) -> None:
    def fail(out: TreeWriter) -> TreeIndex:
        out.write(b"x" * (FRAME_SIZE + 1))
        raise BuildError("no")

    with pytest.raises(BuildError, match="no"):
        TreeCache(tmp_path).add(KEY, fail)
    assert list(tmp_path.iterdir()) == []


def test_another_compressor_can_be_used(tmp_path: Path) -> None:
    compressor = gzip()
    cache = TreeCache(tmp_path, compressor)
    assert cache.compressor == compressor.name
    assert cache.add(KEY, compose).frames.read_bytes()[:2] == b"\x1f\x8b"
    assert cache.find(KEY) is not None
