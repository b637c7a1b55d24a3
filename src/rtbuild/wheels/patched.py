"""Apply a lock's patches to wheels, without an engine.

The members of a patched wheel are not compressed and all have the same date, so its bytes depend on the wheel and the
patches, not on the version of a compression library.
"""

from __future__ import annotations

import csv
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from io import BytesIO, StringIO
from pathlib import Path
from typing import BinaryIO

from packaging.version import InvalidVersion, Version

from rtbuild.digest import Key, Sha256, canonical_json, sha256_bytes
from rtbuild.errors import BuildError, IntegrityError
from rtbuild.files import open_regular
from rtbuild.lockfile.model import Lock, PythonArtifact
from rtbuild.lockfile.patched import patches_of
from rtbuild.recipe.model import Patch, Release
from rtbuild.recipe.names import normalized
from rtbuild.store.files import store_errors
from rtbuild.wheels.apply import PatchedFile, apply_patch
from rtbuild.wheels.built import BuiltWheel, find_wheel, store_wheel
from rtbuild.wheels.environment import BuildEnvironment
from rtbuild.wheels.wheel import check_members, dist_info_folder, is_executable, record_hash, require_plain, text_member

_SCHEMA = 1
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest date that a zip archive can store
_EXECUTABLE, _PLAIN = 0o100755, 0o100644
_UNIX = 3
_PIECE = 1 << 20
_VERSION = re.compile(rb"^(Version:[ \t]*)([^\r\n]*?)([ \t]*\r?)$", re.IGNORECASE | re.MULTILINE)
# Signatures of the publisher's RECORD (PEP 427); they do not match the new one.
_SIGNATURES = ("RECORD.jws", "RECORD.p7s")


def realise_patched(
    release: Release, lock: Lock, built: Mapping[str, BuiltWheel], environment: BuildEnvironment
) -> dict[str, BuiltWheel]:
    """Return the patched wheels of the lock's packages that have patches, by package.

    Wheels that the store lacks are patched now. The artifacts must be in the store, verified.

    Args:
        release: The release, whose recipes have the patches.
        lock: Its lock.
        built: The wheels built from sdists, by package; they are patched like any other wheel.
        environment: The environment of the build.

    Raises:
        BuildError: if a patch does not apply, or the wheel already contains it.
        StaleLockError: if a patch has changed since the lock was made.
        IntegrityError: if a wheel is damaged.
        StoreError: if the store cannot be read or written.
    """
    store, progress = environment.store, environment.progress
    patched = {}
    for artifact in lock.pythons:
        if not artifact.patches:
            continue
        patches = patches_of(artifact, release)
        base = built.get(artifact.name)
        path = base.path if base else store.artifact_path(artifact.sha256)
        filename = base.filename if base else artifact.filename
        key = _key(artifact, base.sha256 if base else artifact.sha256)
        wheel = find_wheel(artifact.name, key, store, progress)
        if wheel is None:
            with store.temporary("patched") as folder:
                target = folder / "wheel"
                with store_errors(f"write {target}"):
                    patch_wheel(path, filename, target, artifact, patches)
                name = _filename(filename, artifact)
                wheel = store_wheel(artifact.name, key, target, name, store)
        patched[artifact.name] = wheel
    return patched


def patch_wheel(base: Path, label: str, target: Path, artifact: PythonArtifact, patches: Sequence[Patch]) -> None:
    """Write the wheel at `base` to `target` with `patches` applied and the version of `artifact`.

    `label` is the name of the wheel in messages.

    Raises:
        BuildError: if a patch does not apply, the wheel already contains it, or the wheel cannot be patched.
        IntegrityError: if the wheel is damaged.
    """
    with _reading(base, label) as archive:
        info = dist_info_folder(label, archive)
        _check_names(label, archive, info, artifact)
        changed = _apply(archive, artifact, patches)
        changed[f"{info}/METADATA"] = PatchedFile(content=_metadata(label, archive, info, artifact))
        for signature in _SIGNATURES:
            changed[f"{info}/{signature}"] = PatchedFile(content=None)
        old = info.removesuffix(".dist-info")
        new = f"{old.rpartition('-')[0]}-{artifact.version}"
        folders = {f"{old}.dist-info": f"{new}.dist-info", f"{old}.data": f"{new}.data"}
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as out:
            writer = _WheelWriter(out)
            for path, mode, size, stream in _members(archive, changed, without=f"{info}/RECORD"):
                top, slash, rest = path.partition("/")
                with stream:
                    writer.add(f"{folders.get(top, top)}{slash}{rest}", mode, size, stream)
            writer.finish(f"{new}.dist-info/RECORD")


def _apply(archive: zipfile.ZipFile, artifact: PythonArtifact, patches: Sequence[Patch]) -> dict[str, PatchedFile]:
    names = {info.filename for info in archive.infolist()}
    changed: dict[str, PatchedFile] = {}

    def read(path: str) -> bytes | None:
        if path in changed:
            return changed[path].content
        return archive.read(path) if path in names else None

    for patch in patches:
        after = apply_patch(patch, read, target=f"{artifact.name} {artifact.published}")
        for path, file in after.items():
            # A file that an earlier patch created keeps its mode.
            before = changed.get(path)
            executable = file.executable or (before is not None and before.executable)
            changed[path] = PatchedFile(content=file.content, executable=executable)
    return changed


