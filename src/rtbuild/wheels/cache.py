"""Wheel trees in the store: `<key>.tar.zst` (or `.gz`) with the compressed frames, `<key>.json` with their index."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtbuild.digest import Key, Sha256, canonical_json, parse_sha256, sha256_bytes, sha256_file
from rtbuild.files import replacing
from rtbuild.formats.frames import DEFAULT, Compressor, Cutter
from rtbuild.store.files import store_errors
from rtbuild.wheels.tree import TreeFile, TreeIndex, TreeWriter

_SCHEMA = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTree:
    """A wheel tree in the store.

    Attributes:
        key: The tree's key.
        frames: The file with the compressed frames.
        sha256: The digest of that file.
        size: Its size in bytes.
        uncompressed: The size of the tar members in it, in bytes.
        index: The files of the tree.
        repaired: Whether it replaced a damaged tree.
    """

    key: Key
    frames: Path
    sha256: Sha256
    size: int
    uncompressed: int
    index: TreeIndex
    repaired: bool = field(default=False, compare=False)


class TreeCache:
    """The wheel trees in one folder. Safe to use from several threads and processes at once."""

    def __init__(self, folder: Path, compressor: Compressor = DEFAULT) -> None:
        self._folder = folder
        self._compressor = compressor
        self._damaged: set[Key] = set()

    @property
    def compressor(self) -> str:
        """The name of the compressor, which is part of every key."""
        return self._compressor.name

    def find(self, key: Key) -> StoredTree | None:
        """Return the tree with this key after checking every byte, or None if it is missing or damaged.

        A damaged tree is remembered: the tree that `add` then puts in its place is `repaired`.

        Raises:
            StoreError: if the store cannot be read.
        """
        frames, record = self._frames(key), self._record(key)
        with store_errors(f"read {record}"):
            try:
                text = record.read_bytes()
            except FileNotFoundError:
                return None  # frames without a record are what a killed process leaves
            try:
                tree = _parse(key, frames, text)
                if sha256_file(frames) == tree.sha256:
                    return tree
            except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
                pass
        self._damaged.add(key)
        return None

    def add(self, key: Key, compose: Callable[[TreeWriter], TreeIndex]) -> StoredTree:
        """Store the tree that `compose` writes, replacing an existing one.

        Raises:
            StoreError: if the store cannot be written.
            Exception: whatever `compose` raises; nothing is stored then.
        """
        target = self._frames(key)
        with store_errors(f"write {target}"):
            self._folder.mkdir(parents=True, exist_ok=True)
            # Not synced: every byte is checked before use, and 300 trees would wait for the disk 1,200 times.
            with replacing(target) as file:
                writer = _FrameWriter(file.write, self._compressor)
                index = compose(writer)
                writer.end()
            tree = StoredTree(
                key=key,
                frames=target,
                sha256=Sha256(writer.digest.hexdigest()),
                size=writer.size,
                uncompressed=writer.uncompressed,
                index=index,
                repaired=key in self._damaged,
            )
            with replacing(self._record(key)) as file:
                file.write(_format(tree))
        return tree

    def _frames(self, key: Key) -> Path:
        return self._folder / f"{key}{self._compressor.compression.suffix}"

    def _record(self, key: Key) -> Path:
        return self._folder / f"{key}.json"


class _FrameWriter:
    """Compresses in the calling thread: trees are composed in parallel, so all cores are busy already."""

    def __init__(self, sink: Callable[[bytes], object], compressor: Compressor) -> None:
        self._sink = sink
        self._frame = compressor.frame
        self._cutter = Cutter(self._emit)
        self.digest = hashlib.sha256()
        self.size = 0
        self.uncompressed = 0

    def write(self, content: bytes) -> None:
        """Add the next bytes of the tree."""
        self.uncompressed += len(content)
        self._cutter.write(content)

    def end(self) -> None:
        """Write the last frame."""
        self._cutter.flush()

    def _emit(self, piece: bytes) -> None:
        frame = self._frame(piece)
        self.digest.update(frame)
        self.size += len(frame)
        self._sink(frame)


def _format(tree: StoredTree) -> bytes:
    files = [[file.path, file.mode, file.size] for file in tree.index.files]
    content: dict[str, Any] = {
        "schema": _SCHEMA,
        "key": tree.key,
        "frames": {"sha256": tree.sha256, "size": tree.size, "uncompressed": tree.uncompressed},
        "files": files,
    }
    return canonical_json({**content, "sha256": sha256_bytes(canonical_json(content))}) + b"\n"


def _parse(key: Key, frames: Path, text: bytes) -> StoredTree:
    """Parse a record; raises `ValueError`, `KeyError` or `TypeError` if it is not what `_format` wrote."""
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError("damaged record")
    recorded = content.pop("sha256")
    if content["schema"] != _SCHEMA or content["key"] != key or sha256_bytes(canonical_json(content)) != recorded:
        raise ValueError("damaged record")
    return StoredTree(
        key=key,
        frames=frames,
        sha256=parse_sha256(content["frames"]["sha256"]),
        size=content["frames"]["size"],
        uncompressed=content["frames"]["uncompressed"],
        index=TreeIndex(
            files=tuple(TreeFile(path=path, mode=mode, size=size) for path, mode, size in content["files"])
        ),
    )
