"""Read the files of a layer and the packages that own them.

The layer itself says who owns a path, whatever built it: for Debian packages in dpkg's lists
(`/var/lib/dpkg/info/<package>.list`), for wheels in their RECORD (PEP 376).
"""

from __future__ import annotations

import csv
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from rtbuild.errors import IntegrityError
from rtbuild.formats.frames import open_uncompressed
from rtbuild.formats.tar import read_members
from rtbuild.formats.tar_entry import REGULAR
from rtbuild.inventory.model import FileSize, Kind
from rtbuild.recipe.names import normalized

_DPKG = "var/lib/dpkg/"
_INFO = f"{_DPKG}info/"
_STATUS = f"{_DPKG}status"
_RECORD = ".dist-info/RECORD"
_COMPILED = re.compile(r"__pycache__/([^/]+?)\.[^/.]+(?:\.opt-\d)?\.pyc\Z")


class Owner(NamedTuple):
    """A package; `version` is empty if the layer does not say it."""

    kind: Kind
    name: str
    version: str


NOBODY = Owner("none", "", "")
"""The owner of files that belong to no package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerContents:
    """What a layer says.

    Attributes:
        files: Its regular files.
        owners: The package of each path, without the leading slash. The paths may be those of other layers.
    """

    files: tuple[FileSize, ...]
    owners: dict[str, Owner]


def read_contents(blob: Path) -> LayerContents:
    """Read the layer in the file `blob`, compressed or not.

    Raises:
        IntegrityError: if the layer is damaged.
    """
    files: list[FileSize] = []
    lists: list[tuple[str, bytes]] = []
    records: list[tuple[str, bytes]] = []
    versions: dict[str, str] = {}
    with open_uncompressed(blob) as file:
        for entry, _ in read_members(file):
            if entry.type != REGULAR:
                continue
            path = entry.path
            files.append(FileSize(path, entry.size))
            if path.endswith(_RECORD):
                records.append((path, _read(file, path, entry.size)))
            elif path.startswith(_DPKG):
                if path == _STATUS:
                    versions = dict(_versions(_read(file, path, entry.size)))
                elif path.endswith(".list"):
                    lists.append((path, _read(file, path, entry.size)))
    owners: dict[str, Owner] = {}
    for path, content in lists:
        package = path.removeprefix(_INFO).removesuffix(".list")  # `libc6:amd64` if it is `Multi-Arch: same`
        owner = Owner("debian", package.partition(":")[0], versions.get(package.partition(":")[0], ""))
        owners.update(dict.fromkeys((line[1:] for line in _lines(content)), owner))
        owners[_INFO + package] = owner
    for path, content in records:
        library, _, folder = path.removesuffix(_RECORD).rpartition("/")
        name, _, version = folder.rpartition("-")
        # a RECORD takes precedence over dpkg's lists: the layer has what it lists
        owner = Owner("python", normalized(name), version)
        owners.update(dict.fromkeys(_recorded(content, library), owner))
        owners[path] = owner
    return LayerContents(files=tuple(files), owners=owners)


def owner_of(path: str, maps: Iterable[dict[str, Owner]]) -> Owner:
    """Return the owner of `path` in the first of `maps` that has one; `NOBODY` if none has.

    A compiled module belongs to the owner of its source.
    """
    candidates = tuple(maps)
    for alias in _aliases(path):
        for owners in candidates:
            if owner := owners.get(alias):
                return owner
    return NOBODY


def _aliases(path: str) -> Iterator[str]:
    """Yield `path` and the path whose owner it shares: its source, or the package of a file in dpkg's folder."""
    yield path
    if path.endswith(".pyc"):
        yield _COMPILED.sub(r"\1.py", path)
    elif path.startswith(_INFO):
        yield path.rpartition(".")[0]


def _read(file: BinaryIO, path: str, size: int) -> bytes:
    content = file.read(size)
    if len(content) != size:
        raise IntegrityError(f"/{path}: its content is truncated, {size - len(content)} bytes are missing")
    return content


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8", "surrogateescape").splitlines()


def _versions(content: bytes) -> Iterator[tuple[str, str]]:
    """Yield package and version of each paragraph of dpkg's status file."""
    package = ""
    for line in _lines(content):
        if line.startswith("Package: "):
            package = line[9:]
        elif line.startswith("Version: "):
            yield package, line[9:]


def _recorded(content: bytes, library: str) -> Iterator[str]:
    """Yield the paths in a RECORD, relative to the root of the layer."""
    for row in csv.reader(_lines(content)):
        if row:
            path = f"{library}/{row[0]}"
            yield posixpath.normpath(path) if "/../" in path else path
