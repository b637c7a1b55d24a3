"""Build the trees of a lock's wheels.

Only the trees that the store lacks are built, and their modules are all compiled in one container.
"""

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
from rtbuild.progress import unfinished
from rtbuild.recipe.model import PythonLayer, Release
from rtbuild.wheels.cache import StoredTree, TreeCache
from rtbuild.wheels.compile import SCRIPT, CompileWork, compile_tasks, compile_wheels
from rtbuild.wheels.compiled import open_compiled
from rtbuild.wheels.conflicts import Conflict, WheelFiles, dropped_paths, find_conflicts
from rtbuild.wheels.environment import BuildEnvironment
from rtbuild.wheels.identity import Claim, Claims, require_claims, wheel_claims
from rtbuild.wheels.listing import Listings
from rtbuild.wheels.patched import realise_patched
from rtbuild.wheels.scheme import Scheme, debian_scheme
from rtbuild.wheels.sdists import realise_wheels
from rtbuild.wheels.tree import TreeIndex, TreeInputs, TreeWriter, compose_tree
from rtbuild.wheels.wheel import open_wheel

BUILT, CACHED = "built", "cached"

_LISTINGS = "wheels"
_PROGRESS_TASK = "compose trees"


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelTree:
    """The tree of a package of a lock, in the store. `state` is `built` or `cached`.

    `wheels` are the keys of the wheels that rtbuild built or patched for it; none if its wheel is an artifact.
    """

    package: str
    layer: str
    state: str
    stored: StoredTree
    wheels: tuple[Key, ...]

    @property
    def key(self) -> Key:
        """The tree's key: the digest of everything it depends on."""
        return self.stored.key

    @property
    def frames(self) -> Path:
        """The file with the tree's compressed frames: tar members of regular files, without end-of-archive blocks."""
        return self.stored.frames

    @property
    def index(self) -> TreeIndex:
        """The files of the tree."""
        return self.stored.index


@dataclass(frozen=True, slots=True, kw_only=True)
class _Package:
    """A package of the lock and its wheel.

    `claims` are the names and versions that the wheel gives itself; `files` are the paths that it installs, without
    those that the recipe removes; `excluded` are the paths that its tree leaves out; `wheels` are the keys of the
    wheels that rtbuild built or patched for it.
    """

    artifact: PythonArtifact
    wheel: Path
    sha256: Sha256
    claims: tuple[Claim, ...]
    files: frozenset[str]
    excluded: frozenset[str]
    wheels: tuple[Key, ...]


def realise_trees(
    release: Release,
    lock: Lock,
    environment: BuildEnvironment,
    *,
    layers: Sequence[PythonLayer] | None = None,
    tools: Lock | None = None,
) -> tuple[WheelTree, ...]:
    """Return the trees of `layers`, ordered by layer, bottom first, then by package.

    Trees that the store lacks are built, and before them the wheels of sdists and patched wheels. Nothing is fetched:
    the artifacts must be in the store, verified. `environment.jobs` trees are composed at a time; modules are compiled
    on all processors of the engine.

    Args:
        release: The release.
        lock: Its lock.
        environment: The environment of the build.
        layers: The layers whose trees are wanted (default: all Python layers of `release`).
        tools: A lock whose Python compiles, for instance that of the engine's own platform (default: `lock`). Its
            Python must have the same source version as that of `lock`.

    Raises:
        BuildError: if a wheel cannot be installed, a patch does not apply, the recipes do not decide which of several
            files to keep, or a container fails.
        IntegrityError: if an artifact is damaged.
        LockError: if the lock does not match the release, a wheel has another name or version than the lock says, or
            `tools` has a different Python.
        StaleLockError: if a patch has changed since the lock was made.
        EngineError: if the engine fails.
        StoreError: if the store cannot be read or written.
    """
    store = environment.store
    scheme = debian_scheme(release.require_python())
    wanted = [layer.name for layer in (release.python_layers if layers is None else layers)]
    with ThreadPoolExecutor(environment.jobs, thread_name_prefix="trees") as pool:
        # The packages of all layers, because the files that one leaves to another depend on all of them.
        packages = _without_dropped(_open_packages(release, lock, scheme, pool, environment), release, scheme)
        cache = TreeCache(store.trees, environment.compressor)
        python = python_source_version(release, lock)
        keys = {
            package.artifact.name: _key(package, python, scheme, cache.compressor)
            for package in packages
            if package.artifact.layer in wanted
        }
        packages = [package for package in packages if package.artifact.name in keys]
        cached = _find(keys, cache, pool)
        built: dict[str, StoredTree] = {}
        if len(cached) < len(keys):
            with store.exclusive("wheel trees", environment.progress):
                # Another process may have built some while this one waited.
                cached |= _find({name: key for name, key in keys.items() if name not in cached}, cache, pool)
                missing = [package for package in packages if package.artifact.name not in cached]
                trees = _TreesBuild(scheme, cache, _tools(release, lock, tools), pool, environment)
                built = trees.build(missing, keys)
    packages.sort(key=lambda package: (wanted.index(package.artifact.layer), package.artifact.name))
    return tuple(
        WheelTree(
            package=name,
            layer=package.artifact.layer,
            state=BUILT if name in built else CACHED,
            stored=built.get(name) or cached[name],
            wheels=package.wheels,
        )
        for package in packages
        for name in (package.artifact.name,)
    )


