"""Local packages: Python packages whose source lies in `recipes/layers/<layer>/`, named by `[[packages]]` tables.

What a lock has to know of a package (its name, version and requirements) is read from pyproject.toml, and none of its
code runs: what only a build could tell ("dynamic") is refused.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from rtbuild.digest import Sha256, sha256_bytes
from rtbuild.errors import RecipeError
from rtbuild.recipe import names
from rtbuild.recipe.model import LocalPackage, PackageFile
from rtbuild.recipe.table import Problems, Table, parse_toml

INCLUDED = (
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "MANIFEST.in",
    "README*",
    "LICEN[CS]E*",
    "COPYING*",
    "NOTICE*",
    "AUTHORS*",
    "src",
)
"""What counts in the top folder of a package whose recipe does not say `include`: what building it reads."""

EXCLUDED = ("tests",)
"""What does not count at any depth where a recipe does not say `exclude`."""

LEFT_OVERS = (".*", "*~", "__pycache__", "*.py[co]", "*.so", "*.egg-info", "PKG-INFO")
"""What tools leave behind; it never counts, or a lock would depend on what was run in the folder."""

_LOCKED_FIELDS = ("version", "requires-python", "dependencies", "optional-dependencies")
# Core metadata specification, "Name".
_NAME = re.compile(r"[A-Z0-9]([A-Z0-9._-]*[A-Z0-9])?\Z", re.IGNORECASE)


def read_packages(table: Table, root: Path, layer: str) -> tuple[LocalPackage, ...]:
    """The `[[packages]]` of a layer of the workspace at `root`.

    Problems of the tables are noted; a pyproject.toml that cannot be used raises `RecipeError` at once.
    """
    packages: list[LocalPackage] = []
    for item in table.tables("packages"):
        source = item.string("source")
        include = _patterns(item, "include", INCLUDED)
        exclude = _patterns(item, "exclude", EXCLUDED)
        item.finish()
        folder = f"recipes/layers/{layer}/{source}"
        if not source or source.startswith(("/", ".")) or posixpath.normpath(source) != source:
            item.wrong("source", f"{source!r} does not lie in recipes/layers/{layer}/")
            continue
        if any("/" in pattern for pattern in (*include, *exclude)):
            continue  # what would be read is not what was meant
        try:
            files = tuple(_files(item, root / folder, include, (*exclude, *LEFT_OVERS)))
        except OSError as error:
            place = os.path.relpath(error.filename or root / folder, root)
            item.wrong("source", f"{place} cannot be read: {error.strerror}")
            continue
        package = _package(root, folder, files)
        if not any(file.path.endswith(".py") and file.path != "setup.py" for file in files):
            item.wrong(
                "include",
                f"no module of {package.name} is among what counts",
                hint=f"without 'include' that is: {', '.join(INCLUDED)}",
            )
        if any(other.name == package.name for other in packages):
            item.wrong("source", f"{package.name} is listed twice")
        packages.append(package)
    return tuple(packages)


def input_digests(package: LocalPackage) -> tuple[tuple[str, Sha256], ...]:
    """The package's files by their path relative to the workspace, for a lock's list of inputs."""
    return tuple((f"{package.folder}/{file.path}", file.sha256) for file in package.files)


def _patterns(item: Table, name: str, default: Sequence[str]) -> tuple[str, ...]:
    patterns = item.strings(name, default)
    for index, pattern in enumerate(patterns):
        if "/" in pattern:
            item.wrong(f"{name}[{index}]", f"{pattern!r} is a path, a pattern of names is expected")
    return patterns


# --- files -----------------------------------------------------------------------------------------------------------


def _files(item: Table, folder: Path, include: Sequence[str], exclude: Sequence[str]) -> Iterator[PackageFile]:
    """The files that count, sorted by path; of the top folder only what `include` names. Raises `OSError`."""
    for path in sorted(_paths(folder, include, exclude)):
        file = folder / path
        # A link would bring in bytes that are not under the folder, and a pipe would never end.
        if file.is_symlink() or not file.is_file():
            item.wrong("source", f"{path!r} in it is neither a file nor a folder")
        elif not _is_text(path):
            item.wrong("source", f"{path!r} in it is not named in UTF-8")
        else:
            content = file.read_bytes()
            executable = bool(file.stat().st_mode & 0o100)
            yield PackageFile(path=path, content=content, sha256=sha256_bytes(content), executable=executable)


def _paths(folder: Path, include: Sequence[str], exclude: Sequence[str]) -> Iterator[str]:
    for name in os.listdir(folder):
        if not _matches(name, include) or _matches(name, exclude):
            continue
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            yield from (f"{name}/{below}" for below in _paths(path, ("*",), exclude))
        else:
            yield name


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


# --- pyproject.toml --------------------------------------------------------------------------------------------------


def _package(root: Path, folder: str, files: tuple[PackageFile, ...]) -> LocalPackage:
    """What the package says of itself (PEP 621, PEP 518); raises `RecipeError` with every problem."""
    name = f"{folder}/pyproject.toml"
    content = parse_toml(root / name, name, RecipeError, hint="a local package needs one, with a [project] table")
    problems = Problems(name, RecipeError)
    table = Table(content, problems)
    if not any(file.path == "pyproject.toml" for file in files):
        problems.add("", "is not among what counts of the package", hint="name it in 'include'")
    project = table.table("project", required=True)
    dynamic = project.strings("dynamic", ())
    for index, field in enumerate(dynamic):
        if field in _LOCKED_FIELDS:
            project.wrong(
                f"dynamic[{index}]",
                f"{field} is left to the build, but a lock has to know it",
                hint=f"write {field} into [project]",
            )
    _check_named_files(project, content.get("project"), {file.path for file in files})
    requires_python = project.parsed("requires-python", _specifiers, "") if project.has("requires-python") else None
    package = LocalPackage(
        name=project.parsed("name", _name, ""),
        version="0" if "version" in dynamic else project.parsed("version", _version, "0"),
        folder=folder,
        requires_python=requires_python,
        dependencies=_requirements(project, "dependencies", ()),
        extras=_extras(project.table("optional-dependencies")),
        build_requires=_requirements(table.table("build-system", required=True), "requires"),
        files=files,
    )
    problems.raise_if_any()
    return package


def _check_named_files(project: Table, said: Any, paths: set[str]) -> None:
    """Backends leave out a README that is not there, some of them without a word."""
    for field in ("readme", "license"):
        value = said.get(field) if isinstance(said, dict) else None
        name = value.get("file") if isinstance(value, dict) else value if field == "readme" else None
        if isinstance(name, str) and name not in paths:
            hint = "add the file, or name it in 'include' of the layer's [[packages]]"
            project.wrong(field, f"{name} is not among what counts of the package", hint=hint)


def _extras(table: Table) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((names.normalized(name), _requirements(table, name)) for name in table.fields())


def _requirements(table: Table, field: str, default: Sequence[str] | None = None) -> tuple[str, ...]:
    texts = table.strings(field, default)
    for index, text in enumerate(texts):
        try:
            names.requirement(text)
        except ValueError as error:
            table.wrong(f"{field}[{index}]", f"{text!r}: {error}")
    return texts


def _name(text: str) -> str:
    if not _NAME.match(text):
        raise ValueError("not the name of a Python package")
    return names.normalized(text)


def _version(text: str) -> str:
    return str(Version(names.python_version(text)))


def _specifiers(text: str) -> str:
    try:
        return str(SpecifierSet(text))
    except InvalidSpecifier:
        raise ValueError("not a set of version specifiers (PEP 440)") from None
