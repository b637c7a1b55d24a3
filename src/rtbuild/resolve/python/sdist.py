"""Read what an sdist requires, and what building it needs, from its files. None of its code is run.

Locking must not depend on the machine, nor run the code of every candidate that a resolver looks at. So instead of
asking the build backend, read the metadata that setuptools and the other backends write into every sdist.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from email.policy import compat32
from typing import IO, Any, BinaryIO

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from rtbuild.documents import parse_toml
from rtbuild.errors import ResolutionError
from rtbuild.formats.tar_stream import read_tar
from rtbuild.resolve.python.wheel import BROKEN

_LARGEST = 16 << 20
"""Bytes of a file of metadata."""
_NO_CODE = "pin a version that has a wheel in the recipe's constraints"
# What pip assumes for a project without [build-system]. Setuptools before 70.1 asks for wheel as well.
_SETUPTOOLS = ("setuptools>=40.8.0", "wheel")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sdist:
    """The metadata of an sdist."""

    metadata: bytes
    """A core metadata file, requirements included."""
    build_requires: tuple[str, ...]
    """The requirements of its build environment."""


def read_sdist(filename: str, content: BinaryIO) -> Sdist:
    """Read an sdist, which is open at its start. Of its files, only those that matter are held in memory.

    Raises:
        ResolutionError: if its files do not say what it requires.
    """
    files = _members(filename, content)
    system = _build_system(filename, files)
    return Sdist(metadata=_metadata(filename, files, system), build_requires=_build_requires(files, system))


def _members(filename: str, content: BinaryIO) -> dict[str, bytes]:
    """The few relevant files, by their path below the sdist's top folder."""
    try:
        if filename.endswith(".zip"):
            with zipfile.ZipFile(content) as archive:
                return {
                    path: _limited(archive.open(name))
                    for name in archive.namelist()
                    if (path := _interesting(name)) is not None
                }
        files = {}
        for name, stream in read_tar(content):
            path = _interesting(name)
            if path is not None and stream is not None:
                files[path] = _limited(stream)
        return files
    except BROKEN as error:
        raise ResolutionError(f"{filename}: not a readable archive", details=str(error)) from error


def _limited(stream: IO[bytes]) -> bytes:
    with stream:
        content = stream.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ValueError(f"a file of metadata has more than {_LARGEST} bytes")
    return content


def _interesting(name: str) -> str | None:
    _, _, path = name.removeprefix("./").partition("/")
    wanted = path in ("PKG-INFO", "pyproject.toml", "setup.py", "setup.cfg")
    return path if wanted or re.search(r"(^|/)[^/]+\.egg-info/(requires|setup_requires|SOURCES)\.txt$", path) else None


def _build_system(filename: str, files: Mapping[str, bytes]) -> dict[str, Any] | None:
    """The table [build-system] of pyproject.toml (PEP 518), if there is one."""
    try:
        pyproject = parse_toml(files.get("pyproject.toml", b""))
    except ValueError as error:
        raise ResolutionError(f"{filename}: malformed pyproject.toml", details=str(error), hint=_NO_CODE) from error
    system = pyproject.get("build-system")
    if system is None:
        return None
    requires = system.get("requires") if isinstance(system, dict) else None
    if not isinstance(requires, list) or not all(isinstance(text, str) for text in requires):
        raise ResolutionError(
            f"{filename}: build-system.requires in pyproject.toml is not a list of strings", hint=_NO_CODE
        )
    return dict(system)


def _uses_setuptools(system: Mapping[str, Any] | None) -> bool:
    return system is None or str(system.get("build-backend", "setuptools")).startswith("setuptools")


