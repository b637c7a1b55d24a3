"""Resolve a release's Debian side and Python side and join them into one lock. Values in, values out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC

from packaging.requirements import Requirement

from rtbuild.digest import Sha256
from rtbuild.errors import UsageError
from rtbuild.lockfile.derived import (
    DEBIAN_QUESTION,
    PYTHON_QUESTION,
    debian_question,
    newest_input,
    python_question,
    target_glibc,
)
from rtbuild.lockfile.local import renew_local
from rtbuild.lockfile.model import (
    FORMAT_VERSION,
    FORMAT_WITHOUT_ORIGINS,
    DebArtifact,
    EngineLock,
    Lock,
    PythonArtifact,
)
from rtbuild.lockfile.patched import as_patched, as_published
from rtbuild.lockfile.python import target_python_version
from rtbuild.platform import Platform
from rtbuild.recipe.model import EngineRecipe, Release
from rtbuild.recipe.names import normalized
from rtbuild.resolve.debian.resolve import DebianResolution, resolve_debian, resolve_engine
from rtbuild.resolve.environment import LockEnvironment
from rtbuild.resolve.python.resolve import PythonResolution, resolve_python, resolver_identity
from rtbuild.resolve.python.target import target_for


def resolve_lock(
    release: Release,
    platform: Platform,
    environment: LockEnvironment,
    *,
    locked: Lock | None = None,
    upgrade: Mapping[str, str | None] | None = None,
) -> Lock:
    """Return the lock of `release` for `platform`.

    What `locked`, the lock so far, has chosen stays as far as the recipes allow. A side whose question (see
    `rtbuild.lockfile.derived`) did not change is not resolved again: the Python index is cut off at `as_of`, and
    Debian's updates come only when they are asked for.

    Args:
        locked: The lock so far; None to choose everything from scratch.
        upgrade: The version to move each named package to, or None for the newest that fits.

    Raises:
        RecipeError: if a patch is for a package that the release does not have.
        UsageError: if an upgrade names a package that is not locked.
        ResolutionError: if no set of packages satisfies the recipes.
        MirrorError: if no mirror serves an index or a file.
        IntegrityError: if the mirrors serve other bytes than were signed or promised.
    """
    debian_names, python_names = _divide(upgrade or {}, locked, release)

    asked_of_debian = debian_question(release, platform)
    # A lock of format 1 does not say what it was chosen from: find its packages in the indexes again.
    complete = locked is not None and locked.version > FORMAT_WITHOUT_ORIGINS
    if locked and complete and not debian_names and _asked(locked, DEBIAN_QUESTION) == asked_of_debian:
        resolved = DebianResolution(debs=locked.debs, suites=locked.suites)
    else:
        resolved = resolve_debian(
            release.debian_layers,
            platform,
            environment,
            locked=locked.debs if locked else (),
            upgrade=debian_names,
        )
    debs = _sorted_debs(resolved.debs)

    questions = [(DEBIAN_QUESTION, asked_of_debian)]
    if release.python_layers:
        python_version = target_python_version(release, debs)
        glibc = target_glibc(debs)
        asked_of_python = python_question(release, platform, python_version, glibc, resolver_identity())
        questions.append((PYTHON_QUESTION, asked_of_python))
        chosen = as_published(locked.pythons) if locked else ()
        if locked and not python_names and _asked(locked, PYTHON_QUESTION) == asked_of_python:
            resolution = PythonResolution(pythons=renew_local(chosen, release), build_pythons=locked.build_pythons)
        else:
            resolution = resolve_python(
                release,
                target_for(platform, python_version, glibc),
                environment,
                locked=chosen,
                locked_build=locked.build_pythons if locked else (),
                upgrade=python_names,
            )
    else:
        python_version = None
        resolution = PythonResolution(pythons=(), build_pythons=())
    pythons = as_patched(_sorted_pythons(resolution.pythons), release)
    lock = Lock(
        release=release.version,
        platform=platform,
        python_version=python_version,
        as_of=release.as_of,
        source_date_epoch=newest_input(debs, pythons),
        inputs=tuple(sorted((*release.inputs, *questions))),
        debs=debs,
        pythons=pythons,
        build_pythons=_sorted_pythons(resolution.build_pythons),
        suites=resolved.suites,
    )
    return _with_results(lock, locked)


def resolve_engine_lock(recipe: EngineRecipe, platform: Platform, environment: LockEnvironment) -> EngineLock:
    """Return the lock of a private engine, with the newest packages that its recipe allows.

    Raises:
        RecipeError: if a package is to come from a suite that the recipe does not describe.
        ResolutionError: if a suite does not have a package.
        MirrorError: if no mirror serves an index or a file.
        IntegrityError: if the mirrors serve other bytes than were signed.
    """
    resolved = resolve_engine(recipe, platform, environment)
    return EngineLock(
        engine=recipe.name,
        platform=platform,
        inputs=tuple(sorted(recipe.inputs)),
        debs=_sorted_debs(resolved.debs),
        suites=resolved.suites,
    )


def _divide(
    upgrade: Mapping[str, str | None], locked: Lock | None, release: Release
) -> tuple[frozenset[str], dict[str, str | None]]:
    """Tell which of the packages to move are Debian's and which Python's."""
    for package in release.packages:
        if package.name in map(normalized, upgrade):
            hint = f"change its version in {package.folder}/pyproject.toml"
            raise UsageError(f"{package.name} is a package of the recipes, so no index can move it", hint=hint)
    if locked is None:
        return frozenset(), {normalized(name): version for name, version in upgrade.items() if version is not None}
    debian = {deb.name for deb in locked.debs}
    required = (*release.requirements, *release.constraints)
    python = {artifact.name for artifact in (*locked.pythons, *locked.build_pythons)}
    python |= {normalized(Requirement(text).name) for text in required}
    debian_names = set()
    python_names: dict[str, str | None] = {}
    for name, version in upgrade.items():
        if normalized(name) in python:
            python_names[normalized(name)] = version
        if name in debian:
            debian_names.add(name if version is None else f"{name}=={version}")
        elif normalized(name) not in python:
            hint = f"check the spelling, or lock without it: rtbuild lock {locked.release} --platform {locked.platform}"
            raise UsageError(f"{name} is not locked, so it cannot be upgraded", hint=hint)
    return frozenset(debian_names), python_names


def _asked(lock: Lock, question: str) -> Sha256 | None:
    return dict(lock.inputs).get(question)


def _sorted_debs(debs: tuple[DebArtifact, ...]) -> tuple[DebArtifact, ...]:
    plain = (replace(deb, depends=tuple(sorted(set(deb.depends)))) for deb in debs)
    return tuple(sorted(plain, key=lambda deb: deb.name))


def _sorted_pythons(pythons: tuple[PythonArtifact, ...]) -> tuple[PythonArtifact, ...]:
    plain = (
        replace(artifact, requires=tuple(sorted(set(artifact.requires))), uploaded=artifact.uploaded.astimezone(UTC))
        for artifact in pythons
    )
    return tuple(sorted(plain, key=lambda artifact: (artifact.name, artifact.layer, artifact.version)))


def _with_results(lock: Lock, locked: Lock | None) -> Lock:
    """Keep the results that a build recorded if nothing that a build takes has changed."""
    if locked is None:
        return lock
    kept = replace(lock, layers=locked.layers, image=locked.image, image_base=locked.image_base)
    return kept if _built_part(kept) == _built_part(locked) else lock


def _built_part(lock: Lock) -> Lock:
    """Return the part of a lock that builds depend on: without suites and the resolvers' questions."""
    inputs = tuple(pair for pair in lock.inputs if pair[0] not in (DEBIAN_QUESTION, PYTHON_QUESTION))
    debs = tuple(replace(deb, source="", source_version="") for deb in lock.debs)
    return replace(lock, inputs=inputs, debs=debs, suites=(), version=FORMAT_VERSION)
