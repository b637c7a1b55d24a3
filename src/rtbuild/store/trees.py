"""The records of which wheel trees and built wheels a layer is made of, for garbage collection.

    realisations/trees/<key of the layer>/<compressor>     the keys of files in `trees/`, one a line

A layer has a record for each compressor it was built with, because the compressor is part of the keys of its trees.
Layers that have no wheels have none. Losing a record only costs time: the trees are made again.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from rtbuild.digest import Key, parse_sha256, sha256_bytes
from rtbuild.files import write_atomically
from rtbuild.store.files import entries, store_errors

_FOLDER = "trees"


def write_tree_keys(folder: Path, layer: Key, compressor: str, trees: Collection[Key]) -> None:
    """Record below `folder` that the layer with this key is made of `trees`.

    Raises:
        StoreError: if the record cannot be written.
    """
    path = folder / _FOLDER / layer / sha256_bytes(compressor.encode())[:16]
    with store_errors(f"write {path}"):
        write_atomically(path, "".join(f"{key}\n" for key in sorted(trees)).encode())


def read_tree_keys(folder: Path, layer: Key) -> set[Key]:
    """Return the trees that the layer with this key is made of, with any compressor; none if it has no record.

    Lines that are not keys are ignored.

    Raises:
        OSError: if a record cannot be read.
    """
    keys: set[Key] = set()
    for path in entries(folder / _FOLDER / layer):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError):
                keys.add(Key(parse_sha256(line)))
    return keys


def tree_records(folder: Path) -> list[Path]:
    """Return the folder of records of every layer, named by the layer's key."""
    return entries(folder / _FOLDER)
