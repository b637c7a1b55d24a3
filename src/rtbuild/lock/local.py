"""Local packages as artifacts: the one sdist that a package's source makes, known from the recipes alone.

It is never fetched, since no mirror has it: it is written into the store before it is needed, and from there on it is
an sdist like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from packaging.requirements import Requirement

from rtbuild.digest import Sha256, sha256_bytes
from rtbuild.errors import StaleLockError
from rtbuild.lock.model import Lock, PythonArtifact
from rtbuild.oci.entry import Entry
from rtbuild.oci.tar import END, member_header, padding
from rtbuild.recipe.model import LocalPackage, PackageFile, Release
from rtbuild.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSdist:
    """The sdist of a local package. `uploaded` stands for the time at which an index would have got it."""

    package: LocalPackage
    filename: str
    content: bytes
    sha256: Sha256
    uploaded: datetime

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.content)


def local_sdists(release: Release) -> tuple[LocalSdist, ...]:
    """The sdists of the release's local packages.

    Their files are as old as the moment at which the release looks at the world: recipes have no dates of their own
    that would be the same on every machine.
    """
    return tuple(_sdist(package, release.as_of) for package in release.packages)


def renew_local(pythons: Sequence[PythonArtifact], release: Release) -> tuple[PythonArtifact, ...]:
    """Locked packages with the sdists that the local ones of them have now."""
    sdists = {one.package.name: one for one in local_sdists(release)}
    return tuple(as_locked(one, sdists[one.name]) if one.name in sdists else one for one in pythons)


def as_locked(artifact: PythonArtifact, sdist: LocalSdist) -> PythonArtifact:
    """`artifact` with the file of `sdist`."""
    return replace(
        artifact,
        filename=sdist.filename,
        path=sdist.package.folder,
        size=sdist.size,
        sha256=sdist.sha256,
        uploaded=sdist.uploaded,
        local=True,
    )


def stale_local(pythons: Iterable[PythonArtifact], release: Release) -> list[str]:
    """A line for each local package whose source makes another sdist than the locked one."""
    locked = {one.name: one for one in pythons}
    return [
        f"{sdist.package.name}: its source in {sdist.package.folder} is not what the lock was made from"
        for sdist in local_sdists(release)
        if (one := locked.get(sdist.package.name)) is not None and as_locked(one, sdist) != one
    ]


def store_local(release: Release, lock: Lock, store: Store) -> None:
    """Put the sdists of the lock's local packages into `store`, in place of damaged ones.

    Raises `StaleLockError` where the source makes others than the lock names, and `StoreError`.
    """
    sdists = {one.package.name: one for one in local_sdists(release)}
    for artifact in lock.pythons:
        if not artifact.local:
            continue
        sdist = sdists.get(artifact.name)
        if sdist is None or sdist.sha256 != artifact.sha256:
            raise StaleLockError(
                f"{artifact.name}: its source in {artifact.path} is not what the lock of {lock.release} was made from",
                hint=f"make the lock again with: rtbuild lock {lock.release} --platform {lock.platform}",
            )
        if store.verify_artifact(artifact):
            continue
        with store.add_artifact(artifact) as partial:
            if partial is not None:
                partial.restart()
                partial.write(sdist.content)
                partial.commit()


def _sdist(package: LocalPackage, moment: datetime) -> LocalSdist:
    stem = f"{package.name.replace('-', '_')}-{package.version}"
    content = _archive(stem, package, int(moment.timestamp()))
    return LocalSdist(
        package=package, filename=f"{stem}.tar", content=content, sha256=sha256_bytes(content), uploaded=moment
    )


def _archive(stem: str, package: LocalPackage, mtime: int) -> bytes:
    """A source distribution (PEP 517), but not compressed: its bytes depend on no compressor."""
    info = _pkg_info(package)
    files = [*package.files, PackageFile(path="PKG-INFO", content=info, sha256=sha256_bytes(info))]
    parts: list[bytes] = []
    for file in sorted(files, key=lambda file: file.path):
        size = len(file.content)
        mode = 0o755 if file.executable else 0o644
        parts += [
            member_header(Entry(path=f"{stem}/{file.path}", mode=mode, size=size, mtime=mtime)),
            file.content,
            padding(size),
        ]
    return b"".join([*parts, END])


def _pkg_info(package: LocalPackage) -> bytes:
    """Core metadata 2.2, the first that promises to hold for every wheel that is made of the sdist (PEP 643)."""
    lines = ["Metadata-Version: 2.2", f"Name: {package.name}", f"Version: {package.version}"]
    if package.requires_python is not None:
        lines.append(f"Requires-Python: {package.requires_python}")
    lines += [f"Requires-Dist: {text}" for text in package.dependencies]
    for extra, texts in package.extras:
        lines.append(f"Provides-Extra: {extra}")
        lines += [f"Requires-Dist: {_for_extra(text, extra)}" for text in texts]
    return ("\n".join(lines) + "\n").encode()


def _for_extra(text: str, extra: str) -> str:
    requirement = Requirement(text)
    own, requirement.marker = requirement.marker, None
    condition = f'extra == "{extra}"'
    return f"{requirement}; ({own}) and {condition}" if own else f"{requirement}; {condition}"
