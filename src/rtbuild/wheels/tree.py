"""The tree of a wheel: everything that pip would install for it, compiled, as one canonical piece of a layer's tar."""

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

SCHEMA = 1
"""Raise it when the same inputs begin to give other bytes."""

_EXECUTABLE, _PLAIN = 0o755, 0o644
_NOTHING: Mapping[str, bytes] = {}

_Content = tuple[int, Iterable[bytes]]
"""The size of a file, and its bytes in pieces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeFile:
    """One regular file of a tree. `path` is relative to the root, `mode` its permission bits, `size` in bytes."""

    path: str
    mode: int
    size: int
    sha256: Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeIndex:
    """What a tree holds, in its order: by path, RECORD last."""

    files: tuple[TreeFile, ...]

    @property
    def directories(self) -> frozenset[str]:
        """Every directory that the files need. They are no part of the tree: a layer has each once."""
        found: set[str] = set()
        for file in self.files:
            folder = file.path.rpartition("/")[0]
            while folder and folder not in found:
                found.add(folder)
                folder = folder.rpartition("/")[0]
        return frozenset(found)


class TreeWriter(Protocol):
    """Takes the bytes of a tree; a file, or what compresses them."""

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
    """Write the tree of `wheel` to `out`: tar members of files alone, without directories and without the end of an
    archive.

    `compiled` are the wheel's compiled modules by their source's absolute path (None: none are wanted), `uploaded`
    becomes every file's mtime (seconds since 1970), `excluded` are absolute paths that are left out; with a source goes
    its compiled form. The RECORD is made from what is really there, in pip's form, and comes last, because it needs all
    hashes. Raises `IntegrityError` for a damaged wheel.
    """
    files: list[TreeFile] = []
    rows: list[tuple[str, str, str]] = []
    library = scheme.library

    def add(path: str, mode: int, size: int, pieces: Iterable[bytes]) -> None:
        entry = Entry(path=path[1:], mode=mode, size=size, mtime=uploaded)
        digest = sha256()
        out.write(member_header(entry))
        for piece in pieces:
            digest.update(piece)
            out.write(piece)
        out.write(padding(size))
        files.append(TreeFile(path=entry.path, mode=mode, size=size, sha256=Sha256(digest.hexdigest())))
        if path.endswith(".pyc"):
            rows.append((_in_record(path, library), "", ""))
        else:
            rows.append((_in_record(path, library), record_hash(digest.digest()), str(size)))

    for path, mode, read in sorted(_contents(wheel, compiled or _NOTHING, scheme, frozenset(excluded))):
        add(path, mode, *read())
    rows.append((_in_record(wheel.record, library), "", ""))
    record = _record(rows)
    add(wheel.record, _PLAIN, len(record), (record,))
    return TreeIndex(files=tuple(files))


def excluded_paths(wheel: Wheel, removals: Sequence[Removal], scheme: Scheme) -> frozenset[str]:
    """The absolute paths of `wheel`, compiled modules included, that `removals` leave out."""
    if not removals:
        return frozenset()
    wanted = [removal.pattern.rstrip("/") for removal in removals]
    # The path itself, and everything below it. What translate() makes is used whole: its end differs between Pythons.
    pattern = re.compile("|".join(fnmatch.translate(one + below) for one in wanted for below in ("", "/*")))
    found = set()
    for path in wheel.parts:
        if pattern.match(path):
            found.add(path)
        elif scheme.is_module(path) and pattern.match(compiled := scheme.compiled(path)):
            found.add(compiled)
    return frozenset(found)


def tree_key(
    *,
    wheel: Sha256,
    uploaded: int,
    python: str,
    scheme: Scheme,
    excluded: Collection[str],
    compile_script: Sha256,
    compressor: str,
) -> Key:
    """The key of a tree: everything that its bytes, and those of its compressed frame, depend on.

    `wheel` is the digest of the wheel as the lock has it; for one that was built from an sdist, of the wheel that came
    out. `python` is the source version of the Python that compiles (`3.9.2-1+deb11u3`), the same on every architecture.
    """
    inputs = {
        "schema": SCHEMA,
        "wheel": wheel,
        "uploaded": uploaded,
        "python": python,
        "scheme": asdict(scheme),
        "excluded": sorted(excluded),
        "compile-script": compile_script,
        "compressor": compressor,
    }
    return Key(sha256_bytes(canonical_json(inputs)))


def _contents(
    wheel: Wheel, compiled: Mapping[str, bytes], scheme: Scheme, excluded: frozenset[str]
) -> Iterator[tuple[str, int, Callable[[], _Content]]]:
    """Each file's path, mode and, when called for, content."""
    for path, part in wheel.parts.items():
        if path in excluded or path == wheel.record:
            continue
        yield path, _EXECUTABLE if part.executable else _PLAIN, partial(_installed, wheel, part)
        if path in compiled and (target := scheme.compiled(path)) not in excluded:
            yield target, _PLAIN, partial(_module, compiled, path)
    if unknown := compiled.keys() - wheel.parts.keys():
        raise IntegrityError(
            f"{wheel.label}: compiled modules that are not the wheel's", details=", ".join(sorted(unknown)[:5])
        )


def _installed(wheel: Wheel, part: Part) -> _Content:
    return part.size, wheel.pieces(part)


def _module(compiled: Mapping[str, bytes], path: str) -> _Content:
    content = compiled[path]
    return len(content), (content,)


def _in_record(path: str, library: str) -> str:
    """`path` as RECORD spells it: relative to the folder of the libraries (PEP 376)."""
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
