"""Making the trees of a lock's wheels: only those that the store does not have, all of them with one container."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rtbuild.derivations.derivation import python_source_version, uploaded_epoch
from rtbuild.digest import Key, Sha256, sha256_bytes
from rtbuild.engine.engine import Engine
from rtbuild.errors import BuildError, LockError
from rtbuild.formats.frames import DEFAULT, Compressor
from rtbuild.inside import script_digest
from rtbuild.lockfile.model import Lock, PythonArtifact
from rtbuild.progress import Progress, Silent
from rtbuild.recipe.model import PythonLayer, Release, Removal
from rtbuild.store.store import Store
from rtbuild.wheels.cache import StoredTree, TreeCache
from rtbuild.wheels.compile import SCRIPT, CompileWork, compile_tasks, compile_wheels
from rtbuild.wheels.compiled import open_compiled
from rtbuild.wheels.conflicts import Conflict, WheelFiles, dropped_paths, find_conflicts
from rtbuild.wheels.patched import realise_patched
from rtbuild.wheels.scheme import Scheme, debian_scheme
from rtbuild.wheels.sdists import realise_wheels
from rtbuild.wheels.toolroot import tool_debs
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
    layers: Sequence[PythonLayer] | None = None,
    *,
    store: Store,
    engine: Engine,
    compressor: Compressor = DEFAULT,
    log: Callable[[str], Path],
    tools: Lock | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> tuple[WheelTree, ...]:
    """The trees of `layers` (default: all Python layers of `release`), by layer, bottom first, and then by package
    name.

    Fetches nothing: the artifacts are in the store and verified. Makes what is missing, wheels of sdists and patched
    wheels first. `tools` is a lock whose Python compiles, for instance that of the engine's own platform; it must be of
    the same source version as `lock`'s. `jobs` is how many trees are composed at once (default: the processors here;
    modules are compiled on all of the engine's). `log` gives the file for a container's log, by a word for what runs in
    it.

    Raises `BuildError` for wheels that cannot be installed, for patches that do not apply, for paths of several
    contents that the recipe does not decide on and for a container that fails; `IntegrityError` for a damaged artifact;
    `EngineError`, `StoreError`, `LockError`.
    """
    progress = progress or Silent()
    scheme = debian_scheme(release.python)
    wanted = [layer.name for layer in (release.python_layers if layers is None else layers)]
    with ThreadPoolExecutor(jobs or os.cpu_count() or 1, thread_name_prefix="trees") as pool:
        # Of all layers, because what a package leaves to another depends on the others.
        opened = _opened(release, lock, scheme, pool, store=store, engine=engine, log=log, progress=progress)
        packages = _decided(opened, release, scheme)
        cache = TreeCache(store.trees, compressor)
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
            with store.exclusive("wheel trees", progress):
                # Another process may have made some while this one waited.
                found |= _find({name: key for name, key in keys.items() if name not in found}, cache, pool)
                missing = [package for package in packages if package.artifact.name not in found]
                made = _make(
                    missing,
                    keys,
                    scheme=scheme,
                    cache=cache,
                    tools=_tools(release, lock, tools),
                    store=store,
                    engine=engine,
                    log=log,
                    pool=pool,
                    progress=progress,
                )
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
    release: Release,
    lock: Lock,
    scheme: Scheme,
    pool: ThreadPoolExecutor,
    *,
    store: Store,
    engine: Engine,
    log: Callable[[str], Path],
    progress: Progress,
) -> list[_Package]:
    removals = {layer.name: layer.removals for layer in release.python_layers}
    made = realise_wheels(release, lock, store=store, engine=engine, log=log, progress=progress)
    made |= realise_patched(release, lock, made, store=store, progress=progress)

    def read(artifact: PythonArtifact) -> _Package:
        wheel, digest, label = store.artifact_path(artifact.sha256), artifact.sha256, artifact.filename
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


def _make(
    packages: Sequence[_Package],
    keys: Mapping[str, Key],
    *,
    scheme: Scheme,
    cache: TreeCache,
    tools: Lock,
    store: Store,
    engine: Engine,
    log: Callable[[str], Path],
    pool: ThreadPoolExecutor,
    progress: Progress,
) -> dict[str, StoredTree]:
    if not packages:
        return {}

    def work(package: _Package) -> CompileWork:
        with open_wheel(package.wheel, scheme, label=package.artifact.filename) as wheel:
            return CompileWork(name=package.sha256, wheel=package.wheel, tasks=compile_tasks(wheel, scheme))

    with store.temporary("trees") as folder:
        archives = compile_wheels(
            list(pool.map(work, packages)),
            scheme=scheme,
            root=[store.artifact_path(deb.sha256) for deb in tool_debs(tools.debs)],
            engine=engine,
            platform=tools.platform,
            folder=folder,
            log=log("compile"),
            progress=progress,
        )
        progress.begin(_TASK, total=len(packages), unit="wheels")
        outcome = "failed"
        try:

            def compose(package: _Package) -> StoredTree:
                tree = cache.add(
                    keys[package.artifact.name], partial(_compose, package, archives[package.sha256], scheme)
                )
                for archive in archives[package.sha256]:
                    archive.unlink()
                progress.advance(_TASK)
                return tree

            # Large ones first, so that the last ones are short.
            ordered = sorted(packages, key=lambda package: (-package.artifact.size, package.artifact.name))
            trees = list(pool.map(compose, ordered))
            outcome = "done"
        finally:
            progress.end(_TASK, outcome)
    return {package.artifact.name: tree for package, tree in zip(ordered, trees, strict=True)}


def _compose(package: _Package, archives: Sequence[Path], scheme: Scheme, out: TreeWriter) -> TreeIndex:
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
