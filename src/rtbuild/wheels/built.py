"""Wheels that rtbuild built from sdists or patched, in the store: `<key>.whl` and its record, `<key>.json`.

The key covers everything that goes into the wheel.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rtbuild.digest import Key, Sha256, canonical_json, parse_sha256, sha256_file
from rtbuild.documents import parse_json
from rtbuild.files import write_atomically
from rtbuild.progress import Progress
from rtbuild.store.files import store_errors
from rtbuild.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltWheel:
    """A wheel that was built from an sdist or patched. `path` is its file in the store, `filename` its proper name."""

    package: str
    filename: str
    path: Path
    size: int
    sha256: Sha256

    @property
    def key(self) -> Key:
        """The key of everything that goes into it."""
        return Key(self.path.stem)


def find_wheel(package: str, key: Key, store: Store, progress: Progress) -> BuiltWheel | None:
    """Return the wheel with this key after checking its bytes, or None if it is missing or damaged.

    A damaged wheel is reported to `progress`.

    Raises:
        StoreError: if the store cannot be read.
    """
    path = store.trees / f"{key}.whl"
    with store_errors(f"read {path}"):
        try:
            text = (store.trees / f"{key}.json").read_bytes()
        except FileNotFoundError:
            return None  # a wheel without a record is what a killed process leaves
        try:
            record = parse_json(text)
            if not isinstance(record["filename"], str) or not isinstance(record["size"], int):
                raise ValueError("damaged record")
            wheel = BuiltWheel(
                package=package,
                filename=record["filename"],
                path=path,
                size=record["size"],
                sha256=parse_sha256(record["sha256"]),
            )
            if sha256_file(path) == wheel.sha256:
                return wheel
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            pass
    progress.note(f"the wheel of {package} in the store is damaged and will be rebuilt")
    return None


def store_wheel(package: str, key: Key, file: Path, filename: str, store: Store) -> BuiltWheel:
    """Move the wheel at `file`, which must be on the store's filesystem, to where `find_wheel` finds it.

    Raises:
        StoreError: if the store cannot be written.
    """
    target = store.trees / f"{key}.whl"
    wheel = BuiltWheel(
        package=package, filename=filename, path=target, size=file.stat().st_size, sha256=sha256_file(file)
    )
    record = {"filename": wheel.filename, "size": wheel.size, "sha256": wheel.sha256}
    with store_errors(f"write {target}"):
        file.replace(target)
        write_atomically(store.trees / f"{key}.json", canonical_json(record) + b"\n")
    return wheel
