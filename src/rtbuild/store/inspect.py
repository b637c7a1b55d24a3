"""Looking through the whole store: what is damaged, and what takes the space."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rtbuild.progress import Progress
from rtbuild.store.artifacts import hash_artifact
from rtbuild.store.collect import occupied
from rtbuild.store.realisations import read_realisation, recorded_keys

_HEX = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What was hashed, and what was bad: paths relative to the store, each with what was wrong. The bad is removed."""

    checked: int
    bytes: int
    bad: tuple[tuple[str, str], ...]


def verify(root: Path, progress: Progress) -> VerifyReport:
    """Hash each file whose sha256 is known, read each realisation; remove the bad. Raises `StoreError`.

    A realisation whose blob is not there (any more) goes as well: its layer must be built again.
    """
    checked, size = 0, 0
    bad: list[tuple[str, str]] = []
    files = [*_named(root / "artifacts"), *_named(root / "layout" / "blobs" / "sha256")]
    task = "verify store"
    progress.begin(task, total=sum(_size(path) for path in files), unit="bytes")
    for path in files:
        length = _size(path)
        found = hash_artifact(path)
        if found is not None:
            checked += 1
            size += length
        if found is not None and found != path.name:
            path.unlink(missing_ok=True)
            bad.append((str(path.relative_to(root)), f"its sha256 is {found}"))
        progress.advance(task, length)
    progress.end(task)
    for frames, record, promised in _trees(root / "trees"):
        found = hash_artifact(frames)
        checked += 1
        size += _size(frames)
        if promised is None or found != promised:
            frames.unlink(missing_ok=True)
            record.unlink(missing_ok=True)
            bad.append((str(frames.relative_to(root)), "missing" if found is None else f"its sha256 is {found}"))
    for name, problem in _bad_realisations(root):
        bad.append((name, problem))
    return VerifyReport(checked=checked, bytes=size, bad=tuple(bad))


def sizes(root: Path) -> dict[str, int]:
    """Bytes of disk by kind of content."""
    return {
        "artifacts": occupied(root / "artifacts"),
        "partial downloads": occupied(root / "partial"),
        "layers and images": occupied(root / "layout"),
        "wheel trees": occupied(root / "trees"),
        "caches": occupied(root / "cache"),
        "logs": occupied(root / "logs"),
        "temporary": occupied(root / "tmp"),
    }


def _bad_realisations(root: Path) -> Iterator[tuple[str, str]]:
    folder = root / "realisations"
    for key in recorded_keys(folder):
        path = folder / "by-key" / f"{key}.json"
        name = str(path.relative_to(root))
        realisation = read_realisation(folder, key)  # removes it where it is damaged
        if realisation is None:
            yield name, "not a realisation"
            continue
        blob = root / "layout" / "blobs" / "sha256" / realisation.blob.removeprefix("sha256:")
        if not blob.is_file():
            path.unlink(missing_ok=True)
            yield name, f"the layer {realisation.layer} it tells of is not in the store"


def _trees(folder: Path) -> Iterator[tuple[Path, Path, str | None]]:
    """Each wheel tree: its file, the record beside it, and the sha256 that record gives (None: it is damaged)."""
    for record in sorted(folder.glob("[0-9a-f]*.json")):
        promised = None
        with suppress(OSError, ValueError, KeyError, TypeError):
            promised = json.loads(record.read_bytes())["frames"]["sha256"]
        yield record.with_suffix(".tar.zst"), record, promised


def _named(folder: Path) -> list[Path]:
    with suppress(FileNotFoundError):
        return sorted(path for path in folder.iterdir() if _HEX.match(path.name))
    return []


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0
