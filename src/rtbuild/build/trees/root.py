"""Folders of Debian packages as one plain tar: what a container needs before there is a dpkg in it.

Nothing here runs dpkg or touches a filesystem tree: the members of each package's `data.tar` are copied, header and
all, into one tar that BuildKit's `ADD` unpacks. The bytes depend on the packages and their order alone.
"""

from __future__ import annotations

import lzma
import mmap
import os
import re
import tempfile
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Protocol

import zstandard

from rtbuild.errors import BuildError, IntegrityError
from rtbuild.lock.model import DebArtifact

_PYTHON = re.compile(r"(libpython3-stdlib|python3-distutils|python3-lib2to3|python3\.\d+(-minimal)?)\Z")
"""The packages that a Python able to compile wheels and to build pure sdists consists of, where a lock has them."""

_BLOCK = 512
_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = 60
_PIECE = 1 << 20
_EXTENSION_TYPES = frozenset(b"LKxg")
_DIRECTORY_TYPE = ord("5")


def unpack_debs(debs: Sequence[Path], out: Path, *, jobs: int | None = None) -> None:
    """Write the files of `debs` to the plain tar `out`, package by package, in the order given, each directory once.

    Nothing of the packages is run or configured. Needs memory for a few MiB, and space beside `out` for the largest
    packages. Raises `IntegrityError` for a file that is no Debian package (deb(5)), `BuildError` for one in a format
    rtbuild does not know.
    """
    workers = max(1, min(jobs or os.cpu_count() or 1, len(debs) or 1))
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream, ThreadPoolExecutor(workers) as pool:
            directories: set[bytes] = set()
            for deb, payload in _decompressed(debs, out.parent, pool, ahead=workers):
                with payload:
                    _append(deb, payload, stream, directories)
            stream.write(bytes(2 * _BLOCK))
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def tool_debs(debs: Sequence[DebArtifact], names: Sequence[str] | None = None) -> tuple[DebArtifact, ...]:
    """The packages among `debs` that `names` (default: Python) are made of: themselves and, over `depends`, all that
    they need; by name.

    Names that `debs` does not have are passed over; raises `BuildError` where it has none of them.
    """
    by_name = {deb.name: deb for deb in debs}
    wanted = [name for name in by_name if (name in names if names is not None else _PYTHON.match(name))]
    if not wanted:
        missing = "Python to compile wheels with" if names is None else f"package {' or '.join(names)}"
        raise BuildError(f"the lock has no {missing}", hint="a Debian layer must install it")
    chosen: dict[str, DebArtifact] = {}
    while wanted:
        name = wanted.pop()
        if name in chosen or name not in by_name:
            continue
        chosen[name] = by_name[name]
        wanted.extend(by_name[name].depends)
    return tuple(chosen[name] for name in sorted(chosen))


def _decompressed(
    debs: Sequence[Path], folder: Path, pool: ThreadPoolExecutor, *, ahead: int
) -> Iterator[tuple[Path, BinaryIO]]:
    """Each package with its data.tar as an unnamed temporary file, in order, `ahead` packages decompressed in
    advance."""
    pending: deque[tuple[Path, Future[BinaryIO]]] = deque()
    remaining = iter(debs)
    try:
        while True:
            while len(pending) <= ahead and (deb := next(remaining, None)) is not None:
                pending.append((deb, pool.submit(_data_tar, deb, folder)))
            if not pending:
                return
            deb, future = pending.popleft()
            yield deb, future.result()
    finally:
        for _, future in pending:
            if not future.cancel() and future.exception() is None:
                future.result().close()


class _Decompressor(Protocol):
    def decompress(self, data: bytes, /) -> bytes: ...


