"""Unpack Debian packages into a single tar, the root of a container in which dpkg is not installed yet.

dpkg is not run and nothing is unpacked to disk: the members of each package's `data.tar` are copied with their headers
into one tar, which BuildKit's `ADD` unpacks. Its bytes depend only on the packages and their order.
"""

from __future__ import annotations

import mmap
import os
import re
import tempfile
from collections import deque
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from rtbuild.errors import BuildError, IntegrityError
from rtbuild.formats.deb import data_tar
from rtbuild.formats.debian_versions import version_satisfies
from rtbuild.formats.tar import member_header, padding, read_members
from rtbuild.formats.tar_entry import DIRECTORY, HARDLINK, SYMLINK, Entry
from rtbuild.lockfile.model import DebArtifact

_PYTHON = re.compile(r"(libpython3-stdlib|python3-distutils|python3-lib2to3|python3\.\d+(-minimal)?)\Z")
"""The packages, if a lock has them, of a Python that can compile wheels and build pure sdists."""

_FIRST_MERGED = "12"  # base-files has the version of its Debian

_BLOCK = 512
_EXTENSION_TYPES = frozenset(b"LKxg")
_DIRECTORY_TYPE = ord("5")


def unpack_debs(
    debs: Sequence[Path],
    out: Path,
    *,
    jobs: int | None = None,
    links: Collection[str] = (),
    without: Collection[str] = (),
) -> None:
    """Write the files of `debs` to the uncompressed tar `out`, in the given order, with each directory only once.

    The packages are not configured, and their scripts are not run. Needs a few MiB of memory, and disk space next to
    `out` for the largest packages.

    Args:
        debs: The files of the packages.
        out: The tar to write.
        jobs: How many packages to decompress in parallel (default: one per processor).
        links: The folders of the root that are links into `usr` (see `merged_folders`).
        without: What paths that are left out start with, such as `usr/share/doc/`.

    Raises:
        IntegrityError: if a file is not a Debian package (deb(5)).
    """
    workers = max(1, min(jobs or os.cpu_count() or 1, len(debs) or 1))
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    left_out = tuple(start.encode() for start in without)
    try:
        with partial.open("wb") as stream, ThreadPoolExecutor(workers) as pool:
            directories: set[bytes] = set()
            stream.writelines(member_header(entry) for entry in root_links(links))
            for deb, payload in _decompressed(debs, out.parent, pool, ahead=workers):
                with payload:
                    if links:
                        _append_merged(payload, stream, directories, links, left_out)
                    else:
                        _append(deb, payload, stream, directories, left_out)
            stream.write(bytes(2 * _BLOCK))
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def tool_debs(debs: Sequence[DebArtifact], names: Sequence[str] | None = None) -> tuple[DebArtifact, ...]:
    """Return the packages called `names` (default: those of Python) and all their dependencies in `debs`, by name.

    Names that are not in `debs` are ignored.

    Raises:
        BuildError: if `debs` has none of the packages.
    """
    by_name = {deb.name: deb for deb in debs}
    wanted = [name for name in by_name if (name in names if names is not None else _PYTHON.match(name))]
    if not wanted:
        missing = "Python to compile wheels with" if names is None else f"package {' or '.join(names)}"
        raise BuildError(f"the lock has no {missing}", hint="add it to the packages of a Debian layer")
    chosen: dict[str, DebArtifact] = {}
    while wanted:
        name = wanted.pop()
        if name in chosen or name not in by_name:
            continue
        chosen[name] = by_name[name]
        wanted.extend(by_name[name].depends)
    return tuple(chosen[name] for name in sorted(chosen))


def merged_folders(debs: Iterable[DebArtifact]) -> tuple[str, ...]:
    """Return the folders of the root that must be links into `/usr` before `debs` are unpacked; none before Debian 12.

    Since Debian 12, /bin, /lib, /lib64 and /sbin are links (release notes of Debian 12, "merged /usr is now required").
    Its packages still have files below /bin, and what would turn folders into links, usrmerge, does not work on an
    overlay. In Debian 13 base-files brings the links, but the programs of a tool root come without base-files.
    """
    by_name = {deb.name: deb for deb in debs}
    base = by_name.get("base-files")
    if base is None or not version_satisfies(base.version, ">=", _FIRST_MERGED):
        return ()
    # The ABI of amd64 has its loader in /lib64, and that of arm64 in /lib.
    return ("bin", "lib", "lib64", "sbin") if base.architecture == "amd64" else ("bin", "lib", "sbin")


