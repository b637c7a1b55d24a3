"""Reading `recipes/layers/<name>.toml`: what a layer holds, whichever release uses it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rtbuild.digest import Sha256, canonical_json, sha256_bytes
from rtbuild.errors import RecipeError
from rtbuild.files import read_regular, require_inside
from rtbuild.platform import PLATFORMS
from rtbuild.recipe import names
from rtbuild.recipe.image import ImagePart, check_placeholders, fill_placeholders, read_image_settings
from rtbuild.recipe.model import DebianLayer, FilesLayer, Group, InstalledFile, Layer, PythonLayer, Removal, Suite, User
from rtbuild.recipe.packages import input_digests, read_packages
from rtbuild.recipe.table import RECIPE_HELP, Problems, Table, parse_toml
from rtbuild.text import name_hint

_MODE = re.compile(r"0[0-7]{3,4}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LARGEST_SOURCE = 256 << 20
"""Bytes of a file that a layer installs from beside its recipe; it is read whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFile:
    """A layer as its file describes it.

    Attributes:
        layer: The layer.
        requirements: The Python requirements that it adds to every release that has it.
        constraints: The constraints that it adds to every release that has it.
        image: Its part of the image's config.
        inputs: (path, digest) pairs of its files; paths are relative to the workspace.
    """

    layer: Layer
    requirements: tuple[str, ...]
    constraints: tuple[str, ...]
    image: ImagePart
    inputs: tuple[tuple[str, Sha256], ...]


def read_layer(root: Path, name: str) -> LayerFile:
    """Read the layer `name` of the workspace at `root`.

    Raises:
        RecipeError: if the file is missing or malformed; it lists every problem.
    """
    file = f"recipes/layers/{name}.toml"
    content = parse_toml(root / file, file, RecipeError, malformed=RECIPE_HELP)
    problems = Problems(file, RecipeError)
    table = Table(content, problems)
    installed = _InstalledFiles(root, name)
    kind = table.string("kind")
    title = table.string("title")
    files = installed.read(table)
    removals = _removals(table) if kind != "files" else ()
    image = read_image_settings(table.table("image"))
    requirements: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    layer: Layer
    if kind == "python":
        packages = read_packages(table, root, name)
        requirements = (
            *requirement_list(table, "requirements"),
            *(f"{package.name}=={package.version}" for package in packages),
        )
        constraints = requirement_list(table, "constraints", constraint=True)
        layer = PythonLayer(
            name=name,
            title=title,
            roots=(*requirement_list(table, "roots"), *(package.name for package in packages)),
            packages=packages,
            files=files,
            removals=removals,
            preferred=table.table("preferred").string_items(),
        )
    elif kind == "files":
        layer = FilesLayer(name=name, title=title, files=files)
        if not files:
            table.wrong("files", "lists no files, so the layer would be empty")
    else:
        if kind not in ("debian", ""):
            table.wrong("kind", f"unknown kind {kind!r}", hint="a layer is of kind 'debian', 'python' or 'files'")
        layer = DebianLayer(
            name=name,
            title=title,
            parent=table.optional("parent"),
            suites=read_suites(table),
            packages=_packages(table),
            groups=_groups(table),
            users=_users(table),
            files=files,
            removals=removals,
        )
    if kind in ("python", "files"):
        for field in ("copies", "apt_sources"):
            own = (file for file in files if file.copy_of and file.apt_sources == (field == "apt_sources"))
            for index, copy in enumerate(own):
                hint = "copy it in a Debian layer, or put the file beside the recipe and name it as a 'source'"
                problem = f"{copy.path}: a layer of kind {kind!r} cannot read the layers below it"
                table.wrong(f"{field}[{index}]", problem, hint=hint)
    if kind in ("debian", "python", "files"):
        table.finish()
    problems.raise_if_any()
    inputs = ((file, input_digest(content)), *installed.inputs)
    if isinstance(layer, PythonLayer):
        inputs += tuple(digest for package in layer.packages for digest in input_digests(package))
    return LayerFile(layer=layer, requirements=requirements, constraints=constraints, image=image, inputs=inputs)


