"""Folders of Debian packages as one plain tar: what a container needs before there is a dpkg in it.

Nothing here runs dpkg or touches a filesystem tree: the members of each package's `data.tar` are copied, header and
all, into one tar that BuildKit's `ADD` unpacks. The bytes depend on the packages and their order alone.
"""

from __future__ import annotations

import mmap
import os
import re
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from rtbuild.errors import BuildError, IntegrityError
from rtbuild.formats.deb import data_tar
from rtbuild.lockfile.model import DebArtifact

_PYTHON = re.compile(r"(libpython3-stdlib|python3-distutils|python3-lib2to3|python3\.\d+(-minimal)?)\Z")
"""The packages that a Python able to compile wheels and to build pure sdists consists of, where a lock has them."""

_BLOCK = 512
_EXTENSION_TYPES = frozenset(b"LKxg")
_DIRECTORY_TYPE = ord("5")


def unpack_debs(debs: Sequence[Path], out: Path, *, jobs: int | None = None) -> None:
    """Write the files of `debs` to the plain tar `out`, package by package, in the order given, each directory once.

    Nothing of the packages is run or configured. Needs memory for a few MiB, and space beside `out` for the largest
    packages. Raises `IntegrityError` for a file that is no Debian package (deb(5)).
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


def _data_tar(deb: Path, folder: Path) -> BinaryIO:
    """The data.tar of `deb`, decompressed into an unnamed temporary file in `folder`."""
    plain: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (the caller closes it)
    try:
        with deb.open("rb") as stream:
            plain.writelines(data_tar(stream))
        plain.flush()
    except ValueError as error:
        plain.close()
        raise IntegrityError(f"{deb.name} is not a Debian package that can be unpacked: {error}") from error
    except BaseException:
        plain.close()
        raise
    return plain


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
