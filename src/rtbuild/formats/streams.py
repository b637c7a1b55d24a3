"""Decompress streams in bounded memory, and refuse those that expand without measure.

A few hundred bytes of any of these formats can stand for gigabytes of zeros. So a stream is decompressed in pieces of
at most 32 MiB, a window or dictionary may have 128 MiB, and a stream that stands for more than 1 GiB may not have
expanded more than a thousandfold on the whole.

| format | suffix | specification |
|---|---|---|
| `gzip` | `.gz` | RFC 1952 |
| `bzip2` | `.bz2` | |
| `lzma` | `.lzma` | |
| `xz` | `.xz` | the .xz file format 1.2 |
| `zstd` | `.zst` | RFC 8878 |
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import bz2
    import lzma

    import zstandard

SUFFIXES = {".gz": "gzip", ".bz2": "bzip2", ".lzma": "lzma", ".xz": "xz", ".zst": "zstd"}
"""The formats by the suffix of a file's name."""

LARGEST_WINDOW = 128 << 20
"""Bytes of memory that a decoder may keep: what `zstd --ultra -22` needs, and twice of what `xz -9` needs."""

SUSPICIOUS_SIZE = 1 << 30
"""Bytes up to which any expansion is allowed."""

LARGEST_EXPANSION = 1000
"""How many times its compressed size a larger stream may have. Program files and texts have 3 to 20 times."""

_OUTPUT = 1 << 20
# zlib keeps what follows the end of a stream, so streams of a few bytes would copy large slices over and over.
_SLICE = 4096
# libzstd's object returns the whole content of a slice at once, and zeros compress by a factor of 30,000. Measured: a
# tenth slower than large slices.
_ZSTD_SLICE = 1024

_MAGICS = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\x00", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"))
MAGIC_SIZE = max(len(magic) for magic, _ in _MAGICS)
"""The bytes that `format_of` needs."""


def format_of(head: bytes) -> str | None:
    """Return the format of the stream that begins with `head` (`MAGIC_SIZE` bytes); None if it is not compressed."""
    return next((name for magic, name in _MAGICS if head.startswith(magic)), None)


def decompressed(
    pieces: Iterable[bytes], name: str, *, limit: int | None = None, at_end: Callable[[], object] | None = None
) -> Iterator[bytes]:
    """Yield the content of one or more compressed streams in a row, in pieces of at most 32 MiB.

    Args:
        pieces: The compressed bytes.
        name: A value of `SUFFIXES`.
        limit: The most bytes that the content may have.
        at_end: Called after the last piece of each stream.

    Raises:
        ValueError: if the data is damaged or truncated, needs too much memory, or expands too far; the message
            continues a sentence about the data ("is truncated").
    """
    decoder_of = _DECODERS[name]
    expansion = Expansion(limit)
    decoder = decoder_of()
    fresh = True
    for rest in _slices(pieces, _ZSTD_SLICE if name == "zstd" else _SLICE):
        expansion.received(len(rest))
        while rest:
            for content in decoder.feed(rest):
                expansion.gave(len(content))
                yield content
            fresh = False
            if not decoder.state.eof:
                break
            if at_end is not None:
                at_end()
            rest = decoder.state.unused_data
            decoder = decoder_of()
            fresh = True
    if not fresh:
        raise ValueError("is truncated")


class Expansion:
    """Watches how far a stream expands: `limit` is the most bytes that it may have."""

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._received = 0
        self._given = 0

    def received(self, size: int) -> None:
        """Count compressed bytes."""
        self._received += size

    def gave(self, size: int) -> None:
        """Count uncompressed bytes.

        Raises:
            ValueError: if there are too many.
        """
        self._given += size
        if self._limit is not None and self._given > self._limit:
            raise ValueError(f"has more than {self._limit} bytes when decompressed")
        if self._given > SUSPICIOUS_SIZE and self._given > LARGEST_EXPANSION * self._received:
            raise ValueError(
                f"expands more than {LARGEST_EXPANSION} times: {self._received} bytes gave {self._given} so far"
            )


def _slices(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    for piece in pieces:
        if len(piece) <= size:
            yield piece
        else:
            for start in range(0, len(piece), size):
                yield piece[start : start + size]


# `state` is an object of the library. All of them have `eof` and `unused_data`.


class _Zlib:
    def __init__(self) -> None:
        self.state = zlib.decompressobj(16 + zlib.MAX_WBITS)

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            while True:
                content = self.state.decompress(data, _OUTPUT)
                yield content
                data = self.state.unconsumed_tail
                # zlib may have taken all of its input and still hold back output.
                if self.state.eof or not (data or len(content) == _OUTPUT):
                    return
        except zlib.error as error:
            raise ValueError(f"cannot be decompressed: {error}") from None


class _Incremental:
    """A decoder of bz2 or lzma."""

    def __init__(self, state: bz2.BZ2Decompressor | lzma.LZMADecompressor, errors: tuple[type[Exception], ...]) -> None:
        self.state = state
        self._errors = errors

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            yield self.state.decompress(data, _OUTPUT)
            while not (self.state.eof or self.state.needs_input):
                yield self.state.decompress(b"", _OUTPUT)
        except self._errors as error:
            raise ValueError(f"cannot be decompressed: {error}") from None


class _Zstd:
    def __init__(self, state: zstandard.ZstdDecompressionObj, error: type[Exception]) -> None:
        self.state = state
        self._error = error

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            yield self.state.decompress(data)
        except self._error as error:
            raise ValueError(f"cannot be decompressed: {error}") from None


# The libraries are imported when a stream needs them: most runs need one of them at most.


def _bzip2() -> _Incremental:
    import bz2

    return _Incremental(bz2.BZ2Decompressor(), (OSError, EOFError, ValueError))


def _lzma() -> _Incremental:
    import lzma

    state = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=LARGEST_WINDOW)
    return _Incremental(state, (lzma.LZMAError, EOFError, MemoryError))


def _xz() -> _Incremental:
    import lzma

    state = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=LARGEST_WINDOW)
    return _Incremental(state, (lzma.LZMAError, EOFError, MemoryError))


def _zstd() -> _Zstd:
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW)
    return _Zstd(decompressor.decompressobj(), zstandard.ZstdError)


_DECODERS: dict[str, Callable[[], _Zlib | _Incremental | _Zstd]] = {
    "gzip": _Zlib,
    "bzip2": _bzip2,
    "lzma": _lzma,
    "xz": _xz,
    "zstd": _zstd,
}