def fill_layer(layer: Layer, values: Mapping[str, str]) -> Layer:
    """Return `layer` with the release's fields (`version`, `airflow`, ...) filled into the content of its files."""
    return replace(layer, files=tuple(_filled(file, values) for file in layer.files))


def _filled(file: InstalledFile, values: Mapping[str, str]) -> InstalledFile:
    if file.content is None:
        return file
    content = fill_placeholders(file.content, values)
    return replace(file, content=content, sha256=sha256_bytes(content.encode()))


def read_suites(table: Table) -> tuple[Suite, ...]:
    """Read the `[[suite]]` tables of a layer or an engine."""
    suites: list[Suite] = []
    known = tuple(platform.debian for platform in PLATFORMS.values())
    for entry in table.tables("suite"):
        architectures = entry.strings("architectures", known)
        for index, architecture in enumerate(architectures):
            if architecture not in known:
                entry.wrong(
                    f"architectures[{index}]",
                    f"unknown architecture {architecture!r}",
                    hint=name_hint(architecture, known, "architectures"),
                )
        suite = Suite(
            archive=entry.parsed("archive", names.plain_name, ""),
            suite=entry.parsed("suite", names.suite_name, ""),
            components=entry.strings("components", ("main",)),
            architectures=architectures,
            check_valid_until=entry.boolean("check_valid_until", True),
            snapshot=entry.parsed("snapshot", names.snapshot_moment, "") if entry.known("snapshot") else None,
        )
        entry.finish()
        if any((other.archive, other.suite) == (suite.archive, suite.suite) for other in suites):
            entry.wrong("suite", f"{suite.suite} of {suite.archive} is listed twice")
        suites.append(suite)
    return tuple(suites)


def requirement_list(table: Table, name: str, *, constraint: bool = False) -> tuple[str, ...]:
    """Read a list of requirements (PEP 508), or of constraints."""
    texts = table.strings(name, ())
    for index, text in enumerate(texts):
        try:
            (names.constraint if constraint else names.requirement)(text)
        except ValueError as error:
            table.wrong(f"{name}[{index}]", f"{text!r}: {error}")
    return texts


