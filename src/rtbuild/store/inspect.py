"""Looking through the whole store: what is damaged, and what takes the space."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rtbuild.digest import Sha256, canonical_json, parse_sha256, sha256_bytes
from rtbuild.progress import Progress
from rtbuild.store.artifacts import hash_artifact
from rtbuild.store.collect import occupied
from rtbuild.store.files import entries
from rtbuild.store.realisations import read_realisation, recorded_keys
from rtbuild.store.temporary import TEMPORARY

_HEX = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReport:
    """What was hashed, and what was bad: paths relative to the store, each with what was wrong. The bad is removed."""

    checked: int
    bytes: int
    bad: tuple[tuple[str, str], ...]


def verify(root: Path, progress: Progress) -> StoreReport:
    """Hash each file whose sha256 is known, read each realisation; remove the bad. Raises `StoreError`.

    A realisation whose blob is not there (any more) goes as well: its layer must be built again.
    """
    checked, size = 0, 0
    bad: list[tuple[str, str]] = []
    files = [*_named(root / "artifacts"), *_named(root / "layout" / "blobs" / "sha256")]
    trees = list(_trees(root / "trees"))
    task = "verify store"
    progress.begin(task, total=sum(map(_size, [*files, *(file for file, _ in trees)])), unit="bytes")
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
    for file, record in trees:
        length = _size(file)
        checked += 1
        size += length
        if problem := _problem(file, record):
            file.unlink(missing_ok=True)
            record.unlink(missing_ok=True)
            bad.append((str(file.relative_to(root)), problem))
        progress.advance(task, length)
    progress.end(task)
    for name, problem in _bad_realisations(root):
        bad.append((name, problem))
    return StoreReport(checked=checked, bytes=size, bad=tuple(bad))


def sizes(root: Path) -> dict[str, int]:
    """Bytes of disk by kind of content."""
    return {
        "artifacts": occupied(root / "artifacts"),
        "partial downloads": occupied(root / "partial"),
        "layers and images": occupied(root / "layout"),
        "wheel trees": occupied(root / "trees"),
        "caches": occupied(root / "cache"),
        "logs": occupied(root / "logs"),
        "temporary": occupied(root / TEMPORARY),
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


def _trees(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Each wheel tree and each wheel that was made, with the record beside it; the record twice where it is alone.

    A file without a record is what a killed process left: nothing uses it, and the next build writes it anew.
    """
    files = {path.name.partition(".")[0]: path for path in entries(folder) if path.suffix != ".json"}
    for record in entries(folder):
        if record.suffix == ".json" and _HEX.match(record.stem):
            yield files.get(record.stem, record), record


def _problem(file: Path, record: Path) -> str | None:
    """What is wrong with a tree or wheel, None where it is what its record promises."""
    try:
        promised = _promised(record)
    except (ValueError, KeyError, TypeError):
        return "its record is damaged"
    found = hash_artifact(file) if file != record else None
    if found is None:
        return "its record tells of a file that is missing"
    return None if found == promised else f"its sha256 is {found}"


def _promised(record: Path) -> Sha256:
    """The sha256 of the file that a record tells of. Raises `ValueError`, `KeyError` or `TypeError` for no record."""
    content = json.loads(record.read_bytes())
    if "frames" not in content:  # a wheel that was made, from an sdist or with patches
        return parse_sha256(content["sha256"])
    own = content.pop("sha256")
    if content["key"] != record.stem or sha256_bytes(canonical_json(content)) != own:
        raise ValueError("damaged record")
    return parse_sha256(content["frames"]["sha256"])


def _named(folder: Path) -> list[Path]:
    return [path for path in entries(folder) if _HEX.match(path.name)]


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0
