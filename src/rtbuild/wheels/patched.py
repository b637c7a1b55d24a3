"""Patched wheels: a function of a wheel and of patches, made here without an engine.

They are stored, not compressed, with one date, so their bytes depend on no library.
"""

from __future__ import annotations

import csv
import re
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
from rtbuild.lockfile.model import Lock, PythonArtifact
from rtbuild.lockfile.patched import patches_of
from rtbuild.recipe.model import Patch, Release
from rtbuild.recipe.names import normalized
from rtbuild.store.files import store_errors
from rtbuild.wheels.apply import PatchedFile, apply_patch
from rtbuild.wheels.environment import BuildEnvironment
from rtbuild.wheels.made import MadeWheel, find_wheel, keep_wheel
from rtbuild.wheels.wheel import dist_info_folder, is_executable, record_hash

_SCHEMA = 1
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest that a zip archive can name
_EXECUTABLE, _PLAIN = 0o100755, 0o100644
_UNIX = 3
_PIECE = 1 << 20
_VERSION = re.compile(rb"^(Version:[ \t]*)([^\r\n]*?)([ \t]*\r?)$", re.IGNORECASE | re.MULTILINE)
# What vouches for the RECORD of the publisher (PEP 427) cannot vouch for another.
_SIGNATURES = ("RECORD.jws", "RECORD.p7s")


def realise_patched(
    release: Release, lock: Lock, made: Mapping[str, MadeWheel], environment: BuildEnvironment
) -> dict[str, MadeWheel]:
    """The wheels of the lock's packages that have patches, by package; made where the store does not have them.

    `made` are the wheels of sdists, which are patched like any other. The artifacts are in the store and verified.
    Raises `BuildError` where a patch does not apply or is applied already, `StaleLockError` where the recipes have
    another one than the lock, `IntegrityError` for a damaged wheel and `StoreError`.
    """
    store, progress = environment.store, environment.progress
    patched = {}
    for artifact in lock.pythons:
        if not artifact.patches:
            continue
        patches = patches_of(artifact, release)
        base = made.get(artifact.name)
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
                wheel = keep_wheel(artifact.name, key, target, name, store)
        patched[artifact.name] = wheel
    return patched


def patch_wheel(base: Path, label: str, target: Path, artifact: PythonArtifact, patches: Sequence[Patch]) -> None:
    """Write the wheel at `base`, called `label`, to `target` with `patches` and with the version of `artifact`.

    Raises as `realise_patched` does.
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
            writer = _Writer(out)
            for path, mode, size, stream in _members(archive, changed, leave=f"{info}/RECORD"):
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
            # One that an earlier patch brought keeps the mode that it got there.
            before = changed.get(path)
            executable = file.executable or (before is not None and before.executable)
            changed[path] = PatchedFile(content=file.content, executable=executable)
    return changed


def _members(
    archive: zipfile.ZipFile, changed: Mapping[str, PatchedFile], *, leave: str
) -> Iterator[tuple[str, int, int, BinaryIO]]:
    """Path, mode, size and content of every file of the patched wheel, sorted by path, but for `leave`."""
    infos = {info.filename: info for info in archive.infolist() if not info.is_dir()}
    for path in sorted((infos.keys() | changed.keys()) - {leave}):
        info, file = infos.get(path), changed.get(path)
        executable = is_executable(info) if info else file is not None and file.executable
        mode = _EXECUTABLE if executable else _PLAIN
        if file is None:
            assert info is not None  # it is in one of them
            yield path, mode, info.file_size, archive.open(info)  # type: ignore[misc]
        elif file.content is not None:
            yield path, mode, len(file.content), BytesIO(file.content)


class _Writer:
    """Writes the files of a wheel, and its RECORD."""

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
        """The RECORD comes last, as wheels should have it (PEP 427)."""
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
    """METADATA with the patched version; all else in it stays as it is."""
    try:
        content = archive.read(f"{info}/METADATA")
    except KeyError:
        raise BuildError(f"{label}: not a wheel: it has no METADATA") from None
    # The description, which may speak of versions, begins after an empty line (RFC 822, as core metadata has it).
    end = next((match.start() for match in re.finditer(rb"\r?\n\r?\n", content)), len(content))
    header, rest = content[:end], content[end:]
    found = _VERSION.findall(header)
    if len(found) != 1 or not _is_version(found[0][1].decode(errors="replace"), artifact.published):
        said = ", ".join(version.decode(errors="backslashreplace") for _, version, _ in found) or "none"
        raise BuildError(f"{label}: its METADATA should have version {artifact.published}", details=f"it has {said}")
    return _VERSION.sub(rb"\g<1>" + artifact.version.encode() + rb"\g<3>", header) + rest


def _check_names(label: str, archive: zipfile.ZipFile, info: str, artifact: PythonArtifact) -> None:
    name, _, version = info.removesuffix(".dist-info").rpartition("-")
    if normalized(name) != artifact.name or not _is_version(version, artifact.published):
        raise BuildError(f"{label}: is not the wheel of {artifact.name} {artifact.published}", details=f"it has {info}")
    names = archive.namelist()
    if len(names) != len(set(names)):
        twice = sorted({one for one in names if names.count(one) > 1})
        raise BuildError(f"{label}: cannot be patched: it has files twice", details="\n".join(twice))


def _is_version(text: str, version: str) -> bool:
    try:
        # A hyphen is an underscore in the name of a folder (binary distribution format, "Escaping and Unicode").
        return Version(text.replace("_", "-")) == Version(version)
    except InvalidVersion:
        return False


def _filename(filename: str, artifact: PythonArtifact) -> str:
    """The name of a wheel with the patched version in place of its own."""
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
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError:
        raise BuildError(f"{label} is not in the store", hint="fetch the lock's artifacts first") from None
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise IntegrityError(f"{label}: not a wheel that can be read", details=str(error)) from error
    except (NotImplementedError, RuntimeError) as error:
        # zipfile says so of encrypted files and of compressions that wheels do not use.
        raise BuildError(f"{label}: cannot be patched", details=str(error)) from error
