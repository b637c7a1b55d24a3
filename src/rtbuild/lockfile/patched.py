"""Patches in a lock: which packages they apply to, and the versions that result.

Packages are chosen as the index has them; patches are applied afterwards. No resolver ever sees a patched version.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from rtbuild.errors import RecipeError, StaleLockError
from rtbuild.lockfile.model import LockedPatch, PythonArtifact
from rtbuild.lockfile.remedy import lock_remedy
from rtbuild.recipe.model import Patch, Release
from rtbuild.recipe.patches import patched_version


def as_published(pythons: Iterable[PythonArtifact]) -> tuple[PythonArtifact, ...]:
    """Return locked packages as they were chosen, without patches."""
    return tuple(replace(python, version=python.published, patches=()) for python in pythons)


def as_patched(pythons: Sequence[PythonArtifact], release: Release) -> tuple[PythonArtifact, ...]:
    """Return chosen packages with the patches of `release` and the versions that result.

    Raises:
        RecipeError: if the package of a patch was not chosen, or another version of it was.
    """
    chosen = {python.name: python for python in pythons}
    for index, patch in enumerate(release.patches):
        place = f"recipes/releases/{release.version}.toml: patches[{index}]: {patch.id}"
        if patch.package not in chosen:
            hint = "remove the patch, or require the package"
            raise RecipeError(f"{place} is for {patch.package}, which the release does not have", hint=hint)
        if misfit := patch.misfit(chosen[patch.package].version):
            problem, hint = misfit
            raise RecipeError(f"{place} {problem}", hint=hint)
    patches = _patches_by_package(release)
    return tuple(
        replace(python, version=patched_version(python.version, len(own)), patches=own)
        for python in pythons
        for own in (patches.get(python.name, ()),)
    )


def stale_patches(pythons: Iterable[PythonArtifact], release: Release) -> list[str]:
    """Return a line for each package whose locked patches differ from those that `release` names."""
    named = _patches_by_package(release)
    locked = {python.name: python.patches for python in pythons}
    return [
        f"{name}: the recipes patch it with {_ids(named.get(name, ()))}, the lock with {_ids(locked.get(name, ()))}"
        for name in sorted(named.keys() | locked.keys())
        if named.get(name, ()) != locked.get(name, ())
    ]


def patches_of(artifact: PythonArtifact, release: Release) -> tuple[Patch, ...]:
    """Return the patches that `artifact` is locked with, in order.

    Raises:
        StaleLockError: if the recipes no longer have one of them, or have changed it.
    """
    known = {patch.id: patch for patch in release.patches}
    patches = []
    for locked in artifact.patches:
        patch = known.get(locked.id)
        if patch is None or patch.sha256 != locked.sha256 or patch.package != artifact.name:
            raise StaleLockError(
                f"{artifact.name}: patch {locked.id} has changed since the lock of {release.version} was made",
                hint=lock_remedy(release.version).stale,
            )
        patches.append(patch)
    return tuple(patches)


def _patches_by_package(release: Release) -> dict[str, tuple[LockedPatch, ...]]:
    patches: dict[str, tuple[LockedPatch, ...]] = {}
    for patch in release.patches:
        patches[patch.package] = (*patches.get(patch.package, ()), LockedPatch(id=patch.id, sha256=patch.sha256))
    return patches


def _ids(patches: Iterable[LockedPatch]) -> str:
    return ", ".join(f"{patch.id} ({patch.sha256[:12]})" for patch in patches) or "nothing"
