"""The Python packages of a lock in formats that other tools read.

A lock says more than these formats can. What an export leaves out or says otherwise:

| in the lock | `requirements` | `pylock` |
|---|---|---|
| a local package | a comment: pip takes no directory together with hashes | its folder, without a version |
| a patched package | as published; the image's version in a comment | as published; the image's in `tool.rtbuild` |
| what building the sdists needs | missing | missing |
| where a file is | pip asks its index | its address, or a file beside the `pylock.toml` |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, assert_never, get_args

from rtbuild.errors import UsageError

if TYPE_CHECKING:
    from packaging.pylock import Package

    from rtbuild.lockfile.model import Lock, PythonArtifact

ExportFormat = Literal["requirements", "pylock"]
"""`requirements`: a file for `pip install --require-hashes`; `pylock`: a `pylock.toml` (PEP 751)."""

EXPORT_FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
"""The names of all formats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Where the file of a package is.

    Attributes:
        url: The address of the file.
        index: The address of the package index that names it; None if it lies in a folder.
    """

    url: str
    index: str | None = None


def export_lock(lock: Lock, format: ExportFormat, published: Mapping[str, Published] | None = None) -> str:
    """Return the Python packages of `lock` in `format`, sorted by name.

    Args:
        lock: The lock.
        format: The format.
        published: Where each file is, by file name, for a `pylock`; beside the `pylock.toml` if it is not in here.

    Raises:
        UsageError: if there is no such format, or the lock has no Python packages.
    """
    if format not in EXPORT_FORMATS:
        raise UsageError(f"unknown format {format!r}", hint=f"known formats: {', '.join(EXPORT_FORMATS)}")
    if lock.python_version is None:
        raise UsageError(f"release {lock.release} has no Python packages to export")
    pythons = sorted(lock.pythons, key=lambda python: python.name)
    match format:
        case "requirements":
            return _requirements(lock, pythons)
        case "pylock":
            return _pylock(lock.python_version, pythons, published or {})
        case _:
            assert_never(format)


def _requirements(lock: Lock, pythons: Iterable[PythonArtifact]) -> str:
    as_of = lock.as_of.isoformat()
    lines = [f"# release {lock.release} for {lock.platform}, Python {lock.python_version}, as of {as_of}"]
    for python in pythons:
        if python.local:
            lines.append(f"# {python.name}=={python.version} is on no index: pip install --no-deps ./{python.path}")
            continue
        if python.patches:
            patches = ", ".join(_patches(python))
            lines.append(f"# the image has {python.name} {python.version}, patched: {patches}")
        lines += [f"{python.name}=={python.published} \\", f"    --hash=sha256:{python.sha256}"]
    return "\n".join(lines) + "\n"


def _pylock(python_version: str, pythons: Iterable[PythonArtifact], published: Mapping[str, Published]) -> str:
    # Only this format needs these, and the names above are read to draw a help page.
    import tomlkit
    from packaging.pylock import Pylock
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

    from rtbuild.lockfile.python import series_of

    pylock = Pylock(
        lock_version=Version("1.0"),
        requires_python=SpecifierSet(f"=={series_of(python_version)}.*"),
        created_by="rtbuild",
        packages=[_package(python, published.get(python.filename)) for python in pythons],
    )
    pylock.validate()
    return tomlkit.dumps(pylock.to_dict())


def _package(python: PythonArtifact, published: Published | None) -> Package:
    from packaging.pylock import Package, PackageDirectory, PackageSdist, PackageWheel
    from packaging.utils import canonicalize_name
    from packaging.version import Version

    name, version = canonicalize_name(python.name), Version(python.published)
    if python.local:
        # PEP 751: no version, since the source in the folder may have another one by then.
        return Package(name=name, directory=PackageDirectory(path=python.path))
    hashes = {"sha256": str(python.sha256)}
    tool = {"rtbuild": {"version": python.version, "patches": _patches(python)}} if python.patches else None
    index, url, path = (published.index, published.url, None) if published else (None, None, python.filename)
    if python.is_wheel:
        wheel = PackageWheel(
            name=python.filename, url=url, path=path, size=python.size, hashes=hashes, upload_time=python.uploaded
        )
        return Package(name=name, version=version, index=index, wheels=[wheel], tool=tool)
    sdist = PackageSdist(
        name=python.filename, url=url, path=path, size=python.size, hashes=hashes, upload_time=python.uploaded
    )
    return Package(name=name, version=version, index=index, sdist=sdist, tool=tool)


def _patches(python: PythonArtifact) -> list[str]:
    return [patch.id for patch in python.patches]
