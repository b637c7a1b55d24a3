"""The Python side of a lock in formats that other tools read."""

from __future__ import annotations

from typing import Literal, assert_never

import tomlkit
from packaging.pylock import Package, PackageDirectory, PackageSdist, PackageWheel, Pylock
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from rtbuild.lockfile.model import Lock, PythonArtifact
from rtbuild.lockfile.python import python_series

Format = Literal["requirements", "pylock"]


def export_lock(lock: Lock, form: Format) -> str:
    """`requirements`: a file for `pip install --require-hashes`. `pylock`: a `pylock.toml` (PEP 751).

    A pylock file must say where its files are, and a lock does not: it expects them in one folder with the file itself.
    A package whose source lies in the recipes is a directory of the project there, so that is the folder to put it in;
    in a requirements file it is a comment, because pip takes no directory together with hashes.
    A package that the release patches is there as its publisher has it, of that version, for no index has the other:
    the image's own is named in a comment, and in `tool.rtbuild` of a pylock file.
    What building the sdists needs is in neither, because neither format can say it.
    """
    match form:
        case "requirements":
            return _requirements(lock)
        case "pylock":
            return _pylock(lock)
        case _:
            assert_never(form)


def _requirements(lock: Lock) -> str:
    lines = [
        f"# release {lock.release} for {lock.platform}, Python {lock.python_version}, as of {lock.as_of.isoformat()}"
    ]
    for one in sorted(lock.pythons, key=lambda one: one.name):
        if one.local:
            lines += [f"# {one.name}=={one.version} is on no index: pip install --no-deps ./{one.path}"]
            continue
        if one.patches:
            lines.append(f"# the image has {one.name} {one.version}, patched: {', '.join(_patches(one))}")
        lines += [f"{one.name}=={one.published} \\", f"    --hash=sha256:{one.sha256}"]
    return "\n".join(lines) + "\n"


def _pylock(lock: Lock) -> str:
    pylock = Pylock(
        lock_version=Version("1.0"),
        requires_python=SpecifierSet(f"=={python_series(lock.python_version)}.*"),
        created_by="rtbuild",
        packages=[_package(one) for one in sorted(lock.pythons, key=lambda one: one.name)],
    )
    pylock.validate()
    return tomlkit.dumps(pylock.to_dict())


def _package(one: PythonArtifact) -> Package:
    hashes = {"sha256": str(one.sha256)}
    name, version = canonicalize_name(one.name), Version(one.published)
    tool = {"rtbuild": {"version": one.version, "patches": _patches(one)}} if one.patches else None
    if one.local:
        # PEP 751: no version, since what lies in the folder may be of another one by then.
        return Package(name=name, directory=PackageDirectory(path=one.path))
    if one.is_wheel:
        wheel = PackageWheel(
            name=one.filename, path=one.filename, size=one.size, hashes=hashes, upload_time=one.uploaded
        )
        return Package(name=name, version=version, wheels=[wheel], tool=tool)
    sdist = PackageSdist(name=one.filename, path=one.filename, size=one.size, hashes=hashes, upload_time=one.uploaded)
    return Package(name=name, version=version, sdist=sdist, tool=tool)


def _patches(one: PythonArtifact) -> list[str]:
    return [patch.id for patch in one.patches]
