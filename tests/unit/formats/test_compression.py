"""The names of compressions, and recognising one by its first bytes."""

from __future__ import annotations

import pytest

from rtbuild.formats import frames
from rtbuild.formats.compression import COMPRESSIONS, GZIP, MAGIC_SIZE, PLAIN, ZSTD, Compression, compression_of
from rtbuild.formats.tar import member_header
from rtbuild.formats.tar_entry import Entry


def test_media_types_and_suffixes_are_those_that_others_use() -> None:
    assert [(name, compression.media_type, compression.suffix) for name, compression in COMPRESSIONS.items()] == [
        ("zstd", "application/vnd.oci.image.layer.v1.tar+zstd", ".tar.zst"),
        ("gzip", "application/vnd.oci.image.layer.v1.tar+gzip", ".tar.gz"),
    ]
    assert (PLAIN.media_type, PLAIN.suffix) == ("application/vnd.oci.image.layer.v1.tar", ".tar")


def test_every_compression_has_a_compressor() -> None:
    assert {name: make().compression for name, make in frames.COMPRESSORS.items()} == COMPRESSIONS
    assert next(iter(COMPRESSIONS.values())) is frames.DEFAULT.compression


@pytest.mark.parametrize(
    ("content", "compression"),
    [
        (frames.zstd().frame(b"content"), ZSTD),
        (frames.gzip().frame(b"content"), GZIP),
        (member_header(Entry(path="file")), PLAIN),
        (b"", PLAIN),
        (ZSTD.magic[:3], PLAIN),
    ],
)
def test_recognises_a_compression_by_its_first_bytes(content: bytes, compression: Compression) -> None:
    assert compression_of(content[:MAGIC_SIZE]) is compression
