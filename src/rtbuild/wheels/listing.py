"""Listings: what a wheel installs and what it says it is, kept in the store so that the wheel need not be opened.

A file is named after a digest of everything that decides the listing. Losing it only costs time.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rtbuild.digest import Sha256, canonical_json, sha256_bytes
from rtbuild.documents import parse_json
from rtbuild.files import replacing
from rtbuild.recipe.model import Removal
from rtbuild.wheels.identity import WheelNames
from rtbuild.wheels.scheme import Scheme
from rtbuild.wheels.tree import excluded_paths
from rtbuild.wheels.wheel import Wheel, open_wheel

SCHEMA = 1
"""Increase it whenever the same wheel gives another listing than before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a wheel installs in one layer.

    Attributes:
        names: The names and versions inside of the wheel.
        files: The absolute paths that it installs, without those that the recipe removes.
        excluded: The absolute paths that the recipe removes, those of compiled modules included.
    """

    names: WheelNames
    files: frozenset[str]
    excluded: frozenset[str]


class Listings:
    """The listings of wheels under one scheme, kept in a folder. Safe to use from several threads and processes."""

    def __init__(self, folder: Path, scheme: Scheme) -> None:
        self._folder = folder
        self._scheme = scheme

    def listing(self, wheel: Path, sha256: Sha256, removals: Sequence[Removal], *, label: str) -> Listing:
        """Return the listing of a wheel, which is opened unless its listing was kept.

        Args:
            wheel: The file of the wheel.
            sha256: Its digest.
            removals: What the recipe of its layer removes.
            label: Its name in messages.

        Raises:
            BuildError: if it is not an installable wheel.
            IntegrityError: if it is damaged.
            FileNotFoundError: if there is no such file.
        """
        wheel.stat()  # a listing that was kept must not hide that the wheel is gone
        name = self._name(sha256, removals)
        listing = _read(self._folder / name, name)
        if listing is None:
            with open_wheel(wheel, self._scheme, label=label) as opened:
                listing = _list(opened, removals, self._scheme)
            _write(self._folder / name, name, listing)
        return listing

    def _name(self, wheel: Sha256, removals: Sequence[Removal]) -> Sha256:
        patterns = [removal.pattern for removal in removals]
        return sha256_bytes(canonical_json([SCHEMA, wheel, patterns, asdict(self._scheme)]))


def _list(wheel: Wheel, removals: Sequence[Removal], scheme: Scheme) -> Listing:
    excluded = excluded_paths(wheel, removals, scheme)
    return Listing(
        names=WheelNames.of(wheel.dist_info_dir, wheel.metadata()),
        files=frozenset(wheel.parts) - excluded,
        excluded=excluded,
    )


def _read(path: Path, name: Sha256) -> Listing | None:
    """Return the listing in a file; None if it is missing, unreadable or damaged."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        digest, _, text = path.read_bytes().partition(b"\n")
        if digest == _seal(name, text):
            content: dict[str, Any] = parse_json(text)
            return Listing(
                names=WheelNames(**content["names"]),
                files=frozenset(content["files"]),
                excluded=frozenset(content["excluded"]),
            )
    return None


def _write(path: Path, name: Sha256, listing: Listing) -> None:
    """Write a listing to a file; nothing is written if that is not possible."""
    text = canonical_json(
        {"names": asdict(listing.names), "files": sorted(listing.files), "excluded": sorted(listing.excluded)}
    )
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(_seal(name, text) + b"\n" + text)


def _seal(name: Sha256, text: bytes) -> bytes:
    """Return the first line of a file; it covers the name too, lest the listing of another wheel is taken for it."""
    return sha256_bytes(name.encode() + text).encode()
