"""Merge raw layers into one set of members: what an overlay of them shows (OCI image specification 1.1, `layer.md`).

Two kinds of empty files hide what lower layers have: a whiteout `.wh.c` hides `c`, and `.wh..wh..opq` makes its folder
opaque, which hides everything that lower layers have in it. A tar stores the content of a file under one of its names;
the other names are hard links to that one. An example:

| path | lower layer | upper layer | result at the bottom of an image | result on a parent image |
|---|---|---|---|---|
| `a` | file "1" | file "2" | file "2" | file "2" |
| `b` | link to `a` | | file "1" | file "1" |
| `c` | file "3" | `.wh.c` | | `.wh.c` |
| `d` | folder | folder, `.wh..wh..opq` | folder | folder, `.wh..wh..opq` |
| `d/new` | | file "4" | file "4" | file "4" |
| `d/old` | file "5" | | | |
| `e` | link to `a` | | link to `b` | link to `b` |
| `f` | file "6" | folder | folder | folder, `.wh..wh..opq` |

- `b` and `e` keep the content that the lower layer gave `a`: a link belongs to a file (its `origin`), not to a name, so
  replacing or removing `a` does not change them. The first name of a file in the order of paths becomes the file, so
  `e` is now a link to `b`.
- At the bottom of an image whiteouts are left out: there is nothing to hide. On a parent image they stay, because they
  hide what the parent may have.
- The file `f` hid whatever the parent has at that path. Without the opaque marker, the folder in its place would be
  merged with a folder of the parent.

What a builder exports on a parent image depends on its steps and its snapshotter: a folder that was merely touched is
listed, and a file that one step makes and the next one removes leaves a whiteout. `subtract` drops what changes nothing
on the parent, and `add_folders` adds what every layer needs: an entry for each folder above its members. Without it
Docker's classic store and podman make the folder anew, owned by root, with mode 0755.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from fnmatch import translate
from operator import eq
from pathlib import Path
from typing import BinaryIO

from rtbuild.errors import IntegrityError
from rtbuild.formats.tar import read_members
from rtbuild.formats.tar_entry import DIRECTORY, HARDLINK, REGULAR, Entry
from rtbuild.oci.folders import folders_above
from rtbuild.recipe.model import Removal

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
_CHUNK = 1 << 20


class MergedEntry:
    """A path of the result.

    Attributes:
        entry: The member as its layer has it.
        source: The layer that holds its content, if a layer does.
        offset: The position of the content in `source`.
        content: The content itself or a file with it, if it does not come from a layer.
        origin: The file that this is a name of: itself, or what a hard link leads to. All names of a file share it.
        first: The first path under which the file was written, set while writing.
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

    def read(self) -> Iterator[bytes]:
        """Yield the content in pieces.

        Raises:
            IntegrityError: if the content is shorter than the entry says.
            OSError: if it cannot be read.
        """
        if isinstance(self.content, bytes):
            yield self.content
        elif self.content is not None:
            with self.content.open("rb") as file:
                yield from _exactly(file, self.entry)
        elif self.source is not None:
            self.source.seek(self.offset)
            yield from _exactly(self.source, self.entry)


