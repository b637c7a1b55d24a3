"""Resolve the Python packages of a release for a target, and what building its sdists needs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version as installed_version

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from rtbuild.errors import RecipeError, ResolutionError, UsageError
from rtbuild.lockfile.local import renew_local
from rtbuild.lockfile.model import PythonArtifact
from rtbuild.progress import Progress, unfinished
from rtbuild.recipe.model import PythonLayer, Release
from rtbuild.recipe.sdist import local_sdists
from rtbuild.resolve.environment import LockEnvironment
from rtbuild.resolve.python.builds import lock_builds
from rtbuild.resolve.python.dialogue import Question, ask_resolver
from rtbuild.resolve.python.graph import Graph, PythonPackage, build_graph
from rtbuild.resolve.python.index import Index
from rtbuild.resolve.python.pages import DistributionFile
from rtbuild.resolve.python.prefetch import Prefetch
from rtbuild.resolve.python.target import Target

_REVISION = 2
"""Increased when a change to rtbuild itself changes what is chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonResolution:
    """Every package of the release for the target, and what building its sdists needs; both sorted by name."""

    pythons: tuple[PythonArtifact, ...]
    build_pythons: tuple[PythonArtifact, ...]


def resolver_identity() -> str:
    """Return what decides a resolution besides its inputs. A lock made with the same need not be resolved again."""
    return f"pip {installed_version('pip')}, pip-tools {installed_version('pip-tools')}, rtbuild {_REVISION}"


def resolve_python(
    release: Release,
    target: Target,
    environment: LockEnvironment,
    *,
    locked: Sequence[PythonArtifact] = (),
    locked_build: Sequence[PythonArtifact] = (),
    upgrade: Mapping[str, str | None] | None = None,
) -> PythonResolution:
    """Resolve the release's requirements for `target`, from what the index had at `release.as_of`.

    Args:
        locked: The artifacts of the lock so far; their versions stay as long as they fit.
        locked_build: The same of build requirements.
        upgrade: The version to move each named package to, or None for the newest that fits. Packages that it forces
            to move do so too, and no others.

    Raises:
        ResolutionError: if no set of packages fits, the index lacks upload times, sizes or digests, an extra does not
            exist, or a file was yanked.
        RecipeError: if a requirement is malformed.
        UsageError: if an upgrade names no package of the lock or no version.
        MirrorError: if an index or a file is not served.
        IntegrityError: if the index serves other bytes than it promised.
    """
    forced = _upgrades(upgrade or {}, locked, locked_build)
    pins = tuple(f"{name}=={version}" for name, version in forced.items() if version)
    constraints = (*release.constraints, *pins)
    index = Index(
        environment.sources,
        target=target,
        as_of=release.as_of,
        cache=environment.cache,
        pre_releases=_pre_releases((*release.requirements, *constraints, *release.build_constraints)),
        local=local_sdists(release),
        repairs=release.metadata,
    )
    question = Question(
        requirements=release.requirements, constraints=constraints, preferences=_preferences(locked, forced)
    )
    files, graph = _resolve(environment, index, question, release.python_layers, task="resolve python")
    pythons = renew_local(_artifacts(files, graph), release)

    def resolve_build(requirements: tuple[str, ...]) -> tuple[PythonArtifact, ...]:
        question = Question(
            requirements=requirements,
            constraints=release.build_constraints,
            preferences=_preferences(locked_build, forced),
        )
        task = "resolve build requirements"
        return _artifacts(*_resolve(environment, index, question, (_NO_LAYER,), task=task))

    sdists = {file.name: index.metadata(file).build_requires or () for file in files if not file.is_wheel}
    return PythonResolution(pythons=pythons, build_pythons=lock_builds(sdists, resolve_build))


_NO_LAYER = PythonLayer(name="", title="", roots=())


