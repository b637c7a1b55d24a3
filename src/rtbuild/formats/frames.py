"""Compress layers so that the bytes depend only on the content and the compressor's version.

A stream is cut every `FRAME_SIZE` bytes, and each piece becomes a frame of its own. Decoders read concatenated frames
as one stream (RFC 8878, section 3.1; RFC 1952, section 2.2, for gzip members). Pieces can therefore be compressed on
all cores without the number of cores changing the result, and frames compressed earlier go into a layer as they are.
BuildKit's own compressors are not used: their bytes change with the version of Go, the CPU and the thread count.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

import zstandard

from rtbuild.errors import IntegrityError
from rtbuild.formats.compression import GZIP, MAGIC_SIZE, PLAIN, ZSTD, Compression, compression_of
from rtbuild.formats.streams import decompressed

if TYPE_CHECKING:
    from concurrent.futures import Future

    from typing_extensions import Buffer

FRAME_SIZE = 4 << 20
"""Uncompressed bytes per frame. Measured: layers are 0.3 % larger than as a single frame, and all cores are busy."""

ZSTD_LEVEL = 3
GZIP_LEVEL = 4
"""Layers are 2 % larger than with zlib's level 6, in a third of its time."""

_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressor:
    """A compression with its library and level.

    `name` says everything that the compressed bytes depend on. `frame` turns up to `FRAME_SIZE` bytes into one frame;
    it may be called from many threads.
    """

    name: str
    compression: Compression
    frame: Callable[[bytes], bytes]


def zstd(level: int = ZSTD_LEVEL) -> Compressor:
    """Return a Zstandard compressor, `level` 1 to 19. Docker 23 and containerd 1.5 are the first to read its layers."""
    version = ".".join(str(part) for part in zstandard.ZSTD_VERSION)

    def frame(content: bytes) -> bytes:
        # threads=0 compresses in the calling thread: libzstd's own workers would cut the content elsewhere.
        return zstandard.ZstdCompressor(level=level, threads=0, write_checksum=True).compress(content)

    name = f"zstandard {zstandard.__version__} (libzstd {version}) level {level} frames {FRAME_SIZE >> 20} MiB"
    return Compressor(name=name, compression=ZSTD, frame=frame)


def gzip(level: int = GZIP_LEVEL) -> Compressor:
    """Return a gzip compressor, `level` 1 to 12, for registries and engines that are too old for zstd.

    It takes five times as long. libdeflate is part of its package, while zlib is the machine's: distributions have
    different versions, and some have zlib-ng in its place.
    """
    import deflate  # most commands compress nothing with it

    def frame(content: bytes) -> bytes:
        # The header is written here: no time, no name, and 255 ("unknown") as the system.
        body = deflate.deflate_compress(content, level)
        return GZIP.magic + b"\x08\0\0\0\0\0\0\xff" + body + struct.pack("<II", zlib.crc32(content), len(content))

    name = f"deflate {deflate.__version__} level {level} frames {FRAME_SIZE >> 20} MiB"
    return Compressor(name=name, compression=GZIP, frame=frame)


