"""`lock --check`: what of a lock no longer fits its recipes. Offline."""

from __future__ import annotations

from contextlib import suppress

from packaging.requirements import Requirement

from rtbuild.digest import Sha256
from rtbuild.errors import ResolutionError
from rtbuild.lockfile.derived import DEBIAN_QUESTION, PYTHON_QUESTION, newest_input
from rtbuild.lockfile.local import stale_local
from rtbuild.lockfile.model import EngineLock, Lock
from rtbuild.lockfile.patched import stale_patches
from rtbuild.lockfile.python import target_python_version
from rtbuild.recipe.model import EngineRecipe, Release
from rtbuild.recipe.names import normalized

Inputs = tuple[tuple[str, Sha256], ...]
"""Digests of recipes, by file."""


def stale_parts(release: Release, lock: Lock) -> tuple[str, ...]:
    """What of `lock` does not fit `release`, one line each; empty where all does."""
    return (*_changed_inputs(release.inputs, lock.inputs), *_missing(release, lock), *_differing(release, lock))


def stale_engine_parts(recipe: EngineRecipe, lock: EngineLock) -> tuple[str, ...]:
    """What of the `lock` of a private engine does not fit its `recipe`, one line each; empty where all does."""
    return tuple(_changed_inputs(recipe.inputs, lock.inputs))


def _changed_inputs(recipes: Inputs, lock: Inputs) -> list[str]:
    locked = {name: digest for name, digest in lock if name not in (DEBIAN_QUESTION, PYTHON_QUESTION)}
    current = dict(recipes)
    found = []
    for name in sorted(current.keys() | locked.keys()):
        if name not in locked:
            found.append(f"{name} is new since the lock was made")
        elif name not in current:
            found.append(f"{name} is no longer part of the release")
        elif current[name] != locked[name]:
            found.append(f"{name} has changed since the lock was made")
    return found


def _missing(release: Release, lock: Lock) -> list[str]:
    debs = {deb.name for deb in lock.debs}
    found = [
        f"the Debian package {package} of {layer.name} is not locked"
        for layer in release.debian_layers
        for package in layer.packages
        if package.partition("=")[0] not in debs
    ]
    pythons = {one.name: one.published for one in lock.pythons}
    for text in (*release.requirements, *release.constraints):
        wanted = Requirement(text)
        name = normalized(wanted.name)
        if name not in pythons:
            # A constraint binds a package only if something asks for it.
            if text in release.requirements:
                found.append(f"the Python package {name} is not locked")
        elif not wanted.specifier.contains(pythons[name], prereleases=True):
            found.append(f"{name}: the recipes want {wanted.specifier}, the lock has {pythons[name]}")
    return found


def _differing(release: Release, lock: Lock) -> list[str]:
    found = []
    if lock.as_of != release.as_of:
        found.append(f"as_of: the recipe says {release.as_of.isoformat()}, the lock {lock.as_of.isoformat()}")
    layers = {layer.name for layer in release.layers}
    found.extend(
        f"the lock has packages for a layer {name!r}, which the release does not have"
        for name in sorted(({deb.layer for deb in lock.debs} | {one.layer for one in lock.pythons}) - layers)
    )
    found.extend(stale_local(lock.pythons, release))
    found.extend(stale_patches(lock.pythons, release))
    with suppress(ResolutionError):  # that Python is not there is told by name
        python_version = target_python_version(release, lock.debs)
        if lock.python_version != python_version:
            found.append(f"python_version is {lock.python_version}, but the locked packages bring {python_version}")
    newest = newest_input(lock.debs, lock.pythons)
    if lock.source_date_epoch != newest:
        found.append(f"source_date_epoch is {lock.source_date_epoch}, but the newest package is of {newest}")
    return found