def _metadata(filename: str, files: Mapping[str, bytes], system: Mapping[str, Any] | None) -> bytes:
    header = _pkg_info(files)
    if header is None:
        raise ResolutionError(f"{filename}: has no PKG-INFO, so its requirements are unknown", hint=_NO_CODE)
    dynamic = {value.lower() for value in header.get_all("Dynamic", [])}
    version = tuple(int(part) for part in re.findall(r"\d+", header.get("Metadata-Version", "1.0"))[:2])
    requires = header.get_all("Requires-Dist", [])
    extras = header.get_all("Provides-Extra", [])
    # PEP 643: from 2.2 on, a field that is not dynamic holds for every wheel built from the sdist.
    if version < (2, 2) or dynamic & {"requires-dist", "provides-extra"}:
        if _egg_info(files, "SOURCES.txt") is not None:
            requires, extras = _sections(_egg_info(files, "requires.txt") or "")
        elif _uses_setuptools(system) and not requires and _calls_setuptools(files):
            raise ResolutionError(f"{filename}: its requirements are unknown unless its setup.py is run", hint=_NO_CODE)
    lines = ["Metadata-Version: 2.1", f"Name: {header.get('Name')}", f"Version: {header.get('Version')}"]
    lines += [f"Requires-Python: {value}" for value in header.get_all("Requires-Python", [])]
    lines += [f"Provides-Extra: {extra}" for extra in extras]
    lines += [f"Requires-Dist: {' '.join(requirement.split())}" for requirement in requires]
    return ("\n".join(lines) + "\n").encode()


def _build_requires(files: Mapping[str, bytes], system: Mapping[str, Any] | None) -> tuple[str, ...]:
    needed = list(_SETUPTOOLS) if system is None else list(system["requires"])
    if _uses_setuptools(system):
        needed += ["wheel", *_lines(_egg_info(files, "setup_requires.txt") or "")]
    return tuple(dict.fromkeys(needed))


def _pkg_info(files: Mapping[str, bytes]) -> Message | None:
    if "PKG-INFO" not in files:
        return None
    return HeaderParser(policy=compat32).parsestr(files["PKG-INFO"].decode("utf-8", "replace"))


def _calls_setuptools(files: Mapping[str, bytes]) -> bool:
    """False for sdists of plain distutils, which know no requirements."""
    return b"setuptools" in files.get("setup.py", b"") or b"install_requires" in files.get("setup.cfg", b"")


def _egg_info(files: Mapping[str, bytes], name: str) -> str | None:
    """Read a file of the project's own egg-info folder, which setuptools writes at the top or, say, below `src`."""
    folders = {path.rpartition("/")[0] for path in files if path.endswith(".egg-info/SOURCES.txt")}
    header = _pkg_info(files)
    project = canonicalize_name(header.get("Name", "") if header is not None else "")

    def bundled(folder: str) -> tuple[bool, int, str]:
        stem = folder.rpartition("/")[2].removesuffix(".egg-info")
        return canonicalize_name(stem) != project, folder.count("/"), folder

    content = files.get(f"{min(folders, key=bundled)}/{name}") if folders else None
    return None if content is None else content.decode("utf-8", "replace")


def _sections(content: str) -> tuple[list[str], list[str]]:
    """(Requires-Dist, Provides-Extra) of a requires.txt with sections `[extra]`, `[:marker]`, `[extra:marker]`."""
    requires: list[str] = []
    extras: list[str] = []
    conditions: list[str] = []
    for line in _lines(content):
        if line.startswith("["):
            extra, _, marker = line.removeprefix("[").removesuffix("]").partition(":")
            conditions = [f"({marker})"] if marker else []
            if extra:
                conditions.append(f'extra == "{canonicalize_name(extra)}"')
                extras += [] if extra in extras else [extra]
            continue
        # What cannot be read today is left for `legacy` to read, or to name in an error.
        text, marker = _divided(line)
        own = [f"({marker})"] if marker else []
        condition = " and ".join([*own, *conditions])
        requires.append(f"{text}; {condition}" if condition else text)
    return requires, extras


def _divided(line: str) -> tuple[str, str]:
    """Return a requirement without its marker, and the marker, which is empty if there is none."""
    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        text, _, marker = line.partition(";")
        return text.strip(), marker.strip()
    marker, requirement.marker = str(requirement.marker or ""), None
    return str(requirement), marker


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if stripped := line.strip():
            yield stripped
