"""What in a lock follows from the rest of it and from the recipes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC

from rtbuild.digest import Sha256, canonical_json, sha256_bytes
from rtbuild.errors import ResolutionError
from rtbuild.lockfile.model import DebArtifact, PythonArtifact
from rtbuild.lockfile.python import upstream_version
from rtbuild.lockfile.remedy import lock_remedy
from rtbuild.platform import Platform
from rtbuild.recipe.model import Release

DEBIAN_QUESTION = "debian-resolution"
PYTHON_QUESTION = "python-resolution"
"""Names in a lock's inputs besides those of recipe files: the digest of what each resolver was asked."""


def debian_question(release: Release, platform: Platform) -> Sha256:
    """Return the digest of everything that the choice of Debian packages depends on, except the archives."""
    layers = [
        {
            "name": layer.name,
            "parent": layer.parent,
            "packages": sorted(layer.packages),
            "suites": [
                [suite.archive, suite.suite, list(suite.components), suite.snapshot]
                for suite in layer.suites
                if platform.debian in suite.architectures
            ],
        }
        for layer in release.debian_layers
    ]
    return sha256_bytes(canonical_json({"schema": 1, "platform": str(platform), "layers": layers}))


def python_question(
    release: Release, platform: Platform, python_version: str, glibc: tuple[int, int], resolver: str
) -> Sha256:
    """Return the digest of everything that the choice of Python packages depends on; `resolver` names the program."""
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
    if release.metadata:
        question["metadata"] = [[repair.file, repair.requirement, repair.replacement] for repair in release.metadata]
    if release.packages:
        # Only these fields: the others change the package's own file, not the choice of packages.
        question["packages"] = [
            [
                package.name,
                package.version,
                package.requires_python,
                package.dependencies,
                package.extras,
                package.build_requires,
            ]
            for package in release.packages
        ]
    return sha256_bytes(canonical_json(question))


def target_glibc(debs: Iterable[DebArtifact]) -> tuple[int, int]:
    """Return the version of the C library among `debs`, such as `(2, 31)`: it decides which wheels fit (PEP 600).

    Raises:
        ResolutionError: if `debs` have no C library, or its version is malformed.
    """
    for deb in debs:
        if deb.name == "libc6":
            parts = re.match(r"(\d+)\.(\d+)", upstream_version(deb.version))
            if parts is None:
                raise ResolutionError(
                    f"libc6 {deb.version} is not a version of the GNU C library", hint=lock_remedy().malformed
                )
            return int(parts[1]), int(parts[2])
    raise ResolutionError(
        "no Debian package installs the C library", hint="add libc6 to the packages of a Debian layer"
    )


def newest_input(debs: Iterable[DebArtifact], pythons: Iterable[PythonArtifact]) -> int:
    """Return the time of the newest file that goes into the image, in seconds since 1970: an upper bound for mtimes."""
    return max((*(deb.built for deb in debs), *(int(python.uploaded.timestamp()) for python in pythons)))
