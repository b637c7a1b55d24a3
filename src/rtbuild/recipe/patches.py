"""Reading patches: `recipes/patches/<id>.toml`, and the unified diff beside it, `<id>.patch`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from rtbuild.digest import Sha256, parse_sha256, sha256_bytes
from rtbuild.errors import RecipeError
from rtbuild.files import read_regular, require_inside
from rtbuild.formats.unified_diff import DiffError, FileDiff, read_diff
from rtbuild.recipe import names
from rtbuild.recipe.layers import input_digest
from rtbuild.recipe.model import Patch
from rtbuild.recipe.table import RECIPE_HELP, Problems, Table, parse_toml

PATCH_FOLDER = "recipes/patches"
PATCH_KINDS = ("backport", "product", "revert", "security")
VERSION_LABEL = "astro"
"""What follows the plus sign of a patched version, before the number of patches."""

_LARGEST_DIFF = 16 << 20
"""Bytes of a diff."""
_NO_SHA256 = Sha256("0" * 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchFile:
    """A patch, and (path, digest) pairs of its two files; paths are relative to the workspace."""

    patch: Patch
    inputs: tuple[tuple[str, Sha256], ...]


def read_patch(root: Path, id: str) -> PatchFile:
    """Read the patch `id` of the workspace at `root`.

    Raises:
        RecipeError: if a file is missing or malformed; it lists every problem of the file.
    """
    file = f"{PATCH_FOLDER}/{id}.toml"
    content = parse_toml(root / file, file, RecipeError, malformed=RECIPE_HELP)
    problems = Problems(file, RecipeError)
    table = Table(content, problems)
    title = table.string("title")
    kind = table.string("kind")
    if kind and kind not in PATCH_KINDS:
        table.wrong("kind", f"unknown kind {kind!r}", hint=f"known kinds: {', '.join(PATCH_KINDS)}")
    package = table.parsed("package", _package, "")
    version = table.parsed("version", _version, "0")
    upstream = table.optional("upstream")
    obsolete = table.parsed("obsolete", names.pep440_version, "0") if table.known("obsolete") else None
    sha256 = table.parsed("sha256", parse_sha256, _NO_SHA256)
    table.finish()
    if upstream is None and kind in PATCH_KINDS and kind != "product" and not table.has("upstream"):
        table.wrong("upstream", f"is missing: a {kind} must name the upstream change it is about")
    if obsolete is None and kind == "backport" and not table.has("obsolete"):
        table.wrong("obsolete", "is missing: a backport must name the upstream version that has it")
    if obsolete is not None and Version(obsolete) <= Version(version):
        table.wrong("obsolete", f"{obsolete} is not newer than {version}, which the patch applies to")
    problems.raise_if_any()
    diffs = _read_diffs(root, id, sha256)
    patch = Patch(
        id=id,
        title=title,
        kind=kind,
        package=package,
        version=version,
        upstream=upstream,
        obsolete=obsolete,
        sha256=sha256,
        diffs=diffs,
    )
    inputs = ((file, input_digest(content)), (f"{PATCH_FOLDER}/{id}.patch", sha256))
    return PatchFile(patch=patch, inputs=inputs)


def patched_version(version: str, count: int) -> str:
    """Return the version of a package at `version` with `count` patches, such as `0.23.0+astro.1`.

    A local version (PEP 440) satisfies the specifiers that it satisfies without its local part, `==` included.
    """
    return f"{version}+{VERSION_LABEL}.{count}" if count else version


def _read_diffs(root: Path, id: str, sha256: Sha256) -> tuple[FileDiff, ...]:
    file = f"{PATCH_FOLDER}/{id}.patch"
    try:
        require_inside(root / file, root / PATCH_FOLDER)
        content = read_regular(root / file, _LARGEST_DIFF)
    except FileNotFoundError:
        raise RecipeError(f"{file}: no such file", hint=f"add the diff beside {PATCH_FOLDER}/{id}.toml") from None
    except OSError as error:
        raise RecipeError(f"{file}: cannot be read: {error.strerror}", hint="check the file's permissions") from error
    found = sha256_bytes(content)
    if found != sha256:
        hint = f'if the change is intended, set sha256 = "{found}" in {PATCH_FOLDER}/{id}.toml'
        raise RecipeError(f"{file}: does not match the sha256 in {PATCH_FOLDER}/{id}.toml", hint=hint)
    try:
        diffs = read_diff(content)
    except DiffError as error:
        hint = "write it as a unified diff, with `git diff` or `diff -u`"
        raise RecipeError(f"{file}: line {error.line}: {error}", hint=hint) from None
    for diff in diffs:
        if diff.path.partition("/")[0].endswith(".dist-info"):
            # The lock was resolved with the name, version and requirements in it, and the build rewrites the rest.
            raise RecipeError(
                f"{file}: line {diff.line}: {diff.path} is metadata, which a patch cannot change",
                hint="remove it from the diff",
            )
    return diffs


def _package(text: str) -> str:
    name = names.requirement(text).name
    if names.normalized(name) != text:
        raise ValueError(f"not a normalised name, expected {names.normalized(name)!r}")
    return text


def _version(text: str) -> str:
    version = Version(names.pep440_version(text))
    if version.local is not None:
        raise ValueError("a version with a local part is indistinguishable from a patched one")
    return str(version)
