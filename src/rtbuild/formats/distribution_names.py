"""The file names of wheels (PEP 427) and sdists (PEP 625, and what came before it)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from packaging.utils import canonicalize_name
from packaging.version import Version

SDIST_SUFFIXES = (".tar.gz", ".zip", ".tgz", ".tar.xz", ".tar.bz2")


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributionName:
    """The parts of a file name: version, build number as wheels are sorted by it, and tags (None for an sdist)."""

    version: Version
    build: tuple[int, str] = (-1, "")
    tags: str | None = None


def split_filename(filename: str, name: str) -> DistributionName | None:
    """Split the file name of a wheel or sdist of the project `name` (normalised); None if it is no such file."""
    if filename.endswith(".whl"):
        parts = filename.removesuffix(".whl").split("-")
        if len(parts) not in (5, 6) or canonicalize_name(parts[0]) != name:
            return None
        number = re.match(r"(\d+)(.*)", parts[2]) if len(parts) == 6 else None
        version = version_of(parts[1])
        if version is None:
            return None
        build = (int(number[1]), number[2]) if number else (-1, "")
        return DistributionName(version=version, build=build, tags="-".join(parts[-3:]))
    suffix = next((suffix for suffix in SDIST_SUFFIXES if filename.endswith(suffix)), None)
    if suffix is None:
        return None
    stem = filename.removesuffix(suffix)
    # Both names and versions of old sdists may contain hyphens: the project's name tells where the version starts.
    for position, character in enumerate(stem):
        if character == "-" and canonicalize_name(stem[:position]) == name:
            version = _parsed(stem[position + 1 :])
            return None if version is None else DistributionName(version=version)
    return None


def version_of(text: str) -> Version | None:
    """Return the version that a part of a wheel's name spells, with underscores for hyphens; None if it is none."""
    return _parsed(text.replace("_", "-"))


@lru_cache(maxsize=65536)
def _parsed(text: str) -> Version | None:
    try:
        return Version(text)
    except ValueError:  # InvalidVersion, or Python's own error for a number of 5,000 digits
        return None
