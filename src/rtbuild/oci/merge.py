"""Several raw layers as one set of members: what an overlay of them shows (OCI image specification, `layer.md`)."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from fnmatch import translate
from pathlib import Path
from typing import BinaryIO

from rtbuild.errors import IntegrityError
from rtbuild.formats.tar import read_members
from rtbuild.formats.tar_entry import DIRECTORY, HARDLINK, REGULAR, Entry
from rtbuild.recipe.model import Removal

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"


class MergedEntry:
    """A path of the result: `entry` as its layer tells it, and `content`, or where it is: at `offset` of `source`.

    `origin` is the node that a hard link leads to; names of one file have one origin, whichever of them was the link.
    `first` is the first path under which it was written.
    """

    __slots__ = ("content", "entry", "first", "offset", "origin", "source")

    def __init__(
        self, entry: Entry, source: BinaryIO | None = None, offset: int = 0, content: bytes | Path | None = None
    ) -> None:
        self.entry = entry
        self.source = source
        self.offset = offset
        self.content = content
        self.origin = self
        self.first: str | None = None


class LayerMerge:
    """The merged layers: `nodes` by path; `whiteouts` (paths) and `opaques` (folders) hide what the image has below."""

    def __init__(self) -> None:
        self.nodes: dict[str, MergedEntry] = {}
        self.whiteouts: set[str] = set()
        self.opaques: set[str] = set()

    def put(self, file: BinaryIO, name: str) -> None:
        """Lay the raw layer in `file` on top; `name` tells it in errors. Raises `IntegrityError`."""
        upper, whiteouts, opaques = _read_layer(file, name)
        if self.nodes or self.whiteouts or self.opaques:
            replaced = {path for path, node in upper.items() if path in self.nodes and self._changes_kind(path, node)}
            self._hide(whiteouts | replaced, opaques)
            # A folder in place of a file: the file had hidden a folder of the parent, if there was one.
            self.opaques |= {path for path in replaced if upper[path].entry.type == DIRECTORY}
        self.nodes.update(upper)
        self.whiteouts |= whiteouts
        self.opaques |= opaques
        self._settle_whiteouts()

    def remove(self, removals: Sequence[Removal]) -> None:
        """Leave out what the patterns match; a folder takes along what is in it, whiteouts too."""
        if not removals:
            return
        match = _matcher(removals)
        gone = {path for path in self.nodes if match("/" + path)}
        self._hide(gone, set())

    def install(self, extra: Iterable[tuple[Entry, bytes | Path]]) -> None:
        """Add members, or put them in the place of what is there. Raises `IntegrityError` for a path given twice, for a
        folder with content that would be replaced by something else, and for a hard link to nowhere.
        """
        seen: set[str] = set()
        for entry, content in extra:
            path = entry.path
            if path in seen:
                raise IntegrityError(f"/{path} is installed twice")
            seen.add(path)
            old = self.nodes.get(path)
            if old and old.entry.type == DIRECTORY != entry.type and _below(sorted(self.nodes), path):
                raise IntegrityError(f"/{path} is a folder with content, and a {entry.type} is installed in its place")
            if old and old.entry.type != DIRECTORY == entry.type:
                self.opaques.add(path)
            node = MergedEntry(replace(entry))
            if entry.type == REGULAR:
                node.content = content
                node.entry.size = _size(path, content)
            if entry.type == HARDLINK:
                if entry.link not in self.nodes or self.nodes[entry.link].entry.type == DIRECTORY:
                    raise IntegrityError(f"/{path} is a hard link to /{entry.link}, which is not there")
                node.origin = self.nodes[entry.link].origin
            self.nodes[path] = node
        self._settle_whiteouts()

    def sorted_paths(self) -> list[str]:
        """Every path, parents before children. Raises `IntegrityError` where a parent is no folder."""
        nodes = self.nodes
        for path in nodes:
            parent = nodes.get(path[: path.rfind("/")]) if "/" in path else None
            if parent and parent.entry.type != DIRECTORY:
                raise IntegrityError(f"/{path} lies in a {parent.entry.type}")
        return sorted(nodes)

    def add_missing_parents(self, mtime: int) -> None:
        """Give every path its folders (0755, root), for a tree that has nothing below it."""
        missing: set[str] = set()
        for path in self.nodes:
            while slash := path.rfind("/") + 1:
                path = path[: slash - 1]
                if path in self.nodes or path in missing:
                    break
                missing.add(path)
        for path in missing:
            self.nodes[path] = MergedEntry(Entry(path=path, type=DIRECTORY, mode=0o755, mtime=mtime))

    def whiteout_members(self) -> list[str]:
        """The whiteouts as paths of tar members; what lies in an opaque folder needs none."""
        found = [f"{path}/{OPAQUE}" for path in self.opaques if not self._in_opaque(path)]
        for path in self.whiteouts:
            if not self._in_opaque(path):
                folder, slash, name = path.rpartition("/")
                found.append(f"{folder}{slash}{WHITEOUT}{name}")
        return found

    def _changes_kind(self, path: str, node: MergedEntry) -> bool:
        return (self.nodes[path].entry.type == DIRECTORY) != (node.entry.type == DIRECTORY)

    def _hide(self, paths: set[str], opaque: set[str]) -> None:
        """Drop `paths` with all that is in them, and the content of `opaque` folders."""
        if not paths and not opaque:
            return
        for kept in (self.nodes.keys(), self.whiteouts, self.opaques):
            ordered = sorted(kept)
            gone = paths & kept
            for path in paths | opaque:
                gone.update(_below(ordered, path))
            if kept is self.whiteouts or kept is self.opaques:
                kept -= gone
            else:
                for path in gone:
                    del self.nodes[path]

    def _settle_whiteouts(self) -> None:
        """Where something new is in a whiteout's place, that hides by itself; a folder has to be opaque for it."""
        if not self.whiteouts:
            return
        ordered = sorted(self.nodes)
        for path in sorted(self.whiteouts):
            node = self.nodes.get(path)
            if node is None and not _below(ordered, path):
                continue
            self.whiteouts.remove(path)
            if node is None or node.entry.type == DIRECTORY:
                self.opaques.add(path)

    def _in_opaque(self, path: str) -> bool:
        while slash := path.rfind("/") + 1:
            path = path[: slash - 1]
            if path in self.opaques:
                return True
        return False


