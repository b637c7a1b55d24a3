"""Whether a lock still fits its recipes. Needs no network."""

from __future__ import annotations

from contextlib import suppress

from packaging.requirements import Requirement

from rtbuild.digest import Sha256
from rtbuild.errors import ResolutionError
from rtbuild.lockfile.derived import DEBIAN_QUESTION, PYTHON_QUESTION, newest_input
from rtbuild.lockfile.local import stale_local
from rtbuild.lockfile.model import FORMAT_WITHOUT_ORIGINS, EngineLock, Lock
from rtbuild.lockfile.patched import stale_patches
from rtbuild.lockfile.python import target_python_version
from rtbuild.recipe.model import EngineRecipe, Release
from rtbuild.recipe.names import normalized

InputDigests = tuple[tuple[str, Sha256], ...]
"""(file, digest) pairs of recipe files, as a lock holds them."""


def stale_parts(release: Release, lock: Lock) -> tuple[str, ...]:
    """Return what in `lock` does not fit `release`, one line each; empty if the lock fits."""
    return (*_changed_inputs(release.inputs, lock.inputs), *_missing(release, lock), *_differing(release, lock))


def outdated_format(lock: Lock | EngineLock) -> tuple[str, ...]:
    """Return what `lock` cannot say because its format is an old one, as one line; empty if it is the current one.

    Such a lock can still be built.
    """
    if lock.version > FORMAT_WITHOUT_ORIGINS:
        return ()
    return (f"its format is version {lock.version}, which records neither the suites' dates nor source packages",)


def stale_engine_parts(recipe: EngineRecipe, lock: EngineLock) -> tuple[str, ...]:
    """Return what in a private engine's `lock` does not fit its `recipe`, one line each; empty if the lock fits."""
    return tuple(_changed_inputs(recipe.inputs, lock.inputs))


def _changed_inputs(recipes: InputDigests, lock: InputDigests) -> list[str]:
    locked = {name: digest for name, digest in lock if name not in (DEBIAN_QUESTION, PYTHON_QUESTION)}
    current = dict(recipes)
    lines = []
    for name in sorted(current.keys() | locked.keys()):
        if name not in locked:
            lines.append(f"{name} is new since the lock was made")
        elif name not in current:
            lines.append(f"{name} is no longer part of the release")
        elif current[name] != locked[name]:
            lines.append(f"{name} has changed since the lock was made")
    return lines


def _missing(release: Release, lock: Lock) -> list[str]:
    debs = {deb.name for deb in lock.debs}
    lines = [
        f"the Debian package {package} of layer {layer.name} is not locked"
        for layer in release.debian_layers
        for package in layer.packages
        if package.partition("=")[0] not in debs
    ]
    versions = {python.name: python.published for python in lock.pythons}
    for text in (*release.requirements, *release.constraints):
        requirement = Requirement(text)
        name = normalized(requirement.name)
        if name not in versions:
            # A constraint binds a package only if something requires it.
            if text in release.requirements:
                lines.append(f"the Python package {name} is not locked")
        elif not requirement.specifier.contains(versions[name], prereleases=True):
            lines.append(f"{name}: the recipes require {requirement.specifier}, the lock has {versions[name]}")
    return lines


def _differing(release: Release, lock: Lock) -> list[str]:
    lines = []
    if lock.as_of != release.as_of:
        lines.append(f"as_of is {release.as_of.isoformat()} in the recipe, {lock.as_of.isoformat()} in the lock")
    locked_layers = {deb.layer for deb in lock.debs} | {python.layer for python in lock.pythons}
    lines += [
        f"the lock has packages for a layer {name!r}, which the release does not have"
        for name in sorted(locked_layers - {layer.name for layer in release.layers})
    ]
    lines += stale_local(lock.pythons, release)
    lines += stale_patches(lock.pythons, release)
    with suppress(ResolutionError):  # a missing Python is reported above, by name
        installed = target_python_version(release, lock.debs) if release.python_layers else None
        if lock.python_version != installed:
            lines.append(f"python_version is {lock.python_version}, but the locked packages install {installed}")
    newest = newest_input(lock.debs, lock.pythons)
    if lock.source_date_epoch != newest:
        lines.append(f"source_date_epoch is {lock.source_date_epoch}, but the newest locked file is from {newest}")
    return lines
