"""Compressing a layer with another compressor, and computing diff IDs."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from rtbuild.digest import DiffId, Digest
from rtbuild.errors import IntegrityError, StoreError
from rtbuild.formats.frames import COMPRESSORS, FRAME_SIZE
from rtbuild.formats.tar_entry import Entry
from rtbuild.oci.layer import LayerDigest, LayerWriter
from rtbuild.oci.layout import Layout
from rtbuild.oci.recompress import diff_id_of, recompress_layer
from tests.fakes.layers import compressed, file, raw_layer

ZSTD, GZIP = COMPRESSORS["zstd"](), COMPRESSORS["gzip"]()
BLOCK = 512


def write(layout: Layout, compression: str, last: int = 100) -> LayerDigest:
    """Write a layer with frames of every kind: from a cache, full ones, and one that ends within the end of the tar."""
    compressor = COMPRESSORS[compression]()
    tree = raw_layer(file("tree", b"t" * 5000))[: -2 * BLOCK]
    with LayerWriter(layout, compressor=compressor) as writer:
        writer.add(Entry(path="before", size=3), b"abc")
        writer.add_frames(io.BytesIO(compressed(tree, compressor)))
        writer.add(Entry(path="large", size=2 * FRAME_SIZE + 5), bytes(2 * FRAME_SIZE + 5))
        writer.add(Entry(path="last", size=last), bytes(last))
        return writer.finish()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout.create(tmp_path / "layout")


@pytest.mark.parametrize(("before", "after"), [("zstd", "gzip"), ("gzip", "zstd"), ("gzip", "gzip")])
# FRAME_SIZE - 4 blocks: one block of the end of the tar, which has two, is in another frame
@pytest.mark.parametrize("last", [100, FRAME_SIZE - 4 * BLOCK, FRAME_SIZE - 5 * BLOCK])
def test_the_copy_is_what_its_compressor_would_have_written(layout: Layout, before: str, after: str, last: int) -> None:
    first, expected = write(layout, before, last), write(layout, after, last)
    if before != after:
        layout.blob_path(expected.blob).unlink()
    copy = recompress_layer(
        layout.blob_path(first.blob), layout, diff_id=first.diff_id, compressor=COMPRESSORS[after](), workers=3
    )
    assert copy == (expected.descriptor, expected.size)
    assert diff_id_of(layout.blob_path(copy[0].digest)) == (first.diff_id, first.size)


def test_a_layer_with_another_diff_id_is_refused(layout: Layout) -> None:
    first = write(layout, "zstd")
    wrong = DiffId(Digest("sha256:" + "0" * 64))
    before = layout.blob_files()
    with pytest.raises(IntegrityError, match=f"the diff ID of the layer is {first.diff_id}, expected {wrong}"):
        recompress_layer(layout.blob_path(first.blob), layout, diff_id=wrong, compressor=GZIP)
    assert layout.blob_files() == before


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_a_damaged_or_truncated_layer_is_refused(layout: Layout, compression: str) -> None:
    first = write(layout, compression)
    path = layout.blob_path(first.blob)
    path.chmod(0o644)
    whole = path.read_bytes()
    for content in (whole[:-3], whole[:40] + b"xxxx" + whole[44:]):
        path.write_bytes(content)
        with pytest.raises(IntegrityError, match="compressed data"):
            diff_id_of(path)
        with pytest.raises(IntegrityError, match="compressed data"):
            recompress_layer(path, layout, diff_id=first.diff_id, compressor=ZSTD)


def test_a_missing_layer_is_an_error(layout: Layout) -> None:
    missing = layout.root / "missing"
    with pytest.raises(StoreError, match=r"cannot read .*missing"):
        diff_id_of(missing)
    with pytest.raises(StoreError, match=r"cannot read .*missing"):
        recompress_layer(missing, layout, diff_id=DiffId(Digest("sha256:" + "0" * 64)), compressor=ZSTD)
