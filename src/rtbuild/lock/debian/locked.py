"""Packages of an earlier lock that should stay as they are."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rtbuild.fetch.sources import Sources, Wanted
from rtbuild.lock.debian.deb_file import control_fields
from rtbuild.lock.debian.packages_file import Package, package_of
from rtbuild.lock.model import DebArtifact
from rtbuild.progress import Progress
from rtbuild.recipe.model import DebianLayer

# Holds the control member of nearly every package (it has no files but maintainer scripts, checksums and translations).
_LENGTH = 128 * 1024


def locked_packages(
    locked: Sequence[DebArtifact],
    upgrade: Collection[str],
    layers: Sequence[DebianLayer],
    sources: Sources,
    progress: Progress,
) -> dict[str, Package]:
    """The packages of `locked` that `upgrade` does not name, and whose file a mirror still has, by name.

    Their relations are read from the package file itself: the indexes of a suite that moves do not list superseded
    versions, although the files stay for some time (and stay on snapshot archives). The digest is the lock's, so
    bytes that a lying mirror serves here may at worst lead to a refused file later.
    """
    moving = {entry.partition("==")[0] for entry in upgrade}
    suites = {(suite.archive, suite.suite): suite for layer in layers for suite in layer.suites}
    staying = [
        (deb, suite)
        for deb in locked
        if deb.name not in moving and (suite := suites.get((deb.archive, deb.suite))) is not None
    ]
    heads = sources.debian_heads([Wanted(suite=s, path=d.path, size=d.size) for d, s in staying], _LENGTH)
    packages = {}
    for deb, suite in staying:
        if deb.path not in heads:
            progress.note(f"{deb.name} {deb.version} cannot stay: no mirror has {deb.path} any more")
            continue
        try:
            fields = control_fields(heads[deb.path])
            packages[deb.name] = package_of(
                fields | {"filename": deb.path, "size": str(deb.size), "sha256": deb.sha256}, suite
            )
        except ValueError as error:
            progress.note(f"{deb.name} {deb.version} may move: {deb.path}: {error}")
    return packages
