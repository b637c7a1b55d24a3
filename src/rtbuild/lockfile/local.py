"""Local packages in a lock: each is locked as the sdist that its source makes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from rtbuild.lockfile.model import PythonArtifact
from rtbuild.recipe.model import Release
from rtbuild.recipe.sdist import LocalSdist, local_sdists


def renew_local(pythons: Sequence[PythonArtifact], release: Release) -> tuple[PythonArtifact, ...]:
    """Return `pythons` with the local packages among them locked as the sdists that their source makes now."""
    sdists = {sdist.package.name: sdist for sdist in local_sdists(release)}
    return tuple(as_locked(python, sdists[python.name]) if python.name in sdists else python for python in pythons)


def as_locked(artifact: PythonArtifact, sdist: LocalSdist) -> PythonArtifact:
    """Return `artifact` with `sdist` as its file."""
    return replace(
        artifact,
        filename=sdist.filename,
        path=sdist.package.folder,
        size=sdist.size,
        sha256=sdist.sha256,
        uploaded=sdist.uploaded,
        local=True,
    )


def stale_local(pythons: Iterable[PythonArtifact], release: Release) -> list[str]:
    """Return a line for each local package whose source does not make the locked sdist."""
    locked = {python.name: python for python in pythons}
    return [
        f"{sdist.package.name}: its source in {sdist.package.folder} has changed since the lock was made"
        for sdist in local_sdists(release)
        if (python := locked.get(sdist.package.name)) is not None and as_locked(python, sdist) != python
    ]
