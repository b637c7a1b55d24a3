"""Reading local packages: Python packages whose source lies in `recipes/layers/<layer>/`, named by `[[packages]]`.

What a lock needs to know about a package (its name, version and requirements) is read from pyproject.toml without
running any code of it. Fields that only a build could tell (`dynamic`) are refused.
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
from rtbuild.files import read_regular, require_inside
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
"""The default of `include`: what in the top folder of a package belongs to it, because builds read it."""

EXCLUDED = ("tests",)
"""The default of `exclude`: what does not belong to a package, at any depth."""

LEFTOVERS = (".*", "*~", "__pycache__", "*.py[co]", "*.so", "*.egg-info", "PKG-INFO")
"""What tools leave behind. It never belongs to a package, or a lock would depend on what was run in the folder."""

_LOCKED_FIELDS = ("version", "requires-python", "dependencies", "optional-dependencies")
# Core metadata specification, "Name".
_LARGEST_FILE = 256 << 20
"""Bytes of a file of a package."""
_NAME = re.compile(r"[A-Z0-9]([A-Z0-9._-]*[A-Z0-9])?\Z", re.IGNORECASE)


def read_packages(table: Table, root: Path, layer: str) -> tuple[LocalPackage, ...]:
    """Read the `[[packages]]` of a layer of the workspace at `root`; problems of the tables are noted.

    Raises:
        RecipeError: if a pyproject.toml is missing or malformed; it lists every problem of the file.
    """
    packages: list[LocalPackage] = []
    for entry in table.tables("packages"):
        source = entry.string("source")
        include = _patterns(entry, "include", INCLUDED)
        exclude = _patterns(entry, "exclude", EXCLUDED)
        entry.finish()
        folder = f"recipes/layers/{layer}/{source}"
        if not source or source.startswith(("/", ".")) or posixpath.normpath(source) != source:
            entry.wrong("source", f"{source!r} is not in recipes/layers/{layer}/")
            continue
        if any("/" in pattern for pattern in (*include, *exclude)):
            continue  # a problem was noted, and other files than the intended ones would be read
        try:
            require_inside(root / folder, root / "recipes" / "layers" / layer)
            files = tuple(_files(entry, root / folder, include, (*exclude, *LEFTOVERS)))
        except OSError as error:
            place = os.path.relpath(error.filename or root / folder, root)
            entry.wrong("source", f"{place} cannot be read: {error.strerror}")
            continue
        package = _package(root, folder, files)
        if not any(file.path.endswith(".py") and file.path != "setup.py" for file in files):
            entry.wrong(
                "include",
                f"no Python module of {package.name} is included",
                hint=f"list its modules in 'include'; the default is: {', '.join(INCLUDED)}",
            )
        if any(other.name == package.name for other in packages):
            entry.wrong("source", f"{package.name} is listed twice")
        packages.append(package)
    return tuple(packages)


def input_digests(package: LocalPackage) -> tuple[tuple[str, Sha256], ...]:
    """Return (path, digest) pairs of the package's files, for a lock's inputs; paths are relative to the workspace."""
    return tuple((f"{package.folder}/{file.path}", file.sha256) for file in package.files)


def _patterns(entry: Table, name: str, default: Sequence[str]) -> tuple[str, ...]:
    patterns = entry.strings(name, default)
    for index, pattern in enumerate(patterns):
        if "/" in pattern:
            entry.wrong(f"{name}[{index}]", f"{pattern!r} is a path, expected a pattern of names")
    return patterns


# --- files -----------------------------------------------------------------------------------------------------------


def _files(entry: Table, folder: Path, include: Sequence[str], exclude: Sequence[str]) -> Iterator[PackageFile]:
    """The package's files, sorted by path. `include` selects among the top folder's entries only. Raises `OSError`."""
    for path in sorted(_paths(folder, include, exclude)):
        file = folder / path
        # A link would add bytes from outside the folder, and reading a pipe would never end.
        if file.is_symlink() or not file.is_file():
            entry.wrong("source", f"{path!r} in it is neither a file nor a folder")
        elif not _is_text(path):
            entry.wrong("source", f"the name of {path!r} in it is not UTF-8")
        else:
            content = read_regular(file, _LARGEST_FILE)
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
    """Read the package's metadata (PEP 621, PEP 518). Raises `RecipeError` with every problem."""
    name = f"{folder}/pyproject.toml"
    content = parse_toml(root / name, name, RecipeError, missing="add one with a [project] table to the package")
    problems = Problems(name, RecipeError)
    table = Table(content, problems)
    if not any(file.path == "pyproject.toml" for file in files):
        problems.add("", "is not included in the package", hint="add it to 'include'")
    project = table.table("project", required=True)
    dynamic = project.strings("dynamic", ())
    for index, field in enumerate(dynamic):
        if field in _LOCKED_FIELDS:
            project.wrong(
                f"dynamic[{index}]",
                f"{field} is left to the build, but the lock needs it",
                hint=f"set {field} in [project]",
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


def _check_named_files(project: Table, fields: Any, paths: set[str]) -> None:
    """Check that the README and licence that pyproject.toml names exist: some backends ignore missing ones."""
    for field in ("readme", "license"):
        value = fields.get(field) if isinstance(fields, dict) else None
        name = value.get("file") if isinstance(value, dict) else value if field == "readme" else None
        if isinstance(name, str) and name not in paths:
            hint = "add the file, or list it in 'include' of the layer's [[packages]]"
            project.wrong(field, f"{name} is not included in the package", hint=hint)


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
        raise ValueError("not a Python package name")
    return names.normalized(text)


def _version(text: str) -> str:
    return str(Version(names.pep440_version(text)))


def _specifiers(text: str) -> str:
    try:
        return str(SpecifierSet(text))
    except InvalidSpecifier:
        raise ValueError("not a version specifier set (PEP 440)") from None