def input_digest(content: object) -> Sha256:
    """Return the digest of what a recipe file says; comments, white space and the order of fields do not change it."""
    return sha256_bytes(canonical_json(_plain(content)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(field) for key, field in value.items()}
    if isinstance(value, list):
        return [_plain(element) for element in value]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value


def _packages(table: Table) -> tuple[str, ...]:
    packages = table.strings("packages", ())
    for index, package in enumerate(packages):
        try:
            names.debian_request(package)
        except ValueError as error:
            table.wrong(f"packages[{index}]", f"{package!r}: {error}")
    return packages


def _groups(table: Table) -> tuple[Group, ...]:
    groups: list[Group] = []
    for entry in table.tables("group"):
        group = Group(name=entry.parsed("name", names.plain_name, ""), gid=entry.integer("gid"))
        entry.finish()
        for other in groups:
            if other.name == group.name:
                entry.wrong("name", f"the group {group.name} is listed twice")
            if other.gid == group.gid:
                entry.wrong("gid", f"{group.gid} is already the gid of {other.name}")
        groups.append(group)
    return tuple(groups)


def _users(table: Table) -> tuple[User, ...]:
    users: list[User] = []
    for entry in table.tables("user"):
        user = User(
            name=entry.parsed("name", names.plain_name, ""),
            uid=entry.integer("uid"),
            gid=entry.integer("gid"),
            home=_absolute(entry, "home"),
            shell=entry.string("shell", "/bin/bash"),
            groups=entry.strings("groups", ()),
        )
        for index, group in enumerate(user.groups):
            try:
                names.plain_name(group)
            except ValueError as error:
                entry.wrong(f"groups[{index}]", f"{group!r}: {error}")
        for field, value in (("home", user.home), ("shell", user.shell)):
            if ":" in value or _CONTROL.search(value):
                entry.wrong(field, f"{value!r} has a colon or a control character, which /etc/passwd cannot hold")
        entry.finish()
        for other in users:
            if other.name == user.name:
                entry.wrong("name", f"the user {user.name} is listed twice")
            if other.uid == user.uid:
                entry.wrong("uid", f"{user.uid} is already the uid of {other.name}")
        users.append(user)
    return tuple(users)


def _removals(table: Table) -> tuple[Removal, ...]:
    removals = []
    for entry in table.tables("removals"):
        removals.append(Removal(pattern=_absolute(entry, "pattern"), reason=entry.string("reason")))
        entry.finish()
    return tuple(removals)


def _absolute(table: Table, name: str) -> str:
    path = table.string(name)
    if path and (not path.startswith("/") or posixpath.normpath(path) != path or path.startswith("//")):
        table.wrong(name, f"{path!r} is not a normalised absolute path")
    elif _CONTROL.search(path):
        # Paths reach the builder one a line.
        table.wrong(name, f"{path!r} has a control character")
    return path


def _files_below(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


class _InstalledFiles:
    """Reads the files, copies, links and directories of a layer, and where apt finds packages in the image.

    The sources of files lie in `recipes/layers/<name>/`.
    """

    def __init__(self, root: Path, layer: str) -> None:
        self._folder = f"recipes/layers/{layer}"
        self._root = root
        self.inputs: list[tuple[str, Sha256]] = []

    def read(self, table: Table) -> tuple[InstalledFile, ...]:
        files: dict[str, InstalledFile] = {}
        for field in ("directories", "files", "copies", "links", "apt_sources"):
            for entry in table.tables(field):
                file = self._read_entry(entry, field)
                entry.finish()
                if file.path in files:
                    entry.wrong("path", f"{file.path} is installed twice")
                files[file.path] = file
        return tuple(file for _, file in sorted(files.items()))

    def _read_entry(self, entry: Table, field: str) -> InstalledFile:
        path = _absolute(entry, "path")
        uid, gid = entry.integer("uid", 0), entry.integer("gid", 0)
        if field == "links":
            return InstalledFile(path=path, link=entry.string("to"), mode=0o777, uid=uid, gid=gid)
        mode = self._mode(entry, "0755" if field == "directories" else "0644")
        if field == "copies":
            return InstalledFile(path=path, copy_of=_absolute(entry, "of"), mode=mode, uid=uid, gid=gid)
        if field == "apt_sources":
            example = _absolute(entry, "example")
            return InstalledFile(path=path, copy_of=example, apt_sources=True, mode=mode, uid=uid, gid=gid)
        if field == "directories":
            return InstalledFile(path=path, mode=mode, uid=uid, gid=gid)
        if entry.known("content"):
            content = entry.string("content", "")  # an empty file is one too
            check_placeholders(content, entry.at("content"), entry.problems)
            if entry.known("source"):
                entry.wrong("content", "cannot be combined with 'source'", hint="keep one of them")
            return InstalledFile(
                path=path, content=content, sha256=sha256_bytes(content.encode()), mode=mode, uid=uid, gid=gid
            )
        source, digest = self._source(entry)
        return InstalledFile(path=path, source=source, sha256=digest, mode=mode, uid=uid, gid=gid)

    def _source(self, entry: Table) -> tuple[Path | None, Sha256 | None]:
        name = entry.string("source")
        if not name:
            return None, None
        if name.startswith(("/", "..")) or posixpath.normpath(name) != name or _CONTROL.search(name):
            entry.wrong("source", f"{name!r} is not in {self._folder}/")
            return None, None
        file = f"{self._folder}/{name}"
        try:
            require_inside(self._root / file, self._root / self._folder)
            digest = sha256_bytes(read_regular(self._root / file, _LARGEST_SOURCE))
        except OSError as error:
            hint = name_hint(name, _files_below(self._root / self._folder), f"files in {self._folder}/")
            entry.wrong("source", f"{file} cannot be read: {error.strerror}", hint=hint)
            return None, None
        if (file, digest) not in self.inputs:
            self.inputs.append((file, digest))
        return (self._root / file).absolute(), digest

    def _mode(self, entry: Table, default: str) -> int:
        text = entry.string("mode", default)
        if not _MODE.match(text):
            entry.wrong("mode", f"{text!r} is not an octal mode", hint='write it as "0644" or "0755"')
            return 0
        return int(text, 8)
