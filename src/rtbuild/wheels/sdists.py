"""Build wheels from sdists, reproducibly and offline.

They are built in a container with the target's Python and the locked build requirements.
"""

from __future__ import annotations

import json
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any

from rtbuild.derivations.derivation import uploaded_epoch
from rtbuild.digest import Key, canonical_json, sha256_bytes
from rtbuild.documents import parse_toml
from rtbuild.errors import BuildError, IntegrityError
from rtbuild.files import link_file
from rtbuild.formats.tar_stream import read_tar
from rtbuild.inside import read_script, script_digest
from rtbuild.lockfile.model import Lock, PythonArtifact
from rtbuild.lockfile.python import python_source_version
from rtbuild.progress import Silent, unfinished
from rtbuild.recipe.model import Release
from rtbuild.store.store import Store
from rtbuild.wheels.built import BuiltWheel, find_wheel, store_wheel
from rtbuild.wheels.environment import BuildEnvironment
from rtbuild.wheels.identity import Claims, locked_wheel_claims, require_claims, sdist_claims
from rtbuild.wheels.toolroot import tool_debs
from rtbuild.wheels.tools import place_tools

SCRIPT = "build_wheels.py"
"""The script that builds, in `rtbuild.inside`."""

_LARGEST = 16 << 20  # bytes of a file of metadata
_SCHEMA = 1
_PROGRESS_TASK = "build wheels"
_DEFAULT_BACKEND = "setuptools.build_meta:__legacy__"
"""The backend of an sdist that names none (PEP 517)."""

_DOCKERFILE = """\
FROM scratch AS build
ADD tools.tar /
RUN --mount=type=bind,source=work,target=/rtbuild/work \\
    ["{python}", "-s", "-S", "-B", "/rtbuild/work/{script}", "/rtbuild/work", "/rtbuild/out"]
FROM scratch
COPY --from=build /rtbuild/out /
"""


def realise_wheels(release: Release, lock: Lock, environment: BuildEnvironment) -> dict[str, BuiltWheel]:
    """Return the wheels of the lock's sdists, by package.

    Wheels that the store lacks are built now, all in one container. The artifacts must be in the store, verified.

    Raises:
        BuildError: if an sdist cannot be built.
        IntegrityError: if an sdist cannot be read.
        LockError: if an sdist, or a wheel that it is built with, has another name or version than the lock says.
        EngineError: if the engine fails.
        StoreError: if the store cannot be read or written.
    """
    store, progress = environment.store, environment.progress
    sdists = [artifact for artifact in lock.pythons if not artifact.is_wheel]
    keys = {sdist.name: _key(sdist, release, lock) for sdist in sdists}
    wheels = {
        sdist.name: wheel for sdist in sdists if (wheel := find_wheel(sdist.name, keys[sdist.name], store, progress))
    }
    missing = [sdist for sdist in sdists if sdist.name not in wheels]
    if missing:
        with store.exclusive("wheels of sdists", progress):
            for sdist in missing:
                # Another process may have built it while this one waited.
                if wheel := find_wheel(sdist.name, keys[sdist.name], store, Silent()):
                    wheels[sdist.name] = wheel
            missing = [sdist for sdist in missing if sdist.name not in wheels]
            wheels |= _build(missing, keys, release, lock, environment)
    return wheels


def build_requirements(sdist: PythonArtifact, lock: Lock) -> tuple[PythonArtifact, ...]:
    """Return the build requirements of `sdist`: those that all sdists share, and its own."""
    return tuple(artifact for artifact in lock.build_pythons if artifact.layer in ("", sdist.name))


def _key(sdist: PythonArtifact, release: Release, lock: Lock) -> Key:
    inputs = {
        "schema": _SCHEMA,
        "kind": "wheel of an sdist",
        "sdist": sdist.sha256,
        "filename": sdist.filename,
        "uploaded": uploaded_epoch(sdist),
        "python": [release.python_series, python_source_version(release, lock)],
        # Compiled wheels differ by platform. Pure ones are the same everywhere, and so are the keys of their trees.
        "platform": lock.platform.name,
        "build": [[requirement.name, requirement.sha256] for requirement in build_requirements(sdist, lock)],
        # What else is in the root in which it is built: a compiled wheel depends on headers and libraries.
        "tools": [[deb.name, deb.sha256] for deb in tool_debs(lock.debs)],
        "script": script_digest(SCRIPT),
    }
    return Key(sha256_bytes(canonical_json(inputs)))


def _build(
    sdists: Sequence[PythonArtifact],
    keys: Mapping[str, Key],
    release: Release,
    lock: Lock,
    environment: BuildEnvironment,
) -> dict[str, BuiltWheel]:
    if not sdists:
        return {}
    store, progress = environment.store, environment.progress
    progress.begin(_PROGRESS_TASK, total=len(sdists), unit="wheels")
    outcome = ""
    try:
        with store.temporary("wheels") as folder:
            context, out = folder / "context", folder / "out"
            _write_context(context, sdists, release, lock, store)
            environment.engine.build(
                context,
                log=environment.log("wheels"),
                title="building wheels of sdists",
                output_local=out,
                platform=lock.platform,
                on_line=_listener(environment),
            )
            wheels = {sdist.name: _store(sdist, keys[sdist.name], out / sdist.name, store) for sdist in sdists}
        outcome = "built"
    finally:
        progress.end(_PROGRESS_TASK, outcome or unfinished())
    return wheels