# --- planning --------------------------------------------------------------------------------------------------------


def _without_dropped(packages: Sequence[_Package], release: Release, scheme: Scheme) -> list[_Package]:
    """Exclude from each package the paths that it leaves to another one."""
    dropped = dropped_paths(_conflicts(packages, release, scheme), release.python_layers)
    return [
        replace(package, excluded=package.excluded | dropped.get(package.artifact.name, frozenset()))
        for package in packages
    ]


def _open_packages(
    release: Release, lock: Lock, scheme: Scheme, pool: ThreadPoolExecutor, environment: BuildEnvironment
) -> list[_Package]:
    removals = {layer.name: layer.removals for layer in release.python_layers}
    listings = Listings(environment.store.cache(_LISTINGS), scheme)
    built = realise_wheels(release, lock, environment)
    patched = realise_patched(release, lock, built, environment)

    def read(artifact: PythonArtifact) -> _Package:
        wheel, digest, label = environment.store.artifact_path(artifact.sha256), artifact.sha256, artifact.filename
        own = [wheels[artifact.name] for wheels in (built, patched) if artifact.name in wheels]
        if own:
            wheel, digest, label = own[-1].path, own[-1].sha256, own[-1].filename
        if artifact.layer not in removals:
            raise LockError(
                f"the lock puts {artifact.name} into layer {artifact.layer!r}, "
                f"which is not a Python layer of release {release.version}"
            )
        try:
            listing = listings.listing(wheel, digest, removals[artifact.layer], label=label)
        except FileNotFoundError:
            hint = "fetch the lock's artifacts first"
            raise BuildError(f"{artifact.filename} is not in the store", hint=hint) from None
        return _Package(
            artifact=artifact,
            wheel=wheel,
            sha256=digest,
            claims=wheel_claims(artifact, label, listing.names),
            files=listing.files,
            excluded=listing.excluded,
            wheels=tuple(built_wheel.key for built_wheel in own),
        )

    packages = list(pool.map(read, lock.pythons))
    require_claims(
        lock,
        [
            Claims(
                place=f"python[{position}]",
                artifact=package.artifact,
                version=package.artifact.version,
                claims=package.claims,
            )
            for position, package in enumerate(packages)
        ],
    )
    return packages


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
    inputs = TreeInputs(
        wheel=package.sha256,
        uploaded=uploaded_epoch(package.artifact),
        python=python,
        scheme=scheme,
        excluded=package.excluded,
        compile_script=script_digest(SCRIPT),
        compressor=compressor,
    )
    return inputs.key


def _find(keys: Mapping[str, Key], cache: TreeCache, pool: ThreadPoolExecutor) -> dict[str, StoredTree]:
    trees = pool.map(cache.find, keys.values())
    return {name: tree for name, tree in zip(keys, trees, strict=True) if tree is not None}


def _tools(release: Release, lock: Lock, tools: Lock | None) -> Lock:
    """Return the lock whose Python compiles."""
    if tools is None:
        return lock
    compiling, target = python_source_version(release, tools), python_source_version(release, lock)
    if compiling != target:
        raise LockError(f"Python {compiling} of {tools.platform} cannot compile for Python {target} of {lock.platform}")
    return tools


# --- building --------------------------------------------------------------------------------------------------------


class _TreesBuild:
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

    def build(self, packages: Sequence[_Package], keys: Mapping[str, Key]) -> dict[str, StoredTree]:
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
            return CompileWork(
                name=package.sha256,
                wheel=package.wheel,
                mtime=uploaded_epoch(package.artifact),
                tasks=compile_tasks(wheel, self._scheme, package.excluded),
            )

    def _compose(
        self, packages: Sequence[_Package], keys: Mapping[str, Key], archives: Mapping[str, Sequence[Path]]
    ) -> dict[str, StoredTree]:
        progress = self._environment.progress
        progress.begin(_PROGRESS_TASK, total=len(packages), unit="wheels")
        outcome = ""
        try:

            def compose(package: _Package) -> StoredTree:
                compiled = archives[package.sha256]
                tree = self._cache.add(
                    keys[package.artifact.name], partial(_compose_tree, package, compiled, self._scheme)
                )
                for archive in compiled:
                    archive.unlink()
                progress.advance(_PROGRESS_TASK)
                return tree

            # Large ones first, so that no worker starts a long one at the end.
            ordered = sorted(packages, key=lambda package: (-package.artifact.size, package.artifact.name))
            trees = list(self._pool.map(compose, ordered))
            outcome = "done"
        finally:
            progress.end(_PROGRESS_TASK, outcome or unfinished())
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
