"""Versions of an engine's parts, and which are new enough."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBER = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")

MINIMUM_BUILDKIT = (0, 13, 0)
MINIMUM_BUILDX = (0, 13, 0)
MINIMUM_DOCKER = (26, 0, 0)
"""The first Docker whose built-in BuildKit is 0.13. Debian's Docker reports `v0.0.0+unknown` for its BuildKit, so the
Docker version has to decide there."""

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineVersions:
    """Versions as the engine spells them; empty if it has no such part or does not report its version."""

    docker: str = ""
    buildkit: str = ""
    buildx: str = ""

    def __str__(self) -> str:
        parts = (("Docker", self.docker), ("BuildKit", self.buildkit), ("buildx", self.buildx))
        return ", ".join(f"{name} {version}" for name, version in parts if version)


def parse_version(text: str) -> Version | None:
    """Return the numbers of `v0.13.1`, `26.1.5+dfsg1` or `github.com/docker/buildx 0.13.1+ds1`.

    None if there are no numbers, and for `v0.0.0+unknown`, which says nothing.
    """
    match = _NUMBER.search(text)
    if match is None:
        return None
    major, minor, patch = match.groups()
    version = (int(major), int(minor), int(patch or 0))
    return version if any(version) else None


def too_old(text: str, minimum: Version) -> bool:
    """Return whether `text` is a version below `minimum`; an unknown version is not."""
    version = parse_version(text)
    return version is not None and version < minimum


def spell(version: Version) -> str:
    """Return `0.13` for (0, 13, 0), and `0.13.1` for (0, 13, 1)."""
    return ".".join(str(number) for number in (version if version[2] else version[:2]))
