"""Check Python packages against the lock: hashes prove their content, but names and versions may have been edited.

A wheel says what it is in three places, which pip and the users of an image believe: its file name, the name of its
.dist-info folder, and the METADATA in it. An sdist says it in its file name and in PKG-INFO. All must agree with the
lock.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rtbuild.errors import IntegrityError, LockError
from rtbuild.formats.distribution_names import split_filename, version_of
from rtbuild.lockfile.folder import release_lock
from rtbuild.lockfile.model import Lock, PythonArtifact
from rtbuild.lockfile.remedy import lock_remedy
from rtbuild.recipe.names import normalized
from rtbuild.recipe.table import Problems
from rtbuild.wheels.wheel import BROKEN_ZIP, check_members, dist_info_folder, text_member

_FIELD = re.compile(rb"^(Name|Version):[ \t]*(.*?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The name and version that a file gives itself at the place `where`."""

    where: str
    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What the file of a locked package says; `place` is the package's entry in the lock (`python[3]`)."""

    place: str
    artifact: PythonArtifact
    version: str
    """The version that the file must have: for a file of the index, the one without what patches add to it."""
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelNames:
    """The names and versions inside of a wheel.

    Attributes:
        dist_info: The name of its .dist-info folder, which has both.
        name: The name in METADATA; empty if there is none.
        version: The version in METADATA; empty if there is none.
    """

    dist_info: str
    name: str
    version: str

    @classmethod
    def of(cls, dist_info: str, metadata: bytes) -> WheelNames:
        """Return those of the wheel that has `metadata` in the folder `dist_info`."""
        name, version = _header(metadata)
        return cls(dist_info=dist_info, name=name, version=version)


def wheel_claims(artifact: PythonArtifact, filename: str, names: WheelNames) -> tuple[Claim, ...]:
    """Return what a wheel called `filename` says."""
    name, _, version = names.dist_info.removesuffix(".dist-info").rpartition("-")
    return (
        _of_filename(artifact, filename),
        Claim(where=f"{names.dist_info} in {filename}", name=name, version=version),
        Claim(where=f"METADATA in {filename}", name=names.name, version=names.version),
    )


def locked_wheel_claims(artifact: PythonArtifact, path: Path) -> tuple[Claim, ...]:
    """Return what the wheel of `artifact`, which lies at `path`, says.

    Raises:
        BuildError: if it is not a wheel.
        IntegrityError: if it is damaged.
        FileNotFoundError: if there is no such file.
    """
    label = artifact.filename
    with path.open("rb") as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                check_members(archive, path.stat().st_size)
                folder = dist_info_folder(label, archive)
                metadata = archive.read(text_member(label, archive, f"{folder}/METADATA"))
        except (*BROKEN_ZIP, zlib.error, RuntimeError) as error:
            raise IntegrityError(f"{label}: cannot be read as a wheel", details=str(error)) from error
    return wheel_claims(artifact, label, WheelNames.of(folder, metadata))


def sdist_claims(artifact: PythonArtifact, pkg_info: bytes | None) -> tuple[Claim, ...]:
    """Return what an sdist says, which need not have a PKG-INFO."""
    claims = () if artifact.local else (_of_filename(artifact, artifact.filename),)
    if pkg_info is None:
        return claims
    name, version = _header(pkg_info)
    return (*claims, Claim(where=f"PKG-INFO in {artifact.filename}", name=name, version=version))


def require_claims(lock: Lock, packages: Iterable[Claims]) -> None:
    """Check that each of `packages` says the name and version that `lock` gives it.

    Raises:
        LockError: if one does not; all such packages are listed.
    """
    hint = lock_remedy(lock.release, lock.platform).malformed
    problems = Problems(release_lock(lock.release, lock.platform), LockError, hint=hint, by_hand=False)
    for package in packages:
        for field, locked, claimed, where in _differences(package):
            problems.add(f"{package.place}.{field}", f"is {locked!r}, but {where} says {claimed!r}")
    problems.raise_if_any()


def _differences(package: Claims) -> Iterator[tuple[str, str, str, str]]:
    for claim in package.claims:
        if normalized(claim.name) != package.artifact.name:
            yield "name", package.artifact.name, claim.name, claim.where
        elif version_of(claim.version) is None or version_of(claim.version) != version_of(package.version):
            yield "version", package.version, claim.version, claim.where


def _of_filename(artifact: PythonArtifact, filename: str) -> Claim:
    parts = split_filename(filename, artifact.name)
    if parts is None:
        return Claim(where="its file name", name=filename, version="")
    return Claim(where=f"the file name {filename}", name=artifact.name, version=str(parts.version))


def _header(content: bytes) -> tuple[str, str]:
    """Return the name and the version in METADATA or PKG-INFO; what is missing is empty."""
    # The description, which may hold any text, begins after an empty line.
    header = re.split(rb"(?:^|\r?\n)\r?\n", content, maxsplit=1)[0]
    fields = {field.lower(): value.decode(errors="replace") for field, value in reversed(_FIELD.findall(header))}
    return fields.get(b"name", ""), fields.get(b"version", "")
