"""Resolve the Debian packages of layers and of private engines."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rtbuild.errors import IntegrityError, MirrorError, RecipeError, ResolutionError, UsageError
from rtbuild.formats.deb import HEAD, build_time
from rtbuild.formats.debian_relations import Relation
from rtbuild.formats.debian_versions import version_key
from rtbuild.lockfile.model import DebArtifact, LockedSuite
from rtbuild.mirror.sources import Wanted
from rtbuild.platform import Platform
from rtbuild.recipe.model import DebianLayer, EngineRecipe, Suite
from rtbuild.resolve.debian.keyring import debian_keyring
from rtbuild.resolve.debian.locked import locked_packages
from rtbuild.resolve.debian.packages_file import DebianPackage, PackagesIndex, read_index
from rtbuild.resolve.debian.release_file import ReleaseFile, read_release_file
from rtbuild.resolve.debian.resolver import Dependency, choose
from rtbuild.resolve.debian.universe import Universe
from rtbuild.resolve.environment import LockEnvironment


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianResolution:
    """The chosen packages, and the state of each suite that they were chosen from."""

    debs: tuple[DebArtifact, ...]
    suites: tuple[LockedSuite, ...]


def resolve_debian(
    layers: Sequence[DebianLayer],
    platform: Platform,
    environment: LockEnvironment,
    *,
    locked: Sequence[DebArtifact] = (),
    upgrade: Collection[str] | None = None,
) -> DebianResolution:
    """Resolve the packages of `layers` (bottom first): each is in the first layer that needs it, sorted by name.

    A layer has the packages that its recipe names (`name`, or `name=version` as apt spells it) and what they depend on;
    the first layer has the essential packages too. The packages of the layers below count as installed: they stay as
    they are. Everything is the newest version in any of the layer's suites.

    Args:
        locked: The packages of the lock so far. They are used only if `upgrade` is given.
        upgrade: The packages to move: `name` to the newest version, `name==version` to that one. All others in `locked`
            stay as they are, if the rest allows it and a mirror still has their file. Names that no suite has are
            ignored, because they may be Python packages. None to choose everything from scratch.

    Raises:
        ResolutionError: if no set of packages satisfies the layers.
        MirrorError: if no mirror has a suite, an index or a package's file.
        IntegrityError: if the mirrors serve other bytes than Debian signed.
        UsageError: if `upgrade` asks for a malformed version.
    """
    archive = _Archive(platform, environment)
    progress = environment.progress
    kept: dict[str, DebianPackage] = {}
    if upgrade is not None:
        suites = [suite for layer in layers for suite in layer.suites if platform.debian in suite.architectures]
        kept = locked_packages(locked, upgrade, suites, archive.indexes, environment)
    pinned = dict(entry.split("==", 1) for entry in upgrade or () if "==" in entry)
    installed: dict[str, DebianPackage] = {}
    universes: list[tuple[DebianLayer, Universe, dict[str, DebianPackage]]] = []
    for layer in layers:
        progress.begin(f"resolve {layer.name}", unit="packages")
        universe = archive.universe(layer.suites, layer.name, preferred=kept)
        names = list(layer.packages)
        if not installed:
            names = [*universe.essential(), *names]
        _hold(pinned, universe, layer.name)
        roots = _roots(names, universe, layer.name)
        chosen = choose(roots, universe, installed=installed, locked=kept.keys())
        installed |= chosen
        universes.append((layer, universe, chosen))
        progress.end(f"resolve {layer.name}", f"{len(chosen)} packages")
    built = _find_files([package for _, _, chosen in universes for package in chosen.values()], environment)
    debs = tuple(
        _artifact(package, layer.name, built[package.path], _dependencies(package, universe, installed))
        for layer, universe, chosen in universes
        for _, package in sorted(chosen.items())
    )
    return DebianResolution(debs=debs, suites=archive.states())


def resolve_engine(recipe: EngineRecipe, platform: Platform, environment: LockEnvironment) -> DebianResolution:
    """Resolve a private engine: the newest version of each package in the suite that the recipe gives it, by name.

    Dependencies are not followed.

    Raises:
        RecipeError: if a package is to come from a suite that the recipe does not describe.
        ResolutionError: if a suite does not have a package.
        MirrorError: if no mirror has a suite, an index or a package's file.
        IntegrityError: if the mirrors serve other bytes than Debian signed.
    """
    archive = _Archive(platform, environment)
    suites = {suite.suite: suite for suite in recipe.suites}
    packages = []
    for name, suite in sorted(recipe.packages):
        if suite not in suites:
            raise RecipeError(
                f"engine {recipe.name}: package {name} is to come from suite {suite}, which is not described",
                hint=f"describe the suite with [[suite]], or use one of: {', '.join(sorted(suites))}",
            )
        universe = archive.universe((suites[suite],), f"engine {recipe.name}")
        package = universe.candidate(name)
        if package is None:
            raise _unknown(name, universe, f"engine {recipe.name}")
        packages.append(package)
    built = _find_files(packages, environment)
    debs = tuple(_artifact(package, "engine", built[package.path], ()) for package in packages)
    return DebianResolution(debs=debs, suites=archive.states())


class _Archive:
    """The indexes of suites, each read once."""

    def __init__(self, platform: Platform, environment: LockEnvironment) -> None:
        self._platform = platform
        self._environment = environment
        self._keyring = environment.keyring or debian_keyring()
        self._releases: dict[Suite, ReleaseFile] = {}
        self._indexes: dict[Suite, list[PackagesIndex]] = {}

    def universe(
        self, suites: Sequence[Suite], layer: str, *, preferred: Mapping[str, DebianPackage] | None = None
    ) -> Universe:
        architecture = self._platform.debian
        served = [suite for suite in suites if architecture in suite.architectures]
        if not served:
            raise ResolutionError(
                f"{layer}: none of its suites has packages for {architecture}",
                details="\n".join(
                    f"{suite.archive} {suite.suite}: {', '.join(suite.architectures)}" for suite in suites
                ),
                hint=f"add {architecture} to the `architectures` of a suite in the recipe, or remove the platform",
            )
        indexes = [index for suite in served for index in self.indexes(suite)]
        return Universe(indexes, architecture, preferred=preferred)

    def indexes(self, suite: Suite) -> list[PackagesIndex]:
        if suite not in self._indexes:
            sources, progress = self._environment.sources, self._environment.progress
            task = f"index {suite.suite}"
            progress.begin(task)
            release = self._release(suite)
            self._indexes[suite] = [
                read_index(release, component, self._platform, sources, progress=progress)
                for component in suite.components
            ]
            progress.end(task, f"{sum(len(index.names) for index in self._indexes[suite])} packages")
        return self._indexes[suite]

    def states(self) -> tuple[LockedSuite, ...]:
        """Return the state of each suite that was read, sorted."""
        read = (release.state for release in self._releases.values())
        states = {(state.archive, state.suite, state.snapshot or ""): state for state in read}
        return tuple(states[place] for place in sorted(states))

    def _release(self, suite: Suite) -> ReleaseFile:
        """Return the InRelease of a suite, the same one whatever components a layer wants of it."""
        place = replace(suite, components=(), architectures=())
        if place not in self._releases:
            environment = self._environment
            self._releases[place] = read_release_file(
                suite,
                environment.sources,
                keyring=self._keyring,
                progress=environment.progress,
                trusted=environment.trusted,
                now=environment.now,
            )
        return replace(self._releases[place], suite=suite)


def _hold(pinned: Mapping[str, str], universe: Universe, layer: str) -> None:
    """Restrict packages to the versions that `upgrade` names, without making them roots."""
    for name, version in pinned.items():
        try:
            version_key(version)
        except ValueError:
            raise UsageError(f"{name}=={version}: {version!r} is not a Debian version") from None
        relation = Relation(name, "=", version)
        if universe.versions(name) and not universe.restrict(relation):
            raise _no_version(relation, universe, layer)


def _roots(names: Iterable[str], universe: Universe, layer: str) -> list[Dependency]:
    roots = []
    for position, text in enumerate(dict.fromkeys(names)):
        name, _, version = text.partition("=")
        relation = Relation(name, "=" if version else "", version)
        packages = universe.satisfying(relation)
        if not packages:
            raise _unknown(name, universe, layer) if not version else _no_version(relation, universe, layer)
        real = [package for package in packages if package.name == name]
        providers = sorted({package.name for package in packages})
        if not real and len(providers) > 1:
            raise ResolutionError(
                f"{layer}: {name} is a virtual package that several packages provide",
                hint=f"name one of them in the recipe: {', '.join(providers)}",
            )
        roots.append(
            Dependency((real or packages)[0].name, frozenset(real or packages), (position,), (), str(relation))
        )
    return roots


def _find_files(packages: Sequence[DebianPackage], environment: LockEnvironment) -> dict[str, int]:
    """Return when each package was built, by path. That this can be read shows that a mirror has the file."""
    progress = environment.progress
    progress.begin("find packages", total=len(packages), unit="files")
    wanted = [Wanted(suite=package.suite, path=package.path, size=package.size) for package in packages]
    heads = environment.sources.debian_heads(wanted, HEAD)
    if missing := [package for package in packages if package.path not in heads]:
        progress.end("find packages", "failed")
        names = ", ".join(sorted(package.name for package in missing)[:3]) + (", ..." if len(missing) > 3 else "")
        raise MirrorError(
            f"no mirror has the files of {len(missing)} of {len(packages)} packages that the indexes list ({names})",
            details="\n".join(f"{package}: {package.path} ({package.suite.archive})" for package in missing),
            hint="add a mirror that keeps old files, such as a dated snapshot archive, to rtbuild.toml, or name an "
            "earlier `snapshot` in the recipe",
        )
    built = {}
    for package in packages:
        try:
            built[package.path] = build_time(heads[package.path])
        except ValueError as error:
            raise IntegrityError(
                f"{package.path}: a mirror of {package.suite.archive} serves a malformed Debian package: {error}",
                hint="use another mirror",
            ) from None
    progress.advance("find packages", len(packages))
    progress.end("find packages")
    return built


def _dependencies(
    package: DebianPackage, universe: Universe, installed: Mapping[str, DebianPackage]
) -> tuple[str, ...]:
    """Return which installed packages `package` needs: for each relation, the first option that is installed."""
    names = set()
    for alternatives in package.depends:
        for option in universe.options(alternatives):
            if installed.get(option.name) in option.packages:
                names.add(option.name)
                break
    return tuple(sorted(names - {package.name}))


def _artifact(package: DebianPackage, layer: str, built: int, depends: tuple[str, ...]) -> DebArtifact:
    return DebArtifact(
        filename=package.path.rpartition("/")[2],
        path=package.path,
        size=package.size,
        sha256=package.sha256,
        name=package.name,
        version=package.version,
        architecture=package.architecture,
        archive=package.suite.archive,
        suite=package.suite.suite,
        built=built,
        layer=layer,
        essential=package.essential,
        depends=depends,
        source=package.source,
        source_version=package.source_version,
    )


def _unknown(name: str, universe: Universe, layer: str) -> ResolutionError:
    near = universe.near(name)
    return ResolutionError(
        f"{layer}: its suites have no Debian package {name}",
        hint=f"did you mean {' or '.join(near)}?" if near else "check the name in the recipe, and the layer's suites",
    )


def _no_version(relation: Relation, universe: Universe, layer: str) -> ResolutionError:
    known = [f"{package.version} ({package.suite.suite})" for package in universe.versions(relation.name)]
    if not known:
        return _unknown(relation.name, universe, layer)
    return ResolutionError(
        f"{layer}: its suites have no version {relation.version} of the Debian package {relation.name}",
        hint=f"use a version that they have: {', '.join(known)}",
    )
