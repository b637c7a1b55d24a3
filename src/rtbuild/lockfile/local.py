"""Local packages in a lock: the sdist that each one's source makes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from rtbuild.lockfile.model import PythonArtifact
from rtbuild.recipe.model import Release
from rtbuild.recipe.sdist import LocalSdist, local_sdists


def renew_local(pythons: Sequence[PythonArtifact], release: Release) -> tuple[PythonArtifact, ...]:
    """Locked packages with the sdists that the local ones of them have now."""
    sdists = {one.package.name: one for one in local_sdists(release)}
    return tuple(as_locked(one, sdists[one.name]) if one.name in sdists else one for one in pythons)


def as_locked(artifact: PythonArtifact, sdist: LocalSdist) -> PythonArtifact:
    """`artifact` with the file of `sdist`."""
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
    """A line for each local package whose source makes another sdist than the locked one."""
    locked = {one.name: one for one in pythons}
    return [
        f"{sdist.package.name}: its source in {sdist.package.folder} is not what the lock was made from"
        for sdist in local_sdists(release)
        if (one := locked.get(sdist.package.name)) is not None and as_locked(one, sdist) != one
    ]
