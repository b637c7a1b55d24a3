"""Making the trees of a lock's wheels: only those that the store does not have, all of them with one container."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rtbuild.derivations.derivation import uploaded_epoch
from rtbuild.digest import Key, Sha256, sha256_bytes
from rtbuild.errors import BuildError, LockError
from rtbuild.inside import script_digest
from rtbuild.lockfile.model import Lock, PythonArtifact
from rtbuild.lockfile.python import python_source_version
from rtbuild.recipe.model import PythonLayer, Release, Removal
from rtbuild.wheels.cache import StoredTree, TreeCache
from rtbuild.wheels.compile import SCRIPT, CompileWork, compile_tasks, compile_wheels
from rtbuild.wheels.compiled import open_compiled
from rtbuild.wheels.conflicts import Conflict, WheelFiles, dropped_paths, find_conflicts
from rtbuild.wheels.environment import BuildEnvironment
from rtbuild.wheels.patched import realise_patched
from rtbuild.wheels.scheme import Scheme, debian_scheme
from rtbuild.wheels.sdists import realise_wheels
from rtbuild.wheels.tree import TreeIndex, TreeWriter, compose_tree, excluded_paths, tree_key
from rtbuild.wheels.wheel import open_wheel

BUILT, CACHED = "built", "cached"

_TASK = "compose trees"


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelTree:
    """The tree of one package of a lock. `state` is `built` or `cached`."""

    package: str
    layer: str
    state: str
    stored: StoredTree

    @property
    def key(self) -> Key:
        """The digest of what the tree is a function of."""
        return self.stored.key

    @property
    def frames(self) -> Path:
        """The file with the tree's compressed frames: tar members of files, without directories and without an end."""
        return self.stored.frames

    @property
    def index(self) -> TreeIndex:
        """What is in it."""
        return self.stored.index


@dataclass(frozen=True, slots=True, kw_only=True)
class _Package:
    """A wheel of the lock. `files` are what it installs but for what the recipe removes; `excluded` is what its tree
    leaves out."""

    artifact: PythonArtifact
    wheel: Path
    sha256: Sha256
    files: frozenset[str]
    excluded: frozenset[str]


def realise_trees(
    release: Release,
    lock: Lock,
    environment: BuildEnvironment,
    *,
    layers: Sequence[PythonLayer] | None = None,
    tools: Lock | None = None,
) -> tuple[WheelTree, ...]:
    """Return the trees of `layers` (default: all Python layers of `release`) by layer, bottom first, then by package.

    Trees that the store lacks are made, and before them the wheels of sdists and patched wheels. Nothing is fetched:
    the artifacts must be in the store, verified. `tools` is a lock whose Python compiles, for instance that of the
    engine's own platform; its Python must be of the same source version as `lock`'s. Trees are composed
    `environment.jobs` at a time; modules are compiled on all processors of the engine.

    Raises:
        BuildError: if a wheel cannot be installed, a patch does not apply, the recipe does not decide between paths of
            different content, or a container fails.
        IntegrityError: if an artifact is damaged.
        LockError: if the lock does not fit the release, or `tools` has another Python.
        EngineError: if the engine fails.
        StoreError: if the store cannot be read or written.
    """
    store = environment.store
    scheme = debian_scheme(release.python_series)
    wanted = [layer.name for layer in (release.python_layers if layers is None else layers)]
    with ThreadPoolExecutor(environment.jobs, thread_name_prefix="trees") as pool:
        # Of all layers, because what a package leaves to another depends on the others.
        opened = _opened(release, lock, scheme, pool, environment)
        packages = _decided(opened, release, scheme)
        cache = TreeCache(store.trees, environment.compressor)
        python = python_source_version(release, lock)
        keys = {
            package.artifact.name: _key(package, python, scheme, cache.compressor)
            for package in packages
            if package.artifact.layer in wanted
        }
        packages = [package for package in packages if package.artifact.name in keys]
        found = _find(keys, cache, pool)
        made: dict[str, StoredTree] = {}
        if len(found) < len(keys):
            with store.exclusive("wheel trees", environment.progress):
                # Another process may have made some while this one waited.
                found |= _find({name: key for name, key in keys.items() if name not in found}, cache, pool)
                missing = [package for package in packages if package.artifact.name not in found]
                work = _TreeWork(scheme, cache, _tools(release, lock, tools), pool, environment)
                made = work.make(missing, keys)
    packages.sort(key=lambda package: (wanted.index(package.artifact.layer), package.artifact.name))
    return tuple(
        WheelTree(
            package=name,
            layer=package.artifact.layer,
            state=BUILT if name in made else CACHED,
            stored=made.get(name) or found[name],
        )
        for package in packages
        for name in (package.artifact.name,)
    )


# --- what there is to do ---------------------------------------------------------------------------------------------


def _decided(packages: Sequence[_Package], release: Release, scheme: Scheme) -> list[_Package]:
    """Packages of all Python layers, each without what it leaves to another."""
    dropped = dropped_paths(_conflicts(packages, release, scheme), release.python_layers)
    return [
        replace(package, excluded=package.excluded | dropped.get(package.artifact.name, frozenset()))
        for package in packages
    ]


