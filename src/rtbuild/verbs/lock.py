"""The `lock` verb: a release's Debian side and Python side, joined into one lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Protocol

from packaging.requirements import Requirement

from rtbuild.digest import Sha256
from rtbuild.errors import LockError, UsageError
from rtbuild.lockfile.check import Locks
from rtbuild.lockfile.derived import (
    DEBIAN_QUESTION,
    PYTHON_QUESTION,
    debian_question,
    newest_input,
    python_question,
    target_glibc,
    target_python,
)
from rtbuild.lockfile.local import renew_local
from rtbuild.lockfile.model import DebArtifact, EngineLock, Lock, PythonArtifact
from rtbuild.lockfile.patched import as_patched, as_published
from rtbuild.mirror.sources import Sources
from rtbuild.platform import Platform
from rtbuild.progress import Progress, Silent
from rtbuild.recipe.model import EngineRecipe, Release
from rtbuild.recipe.names import normalized
from rtbuild.resolve.debian.keyring import Keyring
from rtbuild.resolve.debian.resolve import resolve_debian, resolve_engine
from rtbuild.resolve.python.resolve import PythonResolution, resolve_python, resolver_identity


class LockingWorkspace(Locks, Protocol):
    """What locking needs of a workspace (see `rtbuild.workspace.Workspace`)."""

    def engine(self, name: str) -> EngineRecipe: ...


def resolve_lock(
    workspace: LockingWorkspace,
    release: Release,
    platform: Platform,
    sources: Sources,
    *,
    upgrade: Mapping[str, str | None] | None = None,
    refresh: bool = False,
    cache: Path,
    progress: Progress | None = None,
    keyring: Keyring | None = None,
) -> Lock:
    """The lock of `release` for `platform`, as the recipes are now.

    What is locked already stays, as far as the recipes allow. A side whose question did not change is not resolved
    again: the Python index is cut off at `as_of`, and Debian's updates come when they are asked for. `upgrade` maps
    the names of packages that shall move to the version they shall move to (None: the newest); `refresh` forgets the
    lock there is. `cache` is the folder that the resolver may keep files in; `keyring` replaces the Debian archive keys
    that come with rtbuild.

    Raises `RecipeError` for a platform the release does not have and for a patch whose package it does not have,
    `UsageError` for an upgrade of what is not locked, `LockError` for a malformed lock, `ResolutionError`,
    `MirrorError` and `IntegrityError`.
    """
    release.require_platform(platform)
    progress = progress or Silent()
    old = None if refresh else _existing(workspace, release, platform)
    debian_names, python_names = _divide(upgrade or {}, old, release)

    asked_of_debian = debian_question(release, platform)
    if old and not debian_names and _asked(old, DEBIAN_QUESTION) == asked_of_debian:
        debs = old.debs
    else:
        debs = resolve_debian(
            release.debian_layers,
            platform,
            sources,
            locked=old.debs if old else (),
            upgrade=debian_names,
            progress=progress,
            keyring=keyring,
        )
    debs = tuple(sorted((_sorted_deb(deb) for deb in debs), key=lambda deb: deb.name))

    python_version = target_python(release, debs)
    glibc = target_glibc(debs)
    asked_of_python = python_question(release, platform, python_version, glibc, resolver_identity())
    chosen = as_published(old.pythons) if old else ()
    if old and not python_names and _asked(old, PYTHON_QUESTION) == asked_of_python:
        resolution = PythonResolution(pythons=renew_local(chosen, release), build_pythons=old.build_pythons)
    else:
        resolution = resolve_python(
            release,
            platform,
            python_version,
            glibc,
            sources,
            locked=chosen,
            locked_build=old.build_pythons if old else (),
            upgrade=python_names,
            cache=cache,
            progress=progress,
        )
    pythons = as_patched(_sorted_pythons(resolution.pythons), release)
    questions = ((DEBIAN_QUESTION, asked_of_debian), (PYTHON_QUESTION, asked_of_python))
    lock = Lock(
        release=release.version,
        platform=platform,
        python=python_version,
        as_of=release.as_of,
        source_date_epoch=newest_input(debs, pythons),
        inputs=tuple(sorted((*release.inputs, *questions))),
        debs=debs,
        pythons=pythons,
        build_pythons=_sorted_pythons(resolution.build_pythons),
    )
    return _with_results(lock, old)


def resolve_engine_lock(
    workspace: LockingWorkspace,
    name: str,
    platform: Platform,
    sources: Sources,
    *,
    progress: Progress | None = None,
    keyring: Keyring | None = None,
) -> EngineLock:
    """The lock of the private engine `name`, from the newest packages its recipe allows."""
    recipe = workspace.engine(name)
    debs = resolve_engine(recipe, platform, sources, progress=progress or Silent(), keyring=keyring)
    ordered = tuple(sorted((_sorted_deb(deb) for deb in debs), key=lambda deb: deb.name))
    return EngineLock(engine=recipe.name, platform=platform, inputs=tuple(sorted(recipe.inputs)), debs=ordered)


def _existing(workspace: LockingWorkspace, release: Release, platform: Platform) -> Lock | None:
    if not workspace.lock_path(release.version, platform).exists():
        return None
    try:
        return workspace.read_lock(release.version, platform)
    except LockError as error:
        hint = "mend it, or forget it with --refresh"
        raise LockError(error.brief, details=error.details, hint=hint) from error


def _divide(
    upgrade: Mapping[str, str | None], old: Lock | None, release: Release
) -> tuple[frozenset[str], dict[str, str | None]]:
    """Which of the packages to move are Debian's and which Python's."""
    for package in release.packages:
        if package.name in map(normalized, upgrade):
            hint = f"its version is in {package.folder}/pyproject.toml"
            raise UsageError(f"{package.name} is a package of the recipes, which no index moves", hint=hint)
    if old is None:
        return frozenset(), {normalized(name): version for name, version in upgrade.items() if version is not None}
    debian = {deb.name for deb in old.debs}
    required = (*release.requirements, *release.constraints)
    python = {one.name for one in (*old.pythons, *old.build_pythons)}
    python |= {normalized(Requirement(text).name) for text in required}
    debian_names = set()
    python_names: dict[str, str | None] = {}
    for name, version in upgrade.items():
        if normalized(name) in python:
            python_names[normalized(name)] = version
        if name in debian:
            debian_names.add(name if version is None else f"{name}=={version}")
        elif normalized(name) not in python:
            raise UsageError(f"{name} is not locked, so it cannot be upgraded", hint="rtbuild why says what is locked")
    return frozenset(debian_names), python_names


def _asked(lock: Lock, question: str) -> Sha256 | None:
    return dict(lock.inputs).get(question)


def _sorted_deb(deb: DebArtifact) -> DebArtifact:
    return replace(deb, depends=tuple(sorted(set(deb.depends))))


def _sorted_pythons(pythons: tuple[PythonArtifact, ...]) -> tuple[PythonArtifact, ...]:
    plain = (
        replace(one, requires=tuple(sorted(set(one.requires))), uploaded=one.uploaded.astimezone(UTC))
        for one in pythons
    )
    return tuple(sorted(plain, key=lambda one: (one.name, one.layer, one.version)))


def _with_results(lock: Lock, old: Lock | None) -> Lock:
    """Keep what a build recorded only as long as it was made from the very same inputs."""
    if old is None:
        return lock
    kept = replace(lock, layers=old.layers, image=old.image, image_base=old.image_base)
    return kept if kept == old else lock
