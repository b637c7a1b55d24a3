"""Wheels that rtbuild made, in the store: `<key>.whl`, and `<key>.json`, what it is.

The key covers everything that the wheel is made from.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from rtbuild.digest import Key, Sha256, canonical_json, parse_sha256, sha256_file
from rtbuild.files import write_atomically
from rtbuild.progress import Progress
from rtbuild.store.files import store_errors
from rtbuild.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeWheel:
    """The wheel of a package that an sdist became, or that has patches. `path` is its file in the store, `filename` its
    real name."""

    package: str
    filename: str
    path: Path
    size: int
    sha256: Sha256


def find_wheel(package: str, key: Key, store: Store, progress: Progress) -> MadeWheel | None:
    """The wheel with this key, its bytes checked; None where it is absent, and where it is damaged, which is told.

    Raises `StoreError`.
    """
    path = store.trees / f"{key}.whl"
    with store_errors(f"read {path}"):
        try:
            text = (store.trees / f"{key}.json").read_bytes()
        except FileNotFoundError:
            return None  # a wheel without a record is what a killed process leaves
        try:
            record = json.loads(text)
            wheel = MadeWheel(
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
    progress.note(f"the wheel of {package} in the store was damaged and is made again")
    return None


def keep_wheel(package: str, key: Key, wheel: Path, filename: str, store: Store) -> MadeWheel:
    """Move `wheel`, a file on the store's own filesystem, to where `find_wheel` looks. Raises `StoreError`."""
    target = store.trees / f"{key}.whl"
    made = MadeWheel(
        package=package, filename=filename, path=target, size=wheel.stat().st_size, sha256=sha256_file(wheel)
    )
    record = {"filename": made.filename, "size": made.size, "sha256": made.sha256}
    with store_errors(f"write {target}"):
        wheel.replace(target)
        write_atomically(store.trees / f"{key}.json", canonical_json(record) + b"\n")
    return made
