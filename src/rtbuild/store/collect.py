"""Garbage collection: what no lock refers to goes.

The rule is mark and sweep with an explicit list of roots, not by age: a store may sit unused for a year and still be
what makes an old release rebuildable offline. Only logs and cached answers, which no build needs, go by age. It runs
only while no other process has the store open (`Store.gc`).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtbuild.digest import Digest, Key, Sha256, parse_digest
from rtbuild.files import write_atomically
from rtbuild.lockfile.model import EngineLock, Lock
from rtbuild.store.files import entries, remove_tree
from rtbuild.store.realisations import latest_realisation, read_realisation, recorded_keys

UNUSED_DAYS = 30
"""Logs and cached answers that were not used for so many days go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roots:
    """What to keep. `manifests` keep their configs and layers too. `trees` are keys of trees; None keeps all.

    `layers` keep each layer of a (release, platform, name) that was recorded last, so that a plan can say what changed.
    """

    artifacts: frozenset[Sha256] = frozenset()
    keys: frozenset[Key] = frozenset()
    manifests: frozenset[Digest] = frozenset()
    layers: frozenset[tuple[str, str, str]] = frozenset()
    trees: frozenset[str] | None = None

    @classmethod
    def of_locks(cls, locks: Iterable[Lock], engines: Iterable[EngineLock] = ()) -> Roots:
        """Everything that `locks` and the locks of private engines refer to, and all trees."""
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
    """How many of each kind went, and the bytes that gave.

    Kinds are `artifact`, `blob`, `tree`, `realisation`, `partial`, `log` and `cached answer`.
    """

    removed: tuple[tuple[str, int], ...]
    bytes: int


def collect(root: Path, keep: Roots) -> GcReport:
    """Remove from the store in `root` what `keep` does not name; raises `OSError`."""
    sweep = _Sweep()
    realisations = root / "realisations"
    keys = set(keep.keys)
    for release, platform, layer in keep.layers:
        if latest := latest_realisation(realisations, release, platform, layer):
            keys.add(latest.key)
    blobs: set[Digest] = set()
    for key in recorded_keys(realisations):
        record = read_realisation(realisations, key)
        if record is not None and key in keys:
            blobs.add(record.blob)
        elif record is not None:
            sweep.remove("realisation", realisations / "by-key" / f"{key}.json")
    blobs |= _reachable(root / "layout", keep.manifests)
    for path in entries(root / "artifacts"):
        if path.name not in keep.artifacts:
            sweep.remove("artifact", path)
    for path in entries(root / "partial"):
        if path.name not in keep.artifacts:
            sweep.remove("partial", path)
    _sweep_layout(root / "layout", blobs, sweep)
    for path in entries(root / "trees"):
        # A hidden name is what a killed process was about to write.
        if path.name.startswith(".") or (keep.trees is not None and path.name.partition(".")[0] not in keep.trees):
            sweep.remove("tree", path)
    for kind, folder in (("log", root / "logs"), ("cached answer", root / "cache")):
        for path in _unused(folder, since=time.time() - UNUSED_DAYS * 86400):
            sweep.remove(kind, path)
    return sweep.report()


def _unused(folder: Path, *, since: float) -> Iterator[Path]:
    """The files below `folder` that were neither read nor written `since` then (seconds since 1970)."""
    for parent, _, names in os.walk(folder):
        for name in names:
            status = (path := Path(parent, name)).lstat()
            if max(status.st_atime, status.st_mtime) < since:
                yield path


def occupied(path: Path) -> int:
    """Bytes of disk below `path`; a hard link counts once where it is met again, what vanishes meanwhile not at all."""
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
            with os.scandir(path) as found:
                children = [Path(entry.path) for entry in found]
            total += sum(_occupied(child, seen) for child in children)
    except FileNotFoundError:
        return 0
    return total


@dataclass(slots=True)
class _Sweep:
    removed: dict[str, int] = field(default_factory=dict)
    bytes: int = 0

    def remove(self, kind: str, path: Path) -> None:
        self.bytes += occupied(path)
        remove_tree(path)
        self.removed[kind] = self.removed.get(kind, 0) + 1

    def report(self) -> GcReport:
        return GcReport(removed=tuple(sorted(self.removed.items())), bytes=self.bytes)


def _sweep_layout(layout: Path, blobs: set[Digest], sweep: _Sweep) -> None:
    # The index goes first: a crash in between leaves blobs that nothing refers to, not references to nothing.
    index = layout / "index.json"
    content = _json(index)
    if content is not None and isinstance(content.get("manifests"), list):
        kept = [entry for entry in content["manifests"] if isinstance(entry, dict) and entry.get("digest") in blobs]
        if kept != content["manifests"]:
            write_atomically(index, json.dumps({**content, "manifests": kept}).encode())
    for path in entries(layout / "blobs" / "sha256"):
        if f"sha256:{path.name}" not in blobs:
            sweep.remove("blob", path)


def _reachable(layout: Path, manifests: Iterable[Digest]) -> set[Digest]:
    """`manifests` and all that they, or the manifests inside them, refer to (OCI image specification, descriptors)."""
    found: set[Digest] = set()
    waiting = list(manifests)
    while waiting:
        digest = waiting.pop()
        if digest in found:
            continue
        found.add(digest)
        content = _json(layout / "blobs" / "sha256" / digest.removeprefix("sha256:"))
        if content is None:
            continue
        found.update(_digests([content.get("config"), *_list(content.get("layers"))]))
        waiting.extend(_digests(_list(content.get("manifests"))))
    return found


def _digests(descriptors: list[Any]) -> list[Digest]:
    found = []
    for descriptor in descriptors:
        if isinstance(descriptor, dict):
            try:
                found.append(parse_digest(descriptor.get("digest")))
            except ValueError:
                continue
    return found


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