class LayerMerge:
    """Layers merged so far.

    Attributes:
        members: What is in the result, by path.
        whiteouts: The paths that are hidden in a parent image.
        opaques: The folders whose content in a parent image is hidden.
    """

    def __init__(self) -> None:
        self.members: dict[str, MergedEntry] = {}
        self.whiteouts: set[str] = set()
        self.opaques: set[str] = set()

    def add_layer(self, file: BinaryIO, name: str) -> None:
        """Merge the raw layer in `file` on top of the others; `name` stands for it in messages.

        Raises:
            IntegrityError: if the layer is malformed.
        """
        upper, whiteouts, opaques = _read_layer(file, name)
        if self.members or self.whiteouts or self.opaques:
            replaced = {path for path in upper if path in self.members and self._changes_kind(path, upper[path])}
            self._hide(whiteouts | replaced, opaques)
            # The file that a folder replaces had hidden the parent's folder, if there is one.
            self.opaques |= {path for path in replaced if upper[path].entry.type == DIRECTORY}
        self.members.update(upper)
        self.whiteouts |= whiteouts
        self.opaques |= opaques
        self._settle_whiteouts()

    def remove(self, removals: Sequence[Removal]) -> None:
        """Remove the members that the patterns match; a folder with its content and the whiteouts in it.

        Folders count whether they have an entry or not.
        """
        if not removals:
            return
        match = removal_matcher(removals)
        paths = self.members.keys() | folders_above(self.members)
        self._hide({path for path in paths if match("/" + path)}, set())

    def install(self, extra: Iterable[tuple[Entry, bytes | Path]]) -> None:
        """Add members with their content, replacing existing ones.

        Raises:
            IntegrityError: if a path is given twice, a folder with content would be replaced by something else, a hard
                link has no target, or a file cannot be read.
        """
        installed: set[str] = set()
        for entry, content in extra:
            path = entry.path
            if path in installed:
                raise IntegrityError(f"/{path} is installed twice")
            installed.add(path)
            old = self.members.get(path)
            if old and old.entry.type == DIRECTORY != entry.type and _below(sorted(self.members), path):
                raise IntegrityError(f"cannot install a {entry.type} at /{path}: a folder with content is there")
            if old and old.entry.type != DIRECTORY == entry.type:
                self.opaques.add(path)
            member = MergedEntry(replace(entry))
            if entry.type == REGULAR:
                member.content = content
                member.entry.size = _size(path, content)
            if entry.type == HARDLINK:
                if entry.link not in self.members or self.members[entry.link].entry.type == DIRECTORY:
                    raise IntegrityError(f"cannot install /{path}: there is no file /{entry.link} to link to")
                member.origin = self.members[entry.link].origin
            self.members[path] = member
        self._settle_whiteouts()

    def sorted_paths(self) -> list[str]:
        """Return every path, parents before children.

        Raises:
            IntegrityError: if the parent of a path is not a folder.
        """
        for path in self.members:
            parent = self.members.get(path[: path.rfind("/")]) if "/" in path else None
            if parent and parent.entry.type != DIRECTORY:
                raise IntegrityError(f"/{path} is inside a {parent.entry.type}")
        return sorted(self.members)

    def subtract(self, below: LayerMerge, epoch: int) -> None:
        """Drop what shows nothing new on a parent image: whiteouts of what it lacks, members that are as it has them.

        Times of folders do not count, nor those of files after `epoch`, which are all written as `epoch`.

        Args:
            below: The layers of the parent image.
            epoch: The latest mtime of the layer, in seconds since 1970.
        """
        ordered = sorted(below.members)
        self.whiteouts = {path for path in self.whiteouts if path in below.members}
        self.opaques = {path for path in self.opaques if _below(ordered, path)}
        names = Counter(member.origin for merge in (self, below) for member in merge.members.values())
        unchanged = [
            path
            for path, member in self.members.items()
            if (old := below.members.get(path)) is not None
            and not self._in_opaque(path)
            and _same_member(member, old, names, epoch)
        ]
        for path in unchanged:
            del self.members[path]

    def add_folders(self, mtime: int, below: LayerMerge | None = None) -> None:
        """Add the folders that contain members and whiteouts: as `below` has them, otherwise mode 0755, owner root.

        Raises:
            IntegrityError: if `below` has something else than a folder at such a path.
        """
        for path in folders_above([*self.members, *self.whiteout_paths()]) - self.members.keys():
            old = below.members.get(path) if below else None
            if old and old.entry.type != DIRECTORY:
                raise IntegrityError(f"/{path} contains files, but is a {old.entry.type} in the layers below")
            entry = replace(old.entry) if old else Entry(path=path, type=DIRECTORY, mode=0o755)
            entry.mtime = mtime
            self.members[path] = MergedEntry(entry)

    def whiteout_paths(self) -> list[str]:
        """Return the paths of the whiteouts as tar members; nothing inside an opaque folder needs one."""
        paths = [f"{path}/{OPAQUE}" for path in self.opaques if not self._in_opaque(path)]
        for path in self.whiteouts:
            if not self._in_opaque(path):
                folder, slash, name = path.rpartition("/")
                paths.append(f"{folder}{slash}{WHITEOUT}{name}")
        return paths

    def _changes_kind(self, path: str, member: MergedEntry) -> bool:
        return (self.members[path].entry.type == DIRECTORY) != (member.entry.type == DIRECTORY)

    def _hide(self, paths: set[str], opaques: set[str]) -> None:
        """Drop `paths` with everything in them, and the content of the folders `opaques`."""
        if not paths and not opaques:
            return
        for known in (self.members.keys(), self.whiteouts, self.opaques):
            ordered = sorted(known)
            hidden = paths & known
            for path in paths | opaques:
                hidden.update(_below(ordered, path))
            if known is self.whiteouts or known is self.opaques:
                known -= hidden
            else:
                for path in hidden:
                    del self.members[path]

    def _settle_whiteouts(self) -> None:
        """Drop whiteouts of paths that are there again: a file hides the parent's by itself, a folder if opaque."""
        if not self.whiteouts:
            return
        ordered = sorted(self.members)
        for path in sorted(self.whiteouts):
            member = self.members.get(path)
            if member is None and not _below(ordered, path):
                continue
            self.whiteouts.remove(path)
            if member is None or member.entry.type == DIRECTORY:
                self.opaques.add(path)

    def _in_opaque(self, path: str) -> bool:
        while slash := path.rfind("/") + 1:
            path = path[: slash - 1]
            if path in self.opaques:
                return True
        return False