def root_links(links: Collection[str]) -> Iterator[Entry]:
    """Yield the tar members that make the folders `links` of the root links into `usr`."""
    for name in sorted(links):
        yield Entry(path=name, type=SYMLINK, mode=0o777, link=f"usr/{name}")


def decompressed(debs: Sequence[Path], folder: Path, jobs: int) -> Generator[BinaryIO, None, None]:
    """Yield the data.tar of each package, in order, as an unnamed temporary file in `folder`, which the caller closes.

    A caller that may stop early has to close the generator. Left to the garbage collector, it would wait for threads in
    whatever thread that runs in, which may be one of them.

    Args:
        debs: The files of the packages.
        folder: Where there is space for the largest packages.
        jobs: How many to decompress in parallel.

    Raises:
        IntegrityError: if a file is not a Debian package (deb(5)).
    """
    with ThreadPoolExecutor(max(1, jobs)) as pool, closing(_decompressed(debs, folder, pool, ahead=jobs)) as payloads:
        for _, payload in payloads:
            yield payload


def _decompressed(
    debs: Sequence[Path], folder: Path, pool: ThreadPoolExecutor, *, ahead: int
) -> Generator[tuple[Path, BinaryIO], None, None]:
    """Yield each package and its data.tar as an unnamed temporary file, in order; decompress `ahead` in advance."""
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
    """Decompress the data.tar of `deb` into an unnamed temporary file in `folder`."""
    plain: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (the caller closes it)
    try:
        with deb.open("rb") as stream:
            plain.writelines(data_tar(stream))
        plain.flush()
    except ValueError as error:
        plain.close()
        raise IntegrityError(f"{deb.name} cannot be unpacked as a Debian package: {error}") from error
    except BaseException:
        plain.close()
        raise
    return plain


def _append(deb: Path, payload: BinaryIO, out: BinaryIO, directories: set[bytes], left_out: tuple[bytes, ...]) -> None:
    """Copy the members of one data.tar, without its end-of-archive blocks and without `directories` seen before.

    Members whose paths start with one of `left_out` are not copied.
    """
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
                raise IntegrityError(f"{deb.name}: its data.tar is truncated")
            if kind in _EXTENSION_TYPES:
                # It belongs to the header that follows; the two stay together.
                if kind == ord("L"):
                    long_name = data[offset + _BLOCK : offset + _BLOCK + size].rstrip(b"\0")
                offset = following
                continue
            name = (long_name or header[:100].split(b"\0", 1)[0]).removeprefix(b"./").rstrip(b"/")
            long_name = None
            if name.startswith(left_out) or (kind == _DIRECTORY_TYPE and name in directories):
                out.write(view[copied:start])
                copied = following
            elif kind == _DIRECTORY_TYPE:
                directories.add(name)
            start = offset = following
        out.write(view[copied:start])


def _append_merged(
    payload: BinaryIO,
    out: BinaryIO,
    directories: set[bytes],
    links: Collection[str],
    left_out: tuple[bytes, ...],
) -> None:
    """Copy the members of one data.tar as `_append` does, those below one of `links` into `usr`."""
    if not payload.seek(0, os.SEEK_END):
        return
    payload.seek(0)
    for entry, position in read_members(payload):
        if entry.path in links and entry.type == SYMLINK:
            continue  # base-files of Debian 13 has the links too
        entry.path = merged(entry.path, links)
        if entry.type == HARDLINK:
            entry.link = merged(entry.link, links)
        name = entry.path.encode("utf-8", "surrogateescape")
        if name.startswith(left_out):
            continue
        if entry.type == DIRECTORY:
            if not name or name in directories:
                continue
            directories.add(name)
        out.write(member_header(entry))
        if entry.size:
            payload.seek(position)
            out.write(payload.read(entry.size))
            out.write(padding(entry.size))


def merged(path: str, links: Collection[str]) -> str:
    """Return where a path of a package is if the folders `links` of the root are links into `usr`."""
    return f"usr/{path}" if path.partition("/")[0] in links else path


def _octal(deb: Path, field: bytes) -> int:
    text = field.strip(b" \0")
    try:
        number = int(text or b"0", 8)
        if number < 0:  # a member would end before it begins, and be read for ever
            raise ValueError("negative")
        return number
    except ValueError:
        raise IntegrityError(f"{deb.name}: its data.tar has a damaged header") from None