def _members(
    archive: zipfile.ZipFile, changed: Mapping[str, PatchedFile], *, without: str
) -> Iterator[tuple[str, int, int, BinaryIO]]:
    """Yield path, mode, size and content of every file of the patched wheel except `without`, sorted by path."""
    infos = {info.filename: info for info in archive.infolist() if not info.is_dir()}
    for path in sorted((infos.keys() | changed.keys()) - {without}):
        info, file = infos.get(path), changed.get(path)
        executable = is_executable(info) if info else file is not None and file.executable
        mode = _EXECUTABLE if executable else _PLAIN
        if file is None:
            assert info is not None  # `path` is in one of the two
            yield path, mode, info.file_size, archive.open(info)  # type: ignore[misc]
        elif file.content is not None:
            yield path, mode, len(file.content), BytesIO(file.content)


class _WheelWriter:
    """Writes the files of a wheel and its RECORD."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._rows: list[tuple[str, str, str]] = []

    def add(self, path: str, mode: int, size: int, stream: BinaryIO) -> None:
        state = sha256()
        with self._archive.open(_member(path, mode, size), "w") as member:
            while piece := stream.read(_PIECE):
                state.update(piece)
                member.write(piece)
        self._rows.append((path, record_hash(state.digest()), str(size)))

    def finish(self, record: str) -> None:
        """Write the RECORD; it should be the last member of a wheel (PEP 427)."""
        text = StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows([*self._rows, (record, "", "")])
        content = text.getvalue().encode()
        self._archive.writestr(_member(record, _PLAIN, len(content)), content)


def _member(path: str, mode: int, size: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(path, _EPOCH)
    info.create_system = _UNIX
    info.external_attr = mode << 16
    info.file_size = size
    return info


def _metadata(label: str, archive: zipfile.ZipFile, info: str, artifact: PythonArtifact) -> bytes:
    """Return the wheel's METADATA with the patched version and no other change."""
    content = archive.read(text_member(label, archive, f"{info}/METADATA"))
    # The description, which may mention versions, begins after an empty line (RFC 822, which core metadata follows).
    end = next((match.start() for match in re.finditer(rb"\r?\n\r?\n", content)), len(content))
    header, rest = content[:end], content[end:]
    versions = [version for _, version, _ in _VERSION.findall(header)]
    if len(versions) != 1 or not _is_version(versions[0].decode(errors="replace"), artifact.published):
        listed = ", ".join(version.decode(errors="backslashreplace") for version in versions) or "no version"
        raise BuildError(f"{label}: its METADATA should have version {artifact.published}", details=f"it has {listed}")
    return _VERSION.sub(rb"\g<1>" + artifact.version.encode() + rb"\g<3>", header) + rest


def _check_names(label: str, archive: zipfile.ZipFile, info: str, artifact: PythonArtifact) -> None:
    name, _, version = info.removesuffix(".dist-info").rpartition("-")
    if normalized(name) != artifact.name or not _is_version(version, artifact.published):
        raise BuildError(
            f"{label}: not the wheel of {artifact.name} {artifact.published}", details=f"it contains {info}"
        )
    names = archive.namelist()
    if len(names) != len(set(names)):
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise BuildError(f"{label}: cannot be patched: it contains files twice", details="\n".join(repeated))


def _is_version(text: str, version: str) -> bool:
    try:
        # Folder names have underscores for hyphens (binary distribution format, "Escaping and Unicode").
        return Version(text.replace("_", "-")) == Version(version)
    except InvalidVersion:
        return False


def _filename(filename: str, artifact: PythonArtifact) -> str:
    """Return the file name of a wheel with the patched version."""
    name, _, rest = filename.partition("-")
    return f"{name}-{artifact.version}-{rest.partition('-')[2]}"


def _key(artifact: PythonArtifact, base: Sha256) -> Key:
    inputs = {
        "schema": _SCHEMA,
        "kind": "patched wheel",
        "wheel": base,
        "version": artifact.version,
        "patches": [patch.sha256 for patch in artifact.patches],
    }
    return Key(sha256_bytes(canonical_json(inputs)))


@contextmanager
def _reading(path: Path, label: str) -> Iterator[zipfile.ZipFile]:
    try:
        with open_regular(path) as stream, zipfile.ZipFile(stream) as archive:
            check_members(archive, path.stat().st_size)
            for info in archive.infolist():
                require_plain(label, info)
            yield archive
    except FileNotFoundError:
        raise BuildError(f"{label} is not in the store", hint="fetch the lock's artifacts first") from None
    except (zipfile.BadZipFile, zlib.error, struct.error, ValueError, OverflowError, EOFError) as error:
        raise IntegrityError(f"{label}: cannot be read as a wheel", details=str(error)) from error
    except (NotImplementedError, RuntimeError) as error:
        # zipfile raises these for features of the format that wheels do not use.
        raise BuildError(f"{label}: cannot be patched", details=str(error)) from error