def _same_member(member: MergedEntry, old: MergedEntry, names: Counter[MergedEntry], epoch: int) -> bool:
    """Return whether two members of one path are the same but for the time of a folder.

    A file with several names is never the same: which of its names an export lists depends on the snapshotter.
    """
    new_file, old_file = member.origin, old.origin
    one, other = new_file.entry, old_file.entry
    attributes = [(entry.type, entry.mode, entry.uid, entry.gid, entry.xattrs or {}) for entry in (one, other)]
    if attributes[0] != attributes[1]:
        return False
    if one.type == DIRECTORY:
        return True
    details = [(entry.link, entry.device, entry.size, min(entry.mtime, epoch)) for entry in (one, other)]
    single = names[new_file] == names[old_file] == 1
    return single and details[0] == details[1] and all(map(eq, new_file.read(), old_file.read()))


def _read_layer(file: BinaryIO, name: str) -> tuple[dict[str, MergedEntry], set[str], set[str]]:
    """Return the members, whiteouts and opaque folders of a raw layer."""
    members: dict[str, MergedEntry] = {}
    whiteouts: set[str] = set()
    opaques: set[str] = set()
    try:
        for entry, offset in read_members(file):
            path = entry.path
            if WHITEOUT in path and path[path.rfind("/") + 1 :].startswith(WHITEOUT):
                _note_whiteout(path, whiteouts, opaques)
                continue
            if not path:
                continue  # the root folder is not part of a layer: engines neither write nor apply it
            if path in members:
                raise IntegrityError(f"has /{path} twice")
            members[path] = member = MergedEntry(entry, file, offset)
            if entry.type == HARDLINK:
                target = members.get(entry.link)
                if target is None or target.entry.type == DIRECTORY:
                    raise IntegrityError(f"has a hard link /{path} without its file /{entry.link} before it")
                member.origin = target.origin
    except IntegrityError as error:
        raise IntegrityError(f"layer {name}: {error.brief}", details=error.details) from None
    return members, whiteouts, opaques


def _note_whiteout(path: str, whiteouts: set[str], opaques: set[str]) -> None:
    folder, slash, name = path.rpartition("/")
    if name == OPAQUE:
        opaques.add(folder)
        return
    if name.startswith(WHITEOUT + WHITEOUT):
        return  # internal to aufs (`.wh..wh.plnk`)
    hidden = name.removeprefix(WHITEOUT)
    if hidden in ("", ".", ".."):
        raise IntegrityError(f"has a whiteout without a name: /{path}")
    whiteouts.add(folder + slash + hidden)


def _exactly(file: BinaryIO, entry: Entry) -> Iterator[bytes]:
    left = entry.size
    while left:
        piece = file.read(min(left, _CHUNK))
        if not piece:
            raise IntegrityError(f"/{entry.path}: its content is truncated, {left} bytes are missing")
        left -= len(piece)
        yield piece


def _size(path: str, content: bytes | Path) -> int:
    if isinstance(content, bytes):
        return len(content)
    try:
        return content.stat().st_size
    except OSError as error:
        raise IntegrityError(f"cannot install /{path} from {content}", details=str(error)) from None


def _below(ordered: Sequence[str], folder: str) -> Sequence[str]:
    """Return those of the sorted paths that are in `folder`, at any depth; in ASCII, `0` follows `/`."""
    if not folder:
        return ordered
    start = bisect_left(ordered, folder + "/")
    return ordered[start : bisect_left(ordered, folder + "0", start)]


def removal_matcher(removals: Sequence[Removal]) -> Callable[[str], object]:
    """Return a function that tells whether one of `removals` matches an absolute path; there is at least one."""
    return re.compile("|".join(translate(removal.pattern) for removal in removals)).match
