"""The sdist of a local package, which depends on the recipes only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from packaging.requirements import Requirement

from rtbuild.digest import Sha256, sha256_bytes
from rtbuild.formats.tar import END, member_header, padding
from rtbuild.formats.tar_entry import Entry
from rtbuild.recipe.model import LocalPackage, PackageFile, Release


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSdist:
    """The sdist of a local package.

    Attributes:
        package: The package.
        filename: The sdist's file name.
        content: The sdist.
        sha256: The digest of the content.
        uploaded: The date of its files, which stands in for the time when an index got it.
    """

    package: LocalPackage
    filename: str
    content: bytes
    sha256: Sha256
    uploaded: datetime

    @property
    def size(self) -> int:
        """The size of the content in bytes."""
        return len(self.content)


def local_sdists(release: Release) -> tuple[LocalSdist, ...]:
    """Return the sdists of the release's local packages.

    Their files have the date `release.as_of`, because the dates of recipe files differ from machine to machine.
    """
    return tuple(_sdist(package, release.as_of) for package in release.packages)


def _sdist(package: LocalPackage, moment: datetime) -> LocalSdist:
    stem = f"{package.name.replace('-', '_')}-{package.version}"
    content = _archive(stem, package, int(moment.timestamp()))
    return LocalSdist(
        package=package, filename=f"{stem}.tar", content=content, sha256=sha256_bytes(content), uploaded=moment
    )


def _archive(stem: str, package: LocalPackage, mtime: int) -> bytes:
    """A source distribution (PEP 517), uncompressed so that its bytes do not depend on a compressor."""
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
    """Core metadata 2.2, the first version that promises to hold for every wheel built from the sdist (PEP 643)."""
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