def _opened(
    release: Release, lock: Lock, scheme: Scheme, pool: ThreadPoolExecutor, environment: BuildEnvironment
) -> list[_Package]:
    removals = {layer.name: layer.removals for layer in release.python_layers}
    made = realise_wheels(release, lock, environment)
    made |= realise_patched(release, lock, made, environment)

    def read(artifact: PythonArtifact) -> _Package:
        wheel, digest, label = environment.store.artifact_path(artifact.sha256), artifact.sha256, artifact.filename
        if artifact.name in made:
            one = made[artifact.name]
            wheel, digest, label = one.path, one.sha256, one.filename
        if artifact.layer not in removals:
            raise LockError(
                f"{artifact.name} belongs to {artifact.layer!r}, which is no Python layer of {release.version}"
            )
        return _read(artifact, wheel, digest, label, removals[artifact.layer], scheme)

    return list(pool.map(read, lock.pythons))


def _read(
    artifact: PythonArtifact, wheel: Path, digest: Sha256, label: str, removals: Sequence[Removal], scheme: Scheme
) -> _Package:
    try:
        with open_wheel(wheel, scheme, label=label) as opened:
            removed = excluded_paths(opened, removals, scheme)
            files = frozenset(opened.parts) - removed
    except FileNotFoundError:
        raise BuildError(f"{artifact.filename} is not in the store", hint="fetch the lock's artifacts first") from None
    return _Package(artifact=artifact, wheel=wheel, sha256=digest, files=files, excluded=removed)


def _conflicts(packages: Sequence[_Package], release: Release, scheme: Scheme) -> tuple[Conflict, ...]:
    order = {layer.name: position for position, layer in enumerate(release.python_layers)}
    ordered = sorted(packages, key=lambda package: (order[package.artifact.layer], package.artifact.name))

    def digest(package: _Package, path: str) -> Sha256:
        with open_wheel(package.wheel, scheme, label=package.artifact.filename) as wheel:
            return sha256_bytes(wheel.read(wheel.parts[path]))

    return find_conflicts(
        [
            WheelFiles(
                package=package.artifact.name,
                layer=package.artifact.layer,
                files=package.files,
                digest=partial(digest, package),
            )
            for package in ordered
        ]
    )


def _key(package: _Package, python: str, scheme: Scheme, compressor: str) -> Key:
    return tree_key(
        wheel=package.sha256,
        uploaded=uploaded_epoch(package.artifact),
        python=python,
        scheme=scheme,
        excluded=package.excluded,
        compile_script=script_digest(SCRIPT),
        compressor=compressor,
    )


def _find(keys: Mapping[str, Key], cache: TreeCache, pool: ThreadPoolExecutor) -> dict[str, StoredTree]:
    trees = pool.map(cache.find, keys.values())
    return {name: tree for name, tree in zip(keys, trees, strict=True) if tree is not None}


def _tools(release: Release, lock: Lock, tools: Lock | None) -> Lock:
    """The lock whose Python compiles."""
    if tools is None:
        return lock
    here, there = python_source_version(release, tools), python_source_version(release, lock)
    if here != there:
        raise LockError(f"Python {here} of {tools.platform} cannot compile for Python {there} of {lock.platform}")
    return tools


# --- doing it --------------------------------------------------------------------------------------------------------


class _TreeWork:
    """Compiles and composes the trees that the store lacks."""

    def __init__(
        self,
        scheme: Scheme,
        cache: TreeCache,
        tools: Lock,
        pool: ThreadPoolExecutor,
        environment: BuildEnvironment,
    ) -> None:
        self._scheme = scheme
        self._cache = cache
        self._tools = tools
        self._pool = pool
        self._environment = environment

    def make(self, packages: Sequence[_Package], keys: Mapping[str, Key]) -> dict[str, StoredTree]:
        """Return the trees of `packages` by package name, all compiled in one container."""
        if not packages:
            return {}
        with self._environment.store.temporary("trees") as folder:
            work = list(self._pool.map(self._compile_work, packages))
            archives = compile_wheels(
                work, scheme=self._scheme, tools=self._tools, folder=folder, environment=self._environment
            )
            return self._compose(packages, keys, archives)

    def _compile_work(self, package: _Package) -> CompileWork:
        with open_wheel(package.wheel, self._scheme, label=package.artifact.filename) as wheel:
            return CompileWork(name=package.sha256, wheel=package.wheel, tasks=compile_tasks(wheel, self._scheme))

    def _compose(
        self, packages: Sequence[_Package], keys: Mapping[str, Key], archives: Mapping[str, Sequence[Path]]
    ) -> dict[str, StoredTree]:
        progress = self._environment.progress
        progress.begin(_TASK, total=len(packages), unit="wheels")
        outcome = "failed"
        try:

            def compose(package: _Package) -> StoredTree:
                compiled = archives[package.sha256]
                tree = self._cache.add(
                    keys[package.artifact.name], partial(_compose_tree, package, compiled, self._scheme)
                )
                for archive in compiled:
                    archive.unlink()
                progress.advance(_TASK)
                return tree

            # Large ones first, so that the last ones are short.
            ordered = sorted(packages, key=lambda package: (-package.artifact.size, package.artifact.name))
            trees = list(self._pool.map(compose, ordered))
            outcome = "done"
        finally:
            progress.end(_TASK, outcome)
        return {package.artifact.name: tree for package, tree in zip(ordered, trees, strict=True)}


def _compose_tree(package: _Package, archives: Sequence[Path], scheme: Scheme, out: TreeWriter) -> TreeIndex:
    with (
        open_wheel(package.wheel, scheme, label=package.artifact.filename) as wheel,
        open_compiled(archives) as compiled,
    ):
        return compose_tree(
            wheel,
            compiled,
            uploaded=uploaded_epoch(package.artifact),
            scheme=scheme,
            excluded=package.excluded,
            out=out,
        )