def _data_tar(deb: Path, folder: Path) -> BinaryIO:
    """The data.tar of `deb`, decompressed into an unnamed temporary file in `folder`."""
    with deb.open("rb") as stream:
        name, size = _find_data_member(deb, stream)
        decompressor = _decompressor(deb, name)
        plain: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (the caller closes it)
        try:
            while size > 0:
                piece = stream.read(min(_PIECE, size))
                if not piece:
                    raise IntegrityError(f"{deb.name}: the package is cut short in {name}")
                size -= len(piece)
                plain.write(decompressor.decompress(piece) if decompressor else piece)
            if decompressor and not getattr(decompressor, "eof", True):
                raise IntegrityError(f"{deb.name}: {name} is cut short")
            plain.flush()
        except (lzma.LZMAError, zlib.error, zstandard.ZstdError) as error:
            plain.close()
            raise IntegrityError(f"{deb.name}: {name} cannot be decompressed", details=str(error)) from error
        except BaseException:
            plain.close()
            raise
    return plain


def _find_data_member(deb: Path, stream: BinaryIO) -> tuple[str, int]:
    """Place `stream` at the content of the ar member `data.tar*`; its name and size."""
    if stream.read(len(_AR_MAGIC)) != _AR_MAGIC:
        raise IntegrityError(f"{deb.name}: not a Debian package")
    while header := stream.read(_AR_HEADER):
        name = header[:16].decode("ascii", "replace").strip().removesuffix("/")
        if len(header) != _AR_HEADER or header[58:] != b"`\n" or not header[48:58].strip().isdigit():
            raise IntegrityError(f"{deb.name}: not a Debian package: its ar header is damaged")
        size = int(header[48:58])
        if name.startswith("data.tar"):
            return name, size
        stream.seek(size + size % 2, os.SEEK_CUR)
    raise IntegrityError(f"{deb.name}: not a Debian package: it has no data.tar")


def _decompressor(deb: Path, name: str) -> _Decompressor | None:
    match name.removeprefix("data.tar"):
        case "":
            return None
        case ".gz":
            return zlib.decompressobj(wbits=31)
        case ".xz":
            return lzma.LZMADecompressor(lzma.FORMAT_XZ)
        case ".zst":
            return zstandard.ZstdDecompressor().decompressobj()
        case unknown:
            raise BuildError(f"{deb.name}: its files are compressed as {unknown or name}, which rtbuild does not know")


def _append(deb: Path, payload: BinaryIO, out: BinaryIO, directories: set[bytes]) -> None:
    """Copy the members of one data.tar, without its end and without directories that came before."""
    length = payload.seek(0, os.SEEK_END)
    if not length:
        return
    with mmap.mmap(payload.fileno(), length, access=mmap.ACCESS_READ) as data, memoryview(data) as view:
        start = offset = copied = 0
        long_name: bytes | None = None
        while offset + _BLOCK <= length:
            header = data[offset : offset + _BLOCK]
            if not header.strip(b"\0"):
                break
            kind = header[156]
            size = _octal(deb, header[124:136])
            following = offset + _BLOCK + -(-size // _BLOCK) * _BLOCK
            if following > length:
                raise IntegrityError(f"{deb.name}: its data.tar is cut short")
            if kind in _EXTENSION_TYPES:
                # The header proper follows; they stay together.
                if kind == ord("L"):
                    long_name = data[offset + _BLOCK : offset + _BLOCK + size].rstrip(b"\0")
                offset = following
                continue
            name = (long_name or header[:100].split(b"\0", 1)[0]).removeprefix(b"./").rstrip(b"/")
            long_name = None
            if kind == _DIRECTORY_TYPE and name in directories:
                out.write(view[copied:start])
                copied = following
            elif kind == _DIRECTORY_TYPE:
                directories.add(name)
            start = offset = following
        out.write(view[copied:start])


def _octal(deb: Path, field: bytes) -> int:
    text = field.strip(b" \0")
    try:
        return int(text or b"0", 8)
    except ValueError:
        raise IntegrityError(f"{deb.name}: its data.tar has a damaged header") from None
