"""Garbage collection: removing what no lock refers to.

It marks and sweeps from an explicit list of roots, not by age: a store may sit unused for a year and still be what
makes an old release rebuildable offline. Only logs and cached answers, which no build needs, are removed by age. It
runs only while no other process has the store open (`Store.gc`).

Wheel trees and built wheels stay as long as a layer that is made of them (`rtbuild.store.trees`). Those that no record
names, such as trees of layers that an rtbuild without these records built, are removed; the next build that needs them
makes them again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtbuild.digest import Digest, Key, Sha256, parse_digest
from rtbuild.documents import parse_json
from rtbuild.files import write_atomically
from rtbuild.lockfile.model import EngineLock, Lock
from rtbuild.oci.layout import Layout
from rtbuild.store.files import entries, remove_tree
from rtbuild.store.realisations import latest_key, read_record, record_files
from rtbuild.store.trees import read_tree_keys, tree_records

UNUSED_DAYS = 30
"""Logs and cached answers are removed if they were not used for this many days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roots:
    """What to keep.

    Attributes:
        artifacts: Artifacts, by sha256.
        keys: Layers, by the key of their derivation.
        manifests: Images, with their configs and layers.
        layers: The realisation recorded last of each (release, platform, layer), so that a plan can say what changed.
        trees: Wheel trees and built wheels, by key; None keeps those that the kept layers are made of.
    """

    artifacts: frozenset[Sha256] = frozenset()
    keys: frozenset[Key] = frozenset()
    manifests: frozenset[Digest] = frozenset()
    layers: frozenset[tuple[str, str, str]] = frozenset()
    trees: frozenset[str] | None = None

    @classmethod
    def of_locks(cls, locks: Iterable[Lock], engines: Iterable[EngineLock] = ()) -> Roots:
        """Return everything that `locks` and the locks of private engines refer to."""
        locks = list(locks)
        artifacts = {artifact.sha256 for lock in locks for artifact in (*lock.debs, *lock.pythons, *lock.build_pythons)}
        return cls(
            artifacts=frozenset(artifacts | {deb.sha256 for engine in engines for deb in engine.debs}),
            keys=frozenset(layer.key for lock in locks for layer in lock.layers),
            manifests=frozenset(
                image.manifest for lock in locks for image in (lock.image, lock.image_base) if image is not None
            ),
            layers=frozenset((lock.release, lock.platform.name, layer.name) for lock in locks for layer in lock.layers),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GcReport:
    """What garbage collection removed.

    Attributes:
        removed: The number of files and folders of each kind: `artifact`, `blob`, `tree`, `realisation`, `partial`,
            `log` and `cached answer`.
        bytes: The disk space that this freed.
    """

    removed: tuple[tuple[str, int], ...]
    bytes: int


def collect(root: Path, roots: Roots) -> GcReport:
    """Remove from the store in `root` everything that `roots` does not name.

    Raises:
        OSError: if something cannot be read or removed.
    """
    sweep = _Sweep()
    realisations, layout = root / "realisations", Layout(root / "layout")
    keys = set(roots.keys)
    for release, platform, layer in roots.layers:
        if latest := latest_key(realisations, release, platform, layer):
            keys.add(latest)
    blobs: set[Digest] = set()
    for path in record_files(realisations):
        realisation = read_record(path)
        if realisation is not None and realisation.key in keys:
            blobs.add(realisation.blob)
        elif realisation is not None:
            sweep.remove("realisation", path)
            with suppress(OSError):  # the folder of its key, unless another record is in it
                path.parent.rmdir()
    blobs |= _reachable(layout, roots.manifests)
    for kind, folder in (("artifact", root / "artifacts"), ("partial", root / "partial")):
        for path in entries(folder):
            if path.name not in roots.artifacts:
                sweep.remove(kind, path)
    _sweep_layout(layout, blobs, sweep)
    _sweep_trees(root, keys, roots.trees, sweep)
    for kind, folder in (("log", root / "logs"), ("cached answer", root / "cache")):
        for path in _unused(folder, since=time.time() - UNUSED_DAYS * 86400):
            sweep.remove(kind, path)
    return sweep.report()


def occupied(path: Path) -> int:
    """Return the bytes of disk below `path`. A hard link counts once; a file that vanishes meanwhile does not count."""
    seen: set[tuple[int, int]] = set()
    return _occupied(path, seen)


def _occupied(path: Path, seen: set[tuple[int, int]]) -> int:
    try:
        status = path.lstat()
        if (status.st_dev, status.st_ino) in seen:
            return 0
        if status.st_nlink > 1:
            seen.add((status.st_dev, status.st_ino))
        total = status.st_blocks * 512
        if path.is_dir() and not path.is_symlink():
            with os.scandir(path) as children:
                paths = [Path(child.path) for child in children]
            total += sum(_occupied(child, seen) for child in paths)
    except FileNotFoundError:
        return 0
    return total


@dataclass(slots=True)
class _Sweep:
    """The removals so far."""

    removed: dict[str, int] = field(default_factory=dict)
    bytes: int = 0

    def remove(self, kind: str, path: Path) -> None:
        self.bytes += occupied(path)
        remove_tree(path)
        self.removed[kind] = self.removed.get(kind, 0) + 1

    def report(self) -> GcReport:
        return GcReport(removed=tuple(sorted(self.removed.items())), bytes=self.bytes)


def _unused(folder: Path, *, since: float) -> Iterator[Path]:
    """Yield the files below `folder` that were neither read nor written after `since` (seconds since 1970)."""
    for parent, _, names in os.walk(folder):
        for name in names:
            status = (path := Path(parent, name)).lstat()
            if max(status.st_atime, status.st_mtime) < since:
                yield path


def _sweep_trees(root: Path, layers: Collection[Key], wanted: Collection[str] | None, sweep: _Sweep) -> None:
    """Remove the trees that are not `wanted`; if that is None, those that none of `layers` is made of."""
    realisations = root / "realisations"
    if wanted is None:
        wanted = {tree for layer in layers for tree in read_tree_keys(realisations, layer)}
    for path in entries(root / "trees"):
        # A hidden name is the temporary file of a killed process.
        if path.name.startswith(".") or path.name.partition(".")[0] not in wanted:
            sweep.remove("tree", path)
    for path in tree_records(realisations):
        if path.name not in layers:
            remove_tree(path)


def _sweep_layout(layout: Layout, blobs: set[Digest], sweep: _Sweep) -> None:
    # The index goes first: a crash in between leaves blobs that nothing refers to, not references to nothing.
    index = layout.root / "index.json"
    content = _json(index)
    if content is not None and isinstance(content.get("manifests"), list):
        kept = [entry for entry in content["manifests"] if isinstance(entry, dict) and entry.get("digest") in blobs]
        if kept != content["manifests"]:
            write_atomically(index, json.dumps({**content, "manifests": kept}).encode())
    wanted = {layout.blob_path(blob) for blob in blobs}
    for path in layout.blob_files():
        if path not in wanted:
            sweep.remove("blob", path)


def _reachable(layout: Layout, manifests: Iterable[Digest]) -> set[Digest]:
    """Return `manifests` and all that they, or manifests inside them, refer to (OCI image specification, descriptors).

    A manifest that is missing or malformed refers to nothing, so that a damaged store can be cleaned too.
    """
    reached: set[Digest] = set()
    waiting = list(manifests)
    while waiting:
        digest = waiting.pop()
        if digest in reached:
            continue
        reached.add(digest)
        content = _json(layout.blob_path(digest))
        if content is None:
            continue
        reached.update(_digests([content.get("config"), *_list(content.get("layers"))]))
        waiting.extend(_digests(_list(content.get("manifests"))))
    return reached


def _digests(descriptors: list[Any]) -> list[Digest]:
    digests = []
    for descriptor in descriptors:
        if isinstance(descriptor, dict):
            try:
                digests.append(parse_digest(descriptor.get("digest")))
            except ValueError:
                continue
    return digests


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _json(path: Path) -> dict[str, Any] | None:
    try:
        content = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
