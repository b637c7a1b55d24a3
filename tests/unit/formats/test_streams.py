"""Decompressing streams in bounded memory."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tracemalloc
from collections.abc import Callable

import pytest
import zstandard

from rtbuild.formats import streams
from rtbuild.formats.streams import SUFFIXES, Expansion, decompressed, format_of

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "lzma": lambda content: lzma.compress(content, lzma.FORMAT_ALONE, preset=0),
    "xz": lambda content: lzma.compress(content, preset=0),
    "zstd": zstandard.ZstdCompressor().compress,
}
TEXT = b"".join(b"line %d\n" % number for number in range(20_000))


@pytest.mark.parametrize("name", SUFFIXES.values())
def test_content_comes_back(name: str) -> None:
    compressed = COMPRESS[name](TEXT)
    assert b"".join(decompressed([compressed], name)) == TEXT
    assert (
        b"".join(decompressed([compressed[:100], compressed[100:] + COMPRESS[name](b"more")], name)) == TEXT + b"more"
    )


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz", "zstd"])
def test_a_format_is_told_by_its_first_bytes(name: str) -> None:
    assert format_of(COMPRESS[name](TEXT)[: streams.MAGIC_SIZE]) == name
    assert format_of(TEXT[: streams.MAGIC_SIZE]) is None


@pytest.mark.parametrize("name", SUFFIXES.values())
def test_damage_is_an_error(name: str) -> None:
    compressed = COMPRESS[name](TEXT)
    with pytest.raises(ValueError, match="is truncated"):
        list(decompressed([compressed[:-5]], name))
    with pytest.raises(ValueError, match="cannot be decompressed"):
        list(decompressed([b"\x12\x34" * 20], name))


@pytest.mark.parametrize("name", SUFFIXES.values())
def test_a_bomb_is_refused_in_little_memory(name: str) -> None:
    bomb = COMPRESS[name](bytes(64 << 20))
    tracemalloc.start()
    with pytest.raises(ValueError, match="has more than 33554432 bytes when decompressed"):
        for _ in decompressed([bomb], name, limit=32 << 20):
            pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 70 << 20


def test_a_stream_may_not_expand_a_thousandfold() -> None:
    expansion = Expansion()
    expansion.received(1000)
    expansion.gave(1 << 30)
    with pytest.raises(ValueError, match="expands more than 1000 times: 1000 bytes gave 1073741825 so far"):
        expansion.gave(1)
    expansion.received(2 << 20)
    expansion.gave(1)


def test_a_large_window_is_refused() -> None:
    large = zstandard.ZstdCompressionParameters.from_level(3, window_log=28)
    compressor = zstandard.ZstdCompressor(compression_params=large).compressobj()
    with pytest.raises(ValueError, match="cannot be decompressed"):
        list(decompressed([compressor.compress(TEXT) + compressor.flush()], "zstd"))
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 256 << 20}]
    with pytest.raises(ValueError, match="cannot be decompressed"):
        list(decompressed([lzma.compress(b"x", filters=filters)], "xz"))


def test_many_tiny_streams_take_linear_time() -> None:
    tiny = zstandard.ZstdCompressor().compress(b"")
    assert list(filter(None, decompressed([tiny * 100_000], "zstd"))) == []
    assert list(filter(None, decompressed([gzip.compress(b"") * 20_000], "gzip"))) == []
