"""Inspecting the whole store: what is damaged, and what takes the space."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rtbuild.digest import Sha256, canonical_json, parse_sha256, sha256_bytes
from rtbuild.documents import parse_json
from rtbuild.errors import IntegrityError
from rtbuild.files import write_atomically
from rtbuild.oci.layout import LAYOUT_FILE, Layout
from rtbuild.oci.names import names_of
from rtbuild.progress import Progress
from rtbuild.store.artifacts import hash_artifact
from rtbuild.store.collect import occupied
from rtbuild.store.files import entries
from rtbuild.store.realisations import read_record, record_files
from rtbuild.store.temporary import TEMPORARY

_HEX = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReport:
    """The result of verifying a store.

    Attributes:
        checked: How many files were hashed.
        bytes: How many bytes these had.
        bad: The files that were bad and have been removed: the path in the store, and what was wrong.
    """

    checked: int
    bytes: int
    bad: tuple[tuple[str, str], ...]


def verify(root: Path, progress: Progress) -> StoreReport:
    """Hash each file whose sha256 is known, read each record and the index of images, and remove what is bad.

    A realisation whose blob is missing is removed too: its layer must be built again. So is an image in the index whose
    manifest is missing.

    Raises:
        StoreError: if a file cannot be read.
        OSError: if a bad file cannot be removed.
    """
    checked, size = 0, 0
    bad: list[tuple[str, str]] = []
    layout = Layout(root / "layout")
    files = [path for path in (*entries(root / "artifacts"), *layout.blob_files()) if _HEX.match(path.name)]
    trees = list(_trees(root / "trees"))
    task = "verify store"
    progress.begin(task, total=sum(map(_size, [*files, *(file for file, _ in trees)])), unit="bytes")
    for path in files:
        length = _size(path)
        actual = hash_artifact(path)
        if actual is not None:
            checked += 1
            size += length
        if actual is not None and actual != path.name:
            path.unlink(missing_ok=True)
            bad.append((str(path.relative_to(root)), f"its sha256 is {actual}"))
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
    bad += _bad_realisations(root, layout)
    bad += ((str(path.relative_to(root)), problem) for path, problem in _mend_index(layout))
    return StoreReport(checked=checked, bytes=size, bad=tuple(bad))


def sizes(root: Path) -> dict[str, int]:
    """Return the bytes of disk that each kind of content takes."""
    return {
        "artifacts": occupied(root / "artifacts"),
        "partial downloads": occupied(root / "partial"),
        "layers and images": occupied(root / "layout"),
        "wheel trees": occupied(root / "trees"),
        "caches": occupied(root / "cache"),
        "logs": occupied(root / "logs"),
        "temporary": occupied(root / TEMPORARY),
    }


def _bad_realisations(root: Path, layout: Layout) -> Iterator[tuple[str, str]]:
    for path in record_files(root / "realisations"):
        name = str(path.relative_to(root))
        realisation = read_record(path)  # removes it if it is damaged
        if realisation is None:
            yield name, "not a realisation"
        elif not layout.blob_path(realisation.blob).is_file():
            path.unlink(missing_ok=True)
            yield name, f"its layer {realisation.layer} is not in the store"


def _mend_index(layout: Layout) -> Iterator[tuple[Path, str]]:
    """Yield what was wrong with the layout's own files, after replacing them by right ones.

    A build that lists its images at the same moment may have to be run again to list them.
    """
    index, version = layout.root / "index.json", layout.root / "oci-layout"
    if not index.exists() and not version.exists():
        return  # nothing was built yet
    Layout.create(layout.root)
    if version.read_bytes() != LAYOUT_FILE:
        write_atomically(version, LAYOUT_FILE)
        yield version, "not the version file of an OCI image layout"
    try:
        entries = layout.read_index()
    except IntegrityError as error:
        layout.write_index(())
        yield index, f"not an index of images: {error.brief}"
        return
    present = [entry for entry in entries if layout.blob_path(entry.digest).is_file()]
    if len(present) < len(entries):
        layout.write_index(present)
        names = (name for entry in entries if entry not in present for name in names_of(entry) or (entry.digest,))
        yield index, f"images without a manifest: {', '.join(dict.fromkeys(names))}"


def _trees(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yield each wheel tree, and each wheel that was built, with its record; the record twice if its file is missing.

    A file without a record was left by a killed process: nothing uses it, and the next build writes it again.
    """
    files = {path.name.partition(".")[0]: path for path in entries(folder) if path.suffix != ".json"}
    for record in entries(folder):
        if record.suffix == ".json" and _HEX.match(record.stem):
            yield files.get(record.stem, record), record


def _problem(file: Path, record: Path) -> str | None:
    """Return what is wrong with a tree or wheel; None if it matches its record."""
    try:
        expected = _recorded_digest(record)
    except (ValueError, KeyError, TypeError):
        return "its record is damaged"
    actual = hash_artifact(file) if file != record else None
    if actual is None:
        return "the file that it records is missing"
    return None if actual == expected else f"its sha256 is {actual}"


def _recorded_digest(record: Path) -> Sha256:
    """Return the sha256 of the file that a record belongs to.

    Raises:
        ValueError, KeyError or TypeError: if the record is damaged.
    """
    content = parse_json(record.read_bytes())
    if not isinstance(content, dict):
        raise ValueError("damaged record")
    if "frames" not in content:  # a wheel that was built from an sdist or patched
        return parse_sha256(content["sha256"])
    own = content.pop("sha256")
    if content["key"] != record.stem or sha256_bytes(canonical_json(content)) != own:
        raise ValueError("damaged record")
    return parse_sha256(content["frames"]["sha256"])


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0
