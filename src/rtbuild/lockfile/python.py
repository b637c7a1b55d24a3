"""Which Python a lock brings.

The target's Python comes from Debian packages. It has three spellings, each with its own use:

| spelling | example | where it comes from | what it is for |
|---|---|---|---|
| series | `3.9` | the recipe (`Release.python_series`) | paths and package names (`/usr/bin/python3.9`) |
| version | `3.9.2` | `libpython3.9-minimal` (`Lock.python_version`) | environment markers, `Requires-Python` |
| source version | `3.9.2-1` | `python3.9-minimal`, without `+bN` | layer keys: who compiled the bytecode |
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rtbuild.errors import LockError, ResolutionError
from rtbuild.recipe.model import Release

if TYPE_CHECKING:
    from rtbuild.lockfile.model import DebArtifact, Lock

_INTERPRETER = re.compile(r"python(3\.\d+)-minimal\Z")
_BINARY_REBUILD = re.compile(r"\+b\d+\Z")


def target_python_version(release: Release, debs: Iterable[DebArtifact]) -> str:
    """Return the full version of the target's Python (`3.9.2`), which `debs` bring.

    Raises:
        ResolutionError: if none of `debs` brings the Python of the release.
    """
    series = release.require_python()
    name = f"libpython{series}-minimal"
    for deb in debs:
        if deb.name == name:
            return upstream_version(deb.version)
    raise ResolutionError(
        f"release {release.version}: no Debian package brings Python {series}",
        hint=f"add python{series} to the packages of a Debian layer",
    )


def series_of(version: str) -> str:
    """Return the series of a Python version: `3.9` of `3.9.2`."""
    return ".".join(version.split(".")[:2])


def python_source_version(release: Release, lock: Lock) -> str:
    """Return the version of the Debian source package of the target's Python, the same on every architecture.

    Raises:
        LockError: if the lock has no such Python.
    """
    name = _interpreter(release.require_python())
    for deb in lock.debs:
        if deb.name == name:
            # Debian Policy 5.6.12 and wanna-build: `+bN` marks a rebuild of the same source on one architecture.
            return _BINARY_REBUILD.sub("", deb.version)
    raise LockError(
        f"the lock of {release.version} has no package {name}",
        hint=f"add {name.removesuffix('-minimal')} to the packages of a Debian layer",
    )


def standard_library(debs: Iterable[DebArtifact]) -> str | None:
    """Return the series of the Python whose standard library `debs` bring, which rtbuild then compiles.

    The recipe need not name it: a Python can come as a dependency, and its compiled files would still be noise.
    """
    found = [match[1] for deb in debs if (match := _INTERPRETER.match(deb.name))]
    return max(found, key=lambda series: tuple(map(int, series.split("."))), default=None)


def upstream_version(version: str) -> str:
    """Return a Debian version without its epoch and revision (Debian Policy 5.6.12)."""
    without_epoch = version.partition(":")[2] or version
    return without_epoch.rpartition("-")[0] or without_epoch


def _interpreter(series: str) -> str:
    return f"python{series}-minimal"
