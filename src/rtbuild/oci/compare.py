"""Compare two layers, member by member."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rtbuild.formats.frames import open_uncompressed
from rtbuild.formats.tar import read_members
from rtbuild.formats.tar_entry import REGULAR, Entry
from rtbuild.text import printable

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A difference between layers a and b.

    Attributes:
        path: The absolute path of the member, with escapes for characters that cannot be printed.
        what: `missing` (only in a), `added` (only in b), `duplicate`, `order`, or what differs: `type`, `mode`,
            `owner`, `size`, `mtime`, `link`, `device`, `xattrs` or `content`.
        before: The value in a, as text.
        after: The value in b, as text.
    """

    path: str
    what: str
    before: str = ""
    after: str = ""


@dataclass(slots=True)
class _Member:
    entry: Entry
    sha256: bytes


def compare_layers(a: Path | BinaryIO, b: Path | BinaryIO) -> tuple[Difference, ...]:
    """Return how layer `b` differs from layer `a`, sorted by path. Either may be compressed.

    Equal members in another order are a single difference `order` at the first path that is out of place. A summary of
    the members of `a` is kept in memory, about 400 bytes each, and no content.

    Raises:
        IntegrityError: if a layer is malformed.
    """
    differences: list[Difference] = []
    before: dict[str, _Member] = {}
    for member in _members(a):
        if member.entry.path in before:
            differences.append(_difference(member.entry.path, "duplicate", "twice", ""))
        before[member.entry.path] = member
    expected = iter(before)
    moved: str | None = None
    seen: set[str] = set()
    for member in _members(b):
        path = member.entry.path
        if path in seen:
            differences.append(_difference(path, "duplicate", "", "twice"))
            continue
        seen.add(path)
        old = before.get(path)
        if old is None:
            differences.append(_difference(path, "added", "", member.entry.type))
            continue
        differences.extend(_compare(old, member))
        if moved is None and not _comes_next(expected, path):
            moved = path
    missing = [path for path in before if path not in seen]
    differences += [_difference(path, "missing", before[path].entry.type, "") for path in missing]
    if moved is not None:
        differences.append(_difference(moved, "order", "", ""))
    return tuple(sorted(differences, key=lambda difference: (difference.path, difference.what)))


def _comes_next(expected: Iterator[str], path: str) -> bool:
    """Advance `expected` to `path`, over members that are missing in b; return whether it was found."""
    return any(candidate == path for candidate in expected)


def _compare(a: _Member, b: _Member) -> Iterator[Difference]:
    old, new = a.entry, b.entry
    pairs = (
        ("type", old.type, new.type),
        ("mode", f"{old.mode:04o}", f"{new.mode:04o}"),
        ("owner", f"{old.uid}:{old.gid}", f"{new.uid}:{new.gid}"),
        ("size", str(old.size), str(new.size)),
        ("mtime", str(old.mtime), str(new.mtime)),
        ("link", old.link, new.link),
        ("device", "{}:{}".format(*old.device), "{}:{}".format(*new.device)),
        ("xattrs", _attributes(old), _attributes(new)),
        ("content", a.sha256.hex(), b.sha256.hex()),
    )
    for what, before, after in pairs:
        if before != after:
            yield _difference(old.path, what, before, after)


def _attributes(entry: Entry) -> str:
    return " ".join(f"{name}=0x{value.hex()}" for name, value in sorted((entry.xattrs or {}).items()))


def _difference(path: str, what: str, before: str, after: str) -> Difference:
    return Difference(path=printable(f"/{path}"), what=what, before=printable(before), after=printable(after))


def _members(layer: Path | BinaryIO) -> Iterator[_Member]:
    with _opened(layer) as file:
        for entry, _ in read_members(file):
            hasher = hashlib.sha256()
            left = entry.size
            while left and (piece := file.read(min(left, _CHUNK))):
                hasher.update(piece)
                left -= len(piece)
            yield _Member(entry, hasher.digest() if entry.type == REGULAR else b"")


@contextmanager
def _opened(layer: Path | BinaryIO) -> Iterator[BinaryIO]:
    file = open_uncompressed(layer)
    try:
        yield file
    finally:
        file.close()
