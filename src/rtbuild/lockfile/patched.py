"""Patches in a lock: which package each is for, and what that makes of its version.

Packages are chosen as the index has them. Patches come after that, and no resolver ever sees a patched version.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from rtbuild.errors import RecipeError, StaleLockError
from rtbuild.lockfile.model import LockedPatch, PythonArtifact
from rtbuild.recipe.model import Patch, Release
from rtbuild.recipe.patches import patched_version


def as_published(pythons: Iterable[PythonArtifact]) -> tuple[PythonArtifact, ...]:
    """Locked packages as they were chosen, without patches."""
    return tuple(replace(one, version=one.published, patches=()) for one in pythons)


def as_patched(pythons: Sequence[PythonArtifact], release: Release) -> tuple[PythonArtifact, ...]:
    """Chosen packages with the patches of `release` and the versions that these make.

    Raises `RecipeError` for a patch whose package or version was not chosen.
    """
    chosen = {one.name: one for one in pythons}
    for index, patch in enumerate(release.patches):
        place = f"recipes/releases/{release.version}.toml: patches[{index}]: {patch.id}"
        if patch.package not in chosen:
            hint = "remove it, or require the package"
            raise RecipeError(f"{place} is for {patch.package}, which the release does not have", hint=hint)
        if misfit := patch.misfit(chosen[patch.package].version):
            raise RecipeError(f"{place} {misfit[0]}", hint=misfit[1])
    wanted = _wanted(release)
    return tuple(
        replace(one, version=patched_version(one.version, len(found)), patches=found)
        for one in pythons
        for found in (wanted.get(one.name, ()),)
    )


def stale_patches(pythons: Iterable[PythonArtifact], release: Release) -> list[str]:
    """A line for each package whose locked patches are not those of `release`, and for each patch without its
    package."""
    wanted = _wanted(release)
    found = {one.name: one.patches for one in pythons}
    return [
        f"{name}: the recipes patch it with {_ids(wanted.get(name, ()))}, the lock with {_ids(found.get(name, ()))}"
        for name in sorted(wanted.keys() | found.keys())
        if wanted.get(name, ()) != found.get(name, ())
    ]


def patches_of(artifact: PythonArtifact, release: Release) -> tuple[Patch, ...]:
    """The patches that `artifact` is locked with, in their order; raises `StaleLockError` where the recipes have
    others."""
    known = {patch.id: patch for patch in release.patches}
    patches = []
    for locked in artifact.patches:
        patch = known.get(locked.id)
        if patch is None or patch.sha256 != locked.sha256 or patch.package != artifact.name:
            raise StaleLockError(
                f"{artifact.name}: its patch {locked.id} is not what the lock of {release.version} was made from",
                hint=f"make the lock again with: rtbuild lock {release.version}",
            )
        patches.append(patch)
    return tuple(patches)


def _wanted(release: Release) -> dict[str, tuple[LockedPatch, ...]]:
    """The patches that the recipes name for each package that has any, in their order."""
    wanted: dict[str, tuple[LockedPatch, ...]] = {}
    for patch in release.patches:
        wanted[patch.package] = (*wanted.get(patch.package, ()), LockedPatch(id=patch.id, sha256=patch.sha256))
    return wanted


def _ids(patches: Iterable[LockedPatch]) -> str:
    return ", ".join(f"{one.id} ({one.sha256[:12]})" for one in patches) or "nothing"
