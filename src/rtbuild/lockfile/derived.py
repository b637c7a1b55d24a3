"""What in a lock follows from the rest of it, and from the recipes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC

from rtbuild.digest import Sha256, canonical_json, sha256_bytes
from rtbuild.errors import ResolutionError
from rtbuild.lockfile.model import DebArtifact, PythonArtifact
from rtbuild.lockfile.python import upstream_version
from rtbuild.platform import Platform
from rtbuild.recipe.model import Release

DEBIAN_QUESTION = "debian-resolution"
PYTHON_QUESTION = "python-resolution"
"""Entries of a lock's inputs beside those of recipe files: the digest of what each side was asked."""


def debian_question(release: Release, platform: Platform) -> Sha256:
    """The digest of all that the choice of Debian packages depends on, but for the archives."""
    layers = [
        {
            "name": layer.name,
            "parent": layer.parent,
            "packages": sorted(layer.packages),
            "suites": [
                [one.archive, one.suite, list(one.components), one.snapshot]
                for one in layer.suites
                if platform.debian in one.architectures
            ],
        }
        for layer in release.debian_layers
    ]
    return sha256_bytes(canonical_json({"schema": 1, "platform": str(platform), "layers": layers}))


def python_question(
    release: Release, platform: Platform, python_version: str, glibc: tuple[int, int], resolver: str
) -> Sha256:
    """The digest of all that the choice of Python packages depends on; `resolver` names the program that chooses."""
    question: dict[str, object] = {
        "schema": 1,
        "resolver": resolver,
        "platform": str(platform),
        "python": python_version,
        "glibc": list(glibc),
        "as_of": release.as_of.astimezone(UTC).isoformat(),
        "requirements": sorted(release.requirements),
        "constraints": sorted(release.constraints),
        "build_constraints": sorted(release.build_constraints),
        "layers": [[layer.name, sorted(layer.roots)] for layer in release.python_layers],
    }
    if release.packages:
        # What their source is beside that moves their own files alone, and no choice.
        question["packages"] = [
            [one.name, one.version, one.requires_python, one.dependencies, one.extras, one.build_requires]
            for one in release.packages
        ]
    return sha256_bytes(canonical_json(question))


def target_glibc(debs: Iterable[DebArtifact]) -> tuple[int, int]:
    """The C library's version among `debs` (`(2, 31)`), which says what wheels may ask for (PEP 600)."""
    for deb in debs:
        if deb.name == "libc6":
            parts = re.match(r"(\d+)\.(\d+)", upstream_version(deb.version))
            if parts is None:
                raise ResolutionError(
                    f"libc6 {deb.version}: not a version of the GNU C library",
                    hint="a lock edited by hand? rtbuild lock --refresh makes it anew",
                )
            return int(parts[1]), int(parts[2])
    raise ResolutionError("no Debian package brings the C library", hint="a Debian layer has to need libc6")


def newest_input(debs: Iterable[DebArtifact], pythons: Iterable[PythonArtifact]) -> int:
    """The time of the newest file that goes into the image, in seconds since 1970: no file of it can be newer."""
    return max((*(deb.built for deb in debs), *(int(one.uploaded.timestamp()) for one in pythons)))
