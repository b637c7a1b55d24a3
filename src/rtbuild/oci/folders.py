"""The folders and symbolic links of a layer: what decides whether it fits on the layers below it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFolders:
    """The folders of a layer with their mode, owner and group, and its symbolic links with their targets, by path."""

    folders: Mapping[str, tuple[int, int, int]]
    links: Mapping[str, str]


def read_folders(blob: Path) -> LayerFolders:
    """Read them from the blob of a layer.

    Raises:
        IntegrityError: if the layer is malformed.
        OSError: if it cannot be read.
    """
    # Here, because most builds find the folders of every layer in the store.
    from rtbuild.formats.frames import open_uncompressed
    from rtbuild.formats.tar import read_members
    from rtbuild.formats.tar_entry import DIRECTORY, SYMLINK

    folders: dict[str, tuple[int, int, int]] = {}
    links: dict[str, str] = {}
    with open_uncompressed(blob) as file:
        for entry, _ in read_members(file):
            if entry.type == DIRECTORY:
                folders[entry.path] = (entry.mode, entry.uid, entry.gid)
            elif entry.type == SYMLINK:
                links[entry.path] = entry.link
    return LayerFolders(folders=folders, links=links)


def folders_above(paths: Iterable[str]) -> set[str]:
    """Return each folder above `paths`, which have no leading slash."""
    folders: set[str] = set()
    for path in paths:
        while slash := path.rfind("/") + 1:
            path = path[: slash - 1]
            if path in folders:
                break
            folders.add(path)
    return folders
