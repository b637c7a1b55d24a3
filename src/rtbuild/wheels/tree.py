"""The tree of a wheel: all files that pip would install for it, compiled, as canonical members of a layer's tar."""

from __future__ import annotations

import csv
import fnmatch
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from io import StringIO
from typing import Protocol

from rtbuild.digest import Key, Sha256, canonical_json, sha256_bytes
from rtbuild.errors import IntegrityError
from rtbuild.formats.tar import member_header, padding
from rtbuild.formats.tar_entry import Entry
from rtbuild.recipe.model import Removal
from rtbuild.wheels.scheme import Scheme
from rtbuild.wheels.wheel import Part, Wheel, record_hash

SCHEMA = 3
"""Increase it whenever the same inputs give different bytes than before."""

_EXECUTABLE, _PLAIN = 0o755, 0o644
_NOT_COMPILED: Mapping[str, bytes] = {}

_Content = tuple[int, Iterable[bytes]]
"""The size of a file in bytes, and its content in pieces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeFile:
    """A regular file of a tree. `path` is relative to the root, `mode` the permission bits, `size` in bytes."""

    path: str
    mode: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeIndex:
    """The files of a tree in the order of its members: by path, with RECORD last."""

    files: tuple[TreeFile, ...]

    @property
    def directories(self) -> frozenset[str]:
        """Every directory that the files need. They are not part of the tree, because a layer has each only once."""
        folders: set[str] = set()
        for file in self.files:
            folder = file.path.rpartition("/")[0]
            while folder and folder not in folders:
                folders.add(folder)
                folder = folder.rpartition("/")[0]
        return frozenset(folders)


class TreeWriter(Protocol):
    """Receives the bytes of a tree: a binary file, or a compressor."""

    def write(self, content: bytes, /) -> object: ...


def compose_tree(
    wheel: Wheel,
    compiled: Mapping[str, bytes] | None,
    *,
    uploaded: int,
    scheme: Scheme,
    excluded: Collection[str] = (),
    out: TreeWriter,
) -> TreeIndex:
    """Write the tree of `wheel` to `out` as tar members of regular files, without directories or end-of-archive blocks.

    RECORD lists the files that are really in the tree, in the form that pip writes. It comes last, because it needs the
    hashes of all others.

    Args:
        wheel: The wheel.
        compiled: Its compiled modules by the absolute path of their source; None to leave them out.
        uploaded: The mtime of every file, in seconds since 1970.
        scheme: Where files are installed.
        excluded: Absolute paths to leave out. Without its source, a compiled module is left out too.
        out: Receives the tree.

    Raises:
        IntegrityError: if the wheel is damaged, or `compiled` has modules that are not in the wheel.
    """
    files: list[TreeFile] = []
    rows: list[tuple[str, str, str]] = []
    library = scheme.library

    def add(path: str, mode: int, size: int, pieces: Iterable[bytes]) -> None:
        entry = Entry(path=path[1:], mode=mode, size=size, mtime=uploaded)
        compiled_module = path.endswith(".pyc")
        digest = sha256()
        out.write(member_header(entry))
        for piece in pieces:
            if not compiled_module:  # a fifth of all bytes, whose hashes nobody reads
                digest.update(piece)
            out.write(piece)
        out.write(padding(size))
        files.append(TreeFile(path=entry.path, mode=mode, size=size))
        if compiled_module:
            rows.append((_in_record(path, library), "", ""))
        else:
            rows.append((_in_record(path, library), record_hash(digest.digest()), str(size)))

    for path, mode, read in sorted(_contents(wheel, compiled or _NOT_COMPILED, scheme, frozenset(excluded))):
        add(path, mode, *read())
    rows.append((_in_record(wheel.record, library), "", ""))
    record = _record(rows)
    add(wheel.record, _PLAIN, len(record), (record,))
    return TreeIndex(files=tuple(files))


def excluded_paths(wheel: Wheel, removals: Sequence[Removal], scheme: Scheme) -> frozenset[str]:
    """Return the absolute paths of `wheel`, compiled modules included, that `removals` match."""
    if not removals:
        return frozenset()
    patterns = [removal.pattern.rstrip("/") for removal in removals]
    # The path itself, and everything below it. The result of translate() is used as a whole: its end differs between
    # Python versions.
    regex = re.compile("|".join(fnmatch.translate(pattern + below) for pattern in patterns for below in ("", "/*")))
    excluded = set()
    for path in wheel.parts:
        if regex.match(path):
            excluded.add(path)
        elif scheme.is_module(path) and regex.match(compiled := scheme.compiled(path)):
            excluded.add(compiled)
    return frozenset(excluded)


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeInputs:
    """Everything that the bytes of a tree and of its compressed frames depend on.

    Attributes:
        wheel: The digest of the wheel: as in the lock, or of the wheel that was built from an sdist or patched.
        uploaded: The mtime of every file, in seconds since 1970.
        python: The source version of the Python that compiles (`3.9.2-1+deb11u3`), the same on every architecture.
        scheme: Where files are installed.
        excluded: Absolute paths to leave out, in any order.
        compile_script: The digest of the script that compiles.
        compressor: The name of the compressor.
    """

    wheel: Sha256
    uploaded: int
    python: str
    scheme: Scheme
    excluded: Collection[str]
    compile_script: Sha256
    compressor: str

    @property
    def key(self) -> Key:
        """The key of the tree."""
        inputs = {
            "schema": SCHEMA,
            "wheel": self.wheel,
            "uploaded": self.uploaded,
            "python": self.python,
            "scheme": asdict(self.scheme),
            "excluded": sorted(self.excluded),
            "compile-script": self.compile_script,
            "compressor": self.compressor,
        }
        return Key(sha256_bytes(canonical_json(inputs)))


def _contents(
    wheel: Wheel, compiled: Mapping[str, bytes], scheme: Scheme, excluded: frozenset[str]
) -> Iterator[tuple[str, int, Callable[[], _Content]]]:
    """Yield the path and mode of each file, and a function that returns its content."""
    for path, part in wheel.parts.items():
        if path in excluded or path == wheel.record:
            continue
        yield path, _EXECUTABLE if part.executable else _PLAIN, partial(_installed, wheel, part)
        if path in compiled and (target := scheme.compiled(path)) not in excluded:
            yield target, _PLAIN, partial(_module, compiled, path)
    if unknown := compiled.keys() - wheel.parts.keys():
        raise IntegrityError(
            f"{wheel.label}: there are compiled modules without a source in the wheel",
            details=", ".join(sorted(unknown)[:5]),
        )


def _installed(wheel: Wheel, part: Part) -> _Content:
    return part.size, wheel.pieces(part)


def _module(compiled: Mapping[str, bytes], path: str) -> _Content:
    content = compiled[path]
    return len(content), (content,)


def _in_record(path: str, library: str) -> str:
    """Return `path` as RECORD spells it: relative to the library folder (PEP 376)."""
    if path.startswith(f"{library}/"):
        return path[len(library) + 1 :]
    here, there = library.split("/"), path.split("/")
    common = 0
    while here[common] == there[common]:
        common += 1
    return "/".join([".."] * (len(here) - common) + there[common:])


def _record(rows: list[tuple[str, str, str]]) -> bytes:
    text = StringIO(newline="")
    csv.writer(text).writerows(sorted(rows))
    return text.getvalue().encode()