def _read_layer(file: BinaryIO, name: str) -> tuple[dict[str, MergedEntry], set[str], set[str]]:
    nodes: dict[str, MergedEntry] = {}
    whiteouts: set[str] = set()
    opaques: set[str] = set()
    try:
        for entry, offset in read_members(file):
            path = entry.path
            if WHITEOUT in path and path[path.rfind("/") + 1 :].startswith(WHITEOUT):
                _note_whiteout(path, whiteouts, opaques)
                continue
            if not path:
                continue  # the root folder itself is no part of a layer: engines neither write nor apply it
            if path in nodes:
                raise IntegrityError(f"has /{path} twice")
            nodes[path] = node = MergedEntry(entry, file, offset)
            if entry.type == HARDLINK:
                target = nodes.get(entry.link)
                if target is None or target.entry.type == DIRECTORY:
                    raise IntegrityError(f"has a hard link /{path} to /{entry.link}, which does not come before it")
                node.origin = target.origin
    except IntegrityError as error:
        raise IntegrityError(f"layer {name}: {error.brief}", details=error.details) from None
    return nodes, whiteouts, opaques


def _note_whiteout(path: str, whiteouts: set[str], opaques: set[str]) -> None:
    folder, slash, name = path.rpartition("/")
    if name == OPAQUE:
        opaques.add(folder)
        return
    if name.startswith(WHITEOUT + WHITEOUT):
        return  # what aufs kept for itself (`.wh..wh.plnk`)
    hidden = name.removeprefix(WHITEOUT)
    if hidden in ("", ".", ".."):
        raise IntegrityError(f"has a whiteout that names nothing: /{path}")
    whiteouts.add(folder + slash + hidden)


def _size(path: str, content: bytes | Path) -> int:
    if isinstance(content, bytes):
        return len(content)
    try:
        return content.stat().st_size
    except OSError as error:
        raise IntegrityError(f"/{path} cannot be installed from {content}", details=str(error)) from None


def _below(ordered: Sequence[str], folder: str) -> Sequence[str]:
    """What of the sorted paths lies in `folder`, at any depth: the character after `/` is `0`."""
    if not folder:
        return ordered
    start = bisect_left(ordered, folder + "/")
    return ordered[start : bisect_left(ordered, folder + "0", start)]


def _matcher(removals: Sequence[Removal]) -> Callable[[str], object]:
    return re.compile("|".join(translate(removal.pattern) for removal in removals)).match
