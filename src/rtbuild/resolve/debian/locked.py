"""Find the packages of the lock so far that stay as they are."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterator, Sequence

from rtbuild.digest import sha256_bytes
from rtbuild.formats.deb import HEAD, control_text
from rtbuild.formats.deb822 import parse_stanza
from rtbuild.lockfile.model import DebArtifact
from rtbuild.mirror.sources import Wanted
from rtbuild.recipe.model import Suite
from rtbuild.resolve.debian.packages_file import DebianPackage, PackagesIndex, package_of
from rtbuild.resolve.environment import LockEnvironment

_AT_ONCE = 32 << 20
"""Bytes of package files to hold in memory at once, unless a single file is larger."""

_Staying = tuple[DebArtifact, Suite]


def locked_packages(
    locked: Sequence[DebArtifact],
    upgrade: Collection[str],
    suites: Sequence[Suite],
    indexes: Callable[[Suite], Sequence[PackagesIndex]],
    environment: LockEnvironment,
) -> dict[str, DebianPackage]:
    """Return the packages of `locked` that `upgrade` does not name and whose file a mirror still has, by name.

    Their relations decide what else is chosen, so they are read only from where nobody can have changed them: from the
    suite's `indexes`, which the archive signed, or, if these no longer list the file, from the whole file itself once
    it has the lock's digest. (A suite that moves on drops superseded versions at once, and their files later.)

    Raises what reading an index raises.
    """
    sources, progress = environment.sources, environment.progress
    moving = {entry.partition("==")[0] for entry in upgrade}
    known = {(suite.archive, suite.suite): suite for suite in suites}
    staying = [
        (deb, suite)
        for deb in locked
        if deb.name not in moving and (suite := known.get((deb.archive, deb.suite))) is not None
    ]
    heads = sources.debian_heads([_wanted(*pair) for pair in staying], HEAD)
    packages: dict[str, DebianPackage] = {}
    superseded = []
    for deb, suite in staying:
        if deb.path not in heads:
            progress.note(f"{deb.name} {deb.version} cannot stay: no mirror has {deb.path} anymore")
        elif (package := _listed(deb, indexes(suite))) is not None:
            packages[deb.name] = package
        else:
            superseded.append((deb, suite))
    for batch in _batches(superseded):
        files = sources.debian_heads([_wanted(*pair) for pair in batch], max(deb.size for deb, _ in batch))
        for deb, suite in batch:
            try:
                packages[deb.name] = _read(deb, suite, files.get(deb.path, b""))
            except ValueError as error:
                progress.note(f"{deb.name} {deb.version} may move: {deb.path}: {error}")
    return packages


def _wanted(deb: DebArtifact, suite: Suite) -> Wanted:
    return Wanted(suite=suite, path=deb.path, size=deb.size)


def _listed(deb: DebArtifact, indexes: Sequence[PackagesIndex]) -> DebianPackage | None:
    for index in indexes:
        for package in index.versions(deb.name):
            if (package.sha256, package.path, package.size) == (deb.sha256, deb.path, deb.size):
                return package
    return None


def _batches(superseded: Sequence[_Staying]) -> Iterator[list[_Staying]]:
    batch: list[_Staying] = []
    for deb, suite in superseded:
        if batch and sum(held.size for held, _ in batch) + deb.size > _AT_ONCE:
            yield batch
            batch = []
        batch.append((deb, suite))
    if batch:
        yield batch


def _read(deb: DebArtifact, suite: Suite, content: bytes) -> DebianPackage:
    if sha256_bytes(content) != deb.sha256:
        raise ValueError("a mirror serves another file than the locked one")
    fields = parse_stanza(control_text(io.BytesIO(content)))
    return package_of(fields | {"filename": deb.path, "size": str(deb.size), "sha256": deb.sha256}, suite)
