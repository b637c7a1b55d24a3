"""Compressing in frames and decompressing."""

from __future__ import annotations

import gzip
import io
import random
import subprocess
import sys
from itertools import pairwise

import deflate
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import rtbuild
from rtbuild.digest import sha256_bytes
from rtbuild.errors import IntegrityError
from rtbuild.formats import frames
from rtbuild.formats.compression import GZIP, ZSTD
from rtbuild.formats.frames import FRAME_SIZE, Cutter, FrameStream, decompress, open_uncompressed
from tests.fakes.layers import compressed

_DICE = random.Random(7)
_WORDS = [_DICE.randbytes(40) for _ in range(1000)]
_CONTENT = b"".join(_DICE.choice(_WORDS) for _ in range(2 * FRAME_SIZE // 40 + 12345))
_BOTH = pytest.mark.parametrize("compressor", [frames.zstd(1), frames.gzip(1)], ids=["zstd", "gzip"])


def _stream(content: bytes, compressor: frames.Compressor, *, pieces: int, workers: int) -> bytes:
    written: list[bytes] = []
    stream = FrameStream(written.append, compressor, workers=workers)
    try:
        for start in range(0, len(content), pieces):
            stream.write(content[start : start + pieces])
        stream.flush()
    finally:
        stream.close()
    return b"".join(written)


@_BOTH
def test_bytes_do_not_depend_on_threads_or_the_size_of_writes(compressor: frames.Compressor) -> None:
    expected = compressed(_CONTENT, compressor)
    for pieces, workers in ((len(_CONTENT), 1), (1 << 20, 4), (99_991, 2)):
        assert _stream(_CONTENT, compressor, pieces=pieces, workers=workers) == expected


@pytest.mark.parametrize("size", [0, 1, FRAME_SIZE - 1, FRAME_SIZE, FRAME_SIZE + 1, 2 * FRAME_SIZE])
@pytest.mark.parametrize("pieces", [997, FRAME_SIZE, 5 * FRAME_SIZE])
def test_every_frame_except_the_last_is_full(size: int, pieces: int) -> None:
    cut: list[bytes] = []
    cutter = Cutter(cut.append)
    for start in range(0, size, pieces):
        cutter.write(_CONTENT[start : min(start + pieces, size)])
    cutter.flush()
    assert cut == [_CONTENT[start : min(start + FRAME_SIZE, size)] for start in range(0, size, FRAME_SIZE)]


def test_other_decoders_read_the_frames() -> None:
    blob = compressed(_CONTENT)
    assert zstandard.ZstdDecompressor().stream_reader(io.BytesIO(blob), read_across_frames=True).read() == _CONTENT
    blob = compressed(_CONTENT, frames.gzip(1))
    assert gzip.decompress(blob) == _CONTENT


@_BOTH
@given(cuts=st.lists(st.integers(0, 300_000), max_size=6))
@settings(max_examples=20, deadline=None)
def test_concatenated_frames_are_one_stream(compressor: frames.Compressor, cuts: list[int]) -> None:
    content = _CONTENT[:300_000]
    edges = [0, *sorted(cuts), len(content)]
    blob = b"".join(compressor.frame(content[start:end]) for start, end in pairwise(edges))
    assert open_uncompressed(io.BytesIO(blob)).read() == content


@_BOTH
def test_reads_single_frames_of_other_encoders(compressor: frames.Compressor) -> None:
    blob = zstandard.compress(_CONTENT, 1) if compressor.compression is ZSTD else gzip.compress(_CONTENT, 1)
    assert open_uncompressed(io.BytesIO(blob)).read() == _CONTENT


def test_reads_plain_content_as_it_is() -> None:
    assert open_uncompressed(io.BytesIO(_CONTENT)).read() == _CONTENT
    assert open_uncompressed(io.BytesIO(b"")).read() == b""


def test_seeks_forward_only() -> None:
    reader = open_uncompressed(io.BytesIO(compressed(_CONTENT)))
    reader.seek(5_000_000)
    assert reader.tell() == 5_000_000
    assert reader.read(10) == _CONTENT[5_000_000:5_000_010]
    with pytest.raises(io.UnsupportedOperation):
        reader.seek(0)
    reader.seek(1 << 40)
    assert reader.read(1) == b""


@_BOTH
def test_rejects_truncated_and_damaged_frames(compressor: frames.Compressor) -> None:
    blob = compressor.frame(_CONTENT[:100_000]) + compressor.frame(_CONTENT[:1000])
    for length in (len(blob) - 1, len(blob) - 600, len(blob) // 2, 10):
        with pytest.raises(IntegrityError, match="truncated"):
            open_uncompressed(io.BytesIO(blob[:length])).read()
    for position in range(12, len(blob), len(blob) // 50):
        damaged = bytearray(blob)
        damaged[position] ^= 0x55
        with pytest.raises(IntegrityError):
            open_uncompressed(io.BytesIO(bytes(damaged))).read()
    with pytest.raises(IntegrityError, match="damaged"):
        open_uncompressed(io.BytesIO(blob + b"trailing noise")).read()


def test_names_say_what_the_bytes_depend_on() -> None:
    version = ".".join(map(str, zstandard.ZSTD_VERSION))
    assert frames.DEFAULT.name == f"zstandard {zstandard.__version__} (libzstd {version}) level 3 frames 4 MiB"
    assert frames.gzip().name == f"deflate {deflate.__version__} level 4 frames 4 MiB"


def test_gzip_gives_the_same_bytes_on_every_machine() -> None:
    content = b"".join(b"%d %x\n" % (number, number * number) for number in range(100_000))
    assert frames.gzip().name == "deflate 0.9.0 level 4 frames 4 MiB", "the version of dependency group `recorded`"
    assert (
        sha256_bytes(frames.gzip().frame(content)) == "add0030d307aedbaf17687af3d7bd990b425daaa9655ae3655f71801e8b546b4"
    )


def test_gzip_headers_have_no_time_and_no_system() -> None:
    assert frames.gzip().frame(b"x")[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


def test_raises_the_error_of_its_sink() -> None:
    def full(_: bytes) -> None:
        raise OSError("full")

    stream = FrameStream(full, workers=1)
    try:
        stream.write(b"x")
        with pytest.raises(OSError, match="full"):
            stream.flush()
    finally:
        stream.close()


def test_rejects_another_compression_than_expected() -> None:
    blob = frames.gzip(1).frame(b"content")
    with pytest.raises(IntegrityError, match="compression is gzip, expected zstd"):
        list(decompress(io.BytesIO(blob), ZSTD))
    with pytest.raises(IntegrityError, match="compression is none, expected gzip"):
        list(decompress(io.BytesIO(b"content"), GZIP))
    assert b"".join(decompress(io.BytesIO(blob), GZIP)) == b"content"
    assert b"".join(decompress(io.BytesIO(b""), GZIP)) == b""


def test_decompressing_zeros_does_not_fill_the_memory() -> None:
    code = """
import io, re, zstandard
from rtbuild.formats.frames import open_uncompressed
state = zstandard.ZstdCompressor().compressobj()
blob = b"".join(state.compress(bytes(1 << 20)) for _ in range(300)) + state.flush()
reader = open_uncompressed(io.BytesIO(blob))
reader.seek(290 << 20)
assert reader.read(1) == b"\\0"
# VmHWM, because a child inherits its parent's ru_maxrss
assert int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) < 150_000
"""
    path = str(next(iter(rtbuild.__path__)))
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": path.removesuffix("/rtbuild")})