def _resolve(
    environment: LockEnvironment, index: Index, question: Question, layers: Sequence[PythonLayer], *, task: str
) -> tuple[tuple[DistributionFile, ...], Graph]:
    progress = environment.progress
    markers = index.target.environment
    asked = _applicable(_parse(question.requirements, "requirement"), markers)
    bound = _applicable(_parse(question.constraints, "constraint"), markers)
    progress.begin(task, unit="packages")
    outcome = ""
    try:
        with Prefetch(index, requirements=asked, constraints=bound, preferences=question.preferences) as prefetch:
            files = ask_resolver(environment.pip, question, index, prefetch, task=task, progress=progress)
        _refuse_yanked(files, [*asked, *bound], progress)
        packages = {file.name: _package(index, file) for file in files}
        requirements = [str(requirement) for requirement in asked]
        graph = build_graph(packages, requirements=requirements, layers=layers, environment=markers)
        outcome = f"{len(files)} packages"
    finally:
        progress.end(task, outcome or unfinished())
    for line in graph.missing_extras:
        progress.note(line)
    return files, graph


def _applicable(requirements: Iterable[Requirement], markers: Mapping[str, str]) -> list[Requirement]:
    return [
        requirement
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate({**markers, "extra": ""})
    ]


def _pre_releases(lines: Iterable[str]) -> frozenset[str]:
    """The packages for which the recipe names a pre-release."""
    return frozenset(
        canonicalize_name(requirement.name)
        for requirement in _parse(lines, "requirement")
        if any(_names_pre_release(clause.version) for clause in requirement.specifier)
    )


def _names_pre_release(version: str) -> bool:
    try:
        return Version(version.removesuffix(".*")).is_prerelease
    except InvalidVersion:
        return False


def _parse(lines: Iterable[str], kind: str) -> list[Requirement]:
    parsed = []
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            hint = "write it as a dependency specifier (PEP 508), such as 'celery[redis]>=5.2'"
            raise RecipeError(f"malformed {kind} {line!r}", details=str(error), hint=hint) from error
        if requirement.url is not None:
            raise RecipeError(
                f"{kind} {line!r} names an address", hint="publish the package on an index and require a version of it"
            )
        parsed.append(requirement)
    return parsed


def _package(index: Index, file: DistributionFile) -> PythonPackage:
    metadata = index.metadata(file)
    return PythonPackage(name=file.name, version=file.version, requires=metadata.requires, extras=metadata.extras)


def _refuse_yanked(files: Sequence[DistributionFile], asked: Sequence[Requirement], progress: Progress) -> None:
    """Refuse yanked files unless a recipe pins them (PEP 592)."""
    pinned = {
        canonicalize_name(requirement.name)
        for requirement in asked
        if any(clause.operator in ("==", "===") and "*" not in clause.version for clause in requirement.specifier)
    }
    for file in files:
        if file.yanked is None:
            continue
        reason = f": {file.yanked}" if file.yanked else ""
        if file.name not in pinned:
            raise ResolutionError(
                f"{file.filename} was yanked from the index{reason}",
                hint=f"pin {file.name}=={file.version} in the release's constraints to use it anyway",
            )
        progress.note(f"{file.filename} was yanked from the index{reason}; the recipe pins it")


def _artifacts(files: Sequence[DistributionFile], graph: Graph) -> tuple[PythonArtifact, ...]:
    return tuple(
        PythonArtifact(
            filename=file.filename,
            path=file.path,
            size=file.size,
            sha256=file.sha256,
            name=file.name,
            version=str(file.version),
            uploaded=file.uploaded,
            layer=graph.layers[file.name],
            requires=graph.needs[file.name],
        )
        for file in sorted(files, key=lambda file: file.name)
    )


def _preferences(locked: Sequence[PythonArtifact], forced: Mapping[str, str | None]) -> dict[str, str]:
    return {artifact.name: artifact.version for artifact in locked if artifact.name not in forced}


def _upgrades(
    upgrade: Mapping[str, str | None], locked: Sequence[PythonArtifact], locked_build: Sequence[PythonArtifact]
) -> dict[str, str | None]:
    known = {artifact.name for artifact in (*locked, *locked_build)}
    forced: dict[str, str | None] = {}
    for given, version in upgrade.items():
        name = canonicalize_name(given)
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
            raise UsageError(f"{given!r} is not a package name")
        if known and name not in known:
            raise UsageError(f"{given} is not in the lock", hint="check the spelling of the package")
        try:
            forced[name] = None if version is None else str(Version(version))
        except InvalidVersion:
            raise UsageError(f"{given}=={version}: {version!r} is not a version") from None
    return forced