def _listener(environment: BuildEnvironment) -> Callable[[str], None]:
    """Return a listener for the log that counts the wheels, and shows the last line while one is built."""
    follow = environment.follow(_PROGRESS_TASK)

    def listen(line: str) -> None:
        if " ended " in line:
            environment.progress.advance(_PROGRESS_TASK)
        else:
            follow(line)

    return listen


def _write_context(context: Path, sdists: Sequence[PythonArtifact], release: Release, lock: Lock, store: Store) -> None:
    files = context / "work" / "files"
    files.mkdir(parents=True)
    tasks: list[dict[str, object]] = []
    require_claims(lock, _claims(sdists, lock, store))
    for sdist in sdists:
        requirements = build_requirements(sdist, lock)
        backend, path = _backend(sdist, store.artifact_path(sdist.sha256))
        for artifact in (sdist, *requirements):
            if not (files / artifact.sha256).exists():
                link_file(store.artifact_path(artifact.sha256), files / artifact.sha256)
        tasks.append(
            {
                "name": sdist.name,
                "sdist": sdist.sha256,
                "filename": sdist.filename,
                "epoch": uploaded_epoch(sdist),
                "build": [[requirement.name, requirement.sha256] for requirement in requirements],
                "backend": backend,
                "backend-path": path,
            }
        )
    (context / "work" / "tasks.json").write_text(json.dumps(tasks), encoding="utf-8")
    (context / "work" / SCRIPT).write_bytes(read_script(SCRIPT))
    place_tools(lock, context / "tools.tar", store)
    python = f"/usr/bin/python{release.require_python()}"
    (context / "Dockerfile").write_text(_DOCKERFILE.format(python=python, script=SCRIPT))


def _claims(sdists: Sequence[PythonArtifact], lock: Lock, store: Store) -> Iterator[Claims]:
    """Yield what the sdists and the wheels that they are built with say who they are."""
    names = {sdist.name for sdist in sdists}
    for position, artifact in enumerate(lock.pythons):
        if artifact.name in names:
            pkg_info = _member(artifact, store.artifact_path(artifact.sha256), "PKG-INFO")
            claims = sdist_claims(artifact, pkg_info)
            yield Claims(place=f"python[{position}]", artifact=artifact, version=artifact.published, claims=claims)
    for position, artifact in enumerate(lock.build_pythons):
        if artifact.layer in ("", *names):
            claims = locked_wheel_claims(artifact, store.artifact_path(artifact.sha256))
            yield Claims(place=f"python-build[{position}]", artifact=artifact, version=artifact.version, claims=claims)


def _backend(sdist: PythonArtifact, path: Path) -> tuple[str, list[str]]:
    """Return the sdist's `build-backend` and the folders in it to import that from, `backend-path` (PEP 517)."""
    try:
        text = _member(sdist, path, "pyproject.toml")
        system: Any = parse_toml(text).get("build-system", {}) if text is not None else {}
        backend = system.get("build-backend", _DEFAULT_BACKEND)
        folders = system.get("backend-path", [])
        if not isinstance(backend, str) or not all(isinstance(folder, str) for folder in folders):
            raise ValueError("build-backend must be a string, and backend-path a list of strings")
    except (ValueError, AttributeError, TypeError) as error:
        raise BuildError(f"{sdist.filename}: invalid pyproject.toml", details=str(error)) from error
    for folder in folders:
        if PurePosixPath(folder).is_absolute() or ".." in PurePosixPath(folder).parts:
            raise BuildError(f"{sdist.filename}: its backend-path {folder!r} is outside of the sdist")
    return backend, list(folders)


def _member(sdist: PythonArtifact, path: Path, name: str) -> bytes | None:
    """Return the content of the file `name` in the top folder of the sdist, or None if there is no such file."""
    try:
        if sdist.filename.endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                for entry in archive.namelist():
                    if entry.count("/") == 1 and entry.endswith(f"/{name}"):
                        return _limited(archive.open(entry))
                return None
        with path.open("rb") as content:
            for member, stream in read_tar(content):
                if stream is not None and member.removeprefix("./").partition("/")[2] == name:
                    return _limited(stream)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise IntegrityError(f"{sdist.filename}: cannot be read as an archive", details=str(error)) from error
    return None


def _limited(stream: IO[bytes]) -> bytes:
    with stream:
        content = stream.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ValueError(f"a file of metadata has more than {_LARGEST} bytes")
    return content


def _store(sdist: PythonArtifact, key: Key, folder: Path, store: Store) -> BuiltWheel:
    wheels = sorted(folder.glob("*.whl")) if folder.is_dir() else []
    if len(wheels) != 1:
        raise BuildError(
            f"{sdist.filename}: building it produced {len(wheels)} wheels, expected one",
            details=", ".join(wheel.name for wheel in wheels) or None,
        )
    return store_wheel(sdist.name, key, wheels[0], wheels[0].name, store)