DEFAULT = zstd()
COMPRESSORS: dict[str, Callable[[], Compressor]] = {ZSTD.name: zstd, GZIP.name: gzip}
"""Makes the compressor of each of `compression.COMPRESSIONS`, by its name."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Cutter:
    """Cuts a stream into the pieces that become frames and passes each to `sink`.

    Where it cuts depends on the bytes and on calls of `flush`, not on how the bytes were split into writes.
    """

    def __init__(self, sink: Callable[[bytes], object]) -> None:
        self._sink = sink
        self._buffer = bytearray()

    def write(self, content: bytes) -> None:
        """Take `content`; raises what `sink` raises."""
        rest = memoryview(content)
        # At most one frame in the buffer: with several streams at once, whole large libraries would add up.
        while (missing := FRAME_SIZE - len(self._buffer)) <= len(rest):
            self._buffer += rest[:missing]
            rest = rest[missing:]
            self.flush()
        self._buffer += rest

    def flush(self) -> None:
        """End the current frame."""
        if self._buffer:
            piece = bytes(self._buffer)
            self._buffer.clear()
            self._sink(piece)


class FrameStream:
    """Compresses a stream into frames (see `Cutter`) on `workers` threads and passes them to `sink` in order.

    At most `workers + 2` frames are in memory.
    """

    def __init__(self, sink: Callable[[bytes], object], compressor: Compressor = DEFAULT, *, workers: int = 2) -> None:
        self._sink = sink
        self._compressor = compressor
        from concurrent.futures import ThreadPoolExecutor  # a build that finds every layer compresses nothing

        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="compress")
        self._waiting: deque[Future[bytes]] = deque()
        self._limit = workers + 1
        self._cutter = Cutter(self._submit)

    def write(self, content: bytes) -> None:
        """Take `content`; raises what `sink` raises."""
        self._cutter.write(content)

    def end_frame(self) -> None:
        """End the current frame: what follows goes into another one."""
        self._cutter.flush()

    def flush(self) -> None:
        """End the current frame and wait until `sink` has every frame."""
        self._cutter.flush()
        while self._waiting:
            self._sink(self._waiting.popleft().result())

    def close(self) -> None:
        """Stop the threads and drop what was not flushed."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _submit(self, piece: bytes) -> None:
        self._waiting.append(self._pool.submit(self._compressor.frame, piece))
        while len(self._waiting) > self._limit or (self._waiting and self._waiting[0].done()):
            self._sink(self._waiting.popleft().result())


def open_uncompressed(source: Path | BinaryIO) -> BinaryIO:
    """Return a reader of the uncompressed content of `source`: zstd frames, gzip members or plain bytes.

    It can only seek forward. Closing it closes `source` if that is a path, and leaves a file open.

    Raises:
        IntegrityError: while it is read, if compressed data is truncated or damaged.
    """
    file = source.open("rb") if isinstance(source, Path) else source
    return io.BufferedReader(_Pieces(decompress(file), file if isinstance(source, Path) else None), _CHUNK)


def reader_of(pieces: Iterator[bytes]) -> BinaryIO:
    """Return a reader of the bytes in `pieces`. It can only seek forward, and raises what the iterator raises."""
    return io.BufferedReader(_Pieces(pieces, None), _CHUNK)


def decompress(
    file: _Readable, expected: Compression | None = None, *, at_frame_end: Callable[[], object] | None = None
) -> Iterator[bytes]:
    """Yield the uncompressed content of `file` from its position on, in pieces.

    `at_frame_end` is called after the last piece of each frame.

    Raises:
        IntegrityError: if compressed data is truncated or damaged, or not compressed as `expected`.
    """
    head = file.read(MAGIC_SIZE)
    compression = compression_of(head)
    if expected and head and compression is not expected:
        raise IntegrityError(f"compression is {compression.name}, expected {expected.name}")
    if compression is PLAIN:
        yield head
        while piece := file.read(_CHUNK):
            yield piece
        return
    try:
        yield from decompressed(_chunks(head, file), "zstd" if compression is ZSTD else "gzip", at_end=at_frame_end)
    except ValueError as error:
        text = str(error).removeprefix("cannot be decompressed: ")
        if text == "is truncated":
            raise IntegrityError("truncated compressed data") from None
        raise IntegrityError("damaged compressed data", details=text) from None


def _chunks(head: bytes, file: _Readable) -> Iterator[bytes]:
    yield head
    while chunk := file.read(_CHUNK):
        yield chunk


class _Pieces(io.RawIOBase):
    """A file of an iterator's bytes that can be read and only seeks forward; closing it closes `owned`."""

    def __init__(self, pieces: Iterator[bytes], owned: BinaryIO | None) -> None:
        self._pieces = pieces
        self._owned = owned
        self._piece = memoryview(b"")
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Buffer) -> int:
        if not self._next():
            return 0
        target = memoryview(buffer)
        count = min(len(target), len(self._piece))
        target[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        self._position += count
        return count

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 1:
            offset += self._position
        if whence == 2 or offset < self._position:
            raise io.UnsupportedOperation("compressed data can only be read forward")
        while self._position < offset and self._next():
            count = min(offset - self._position, len(self._piece))
            self._piece = self._piece[count:]
            self._position += count
        return self._position

    def close(self) -> None:
        if self._owned is not None:
            self._owned.close()
        super().close()

    def _next(self) -> bool:
        while not self._piece:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._piece = memoryview(piece)
        return True
