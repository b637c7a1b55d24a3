"""Reading `recipes/patches/<id>.toml` and the unified diff beside it, `<id>.patch`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from rtbuild.digest import Sha256, parse_sha256, sha256_bytes
from rtbuild.errors import RecipeError
from rtbuild.formats.unified_diff import DiffError, FileDiff, read_diff
from rtbuild.recipe import names
from rtbuild.recipe.layers import input_digest
from rtbuild.recipe.model import Patch
from rtbuild.recipe.table import RECIPE_HELP, Problems, Table, parse_toml

FOLDER = "recipes/patches"
KINDS = ("backport", "product", "revert", "security")
LABEL = "astro"
"""What a patched version has after its plus sign, with the number of patches."""

_NO_SHA256 = Sha256("0" * 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchFile:
    """A patch, and the digests of its two files by their path relative to the workspace."""

    patch: Patch
    inputs: tuple[tuple[str, Sha256], ...]


def read_patch(root: Path, id: str) -> PatchFile:
    """Read the patch `id` of the workspace at `root`; raises `RecipeError` with every problem of a file."""
    file = f"{FOLDER}/{id}.toml"
    content = parse_toml(root / file, file, RecipeError, mend=RECIPE_HELP)
    problems = Problems(file, RecipeError)
    table = Table(content, problems)
    title = table.string("title")
    kind = table.string("kind")
    if kind and kind not in KINDS:
        table.wrong("kind", f"unknown kind {kind!r}", hint=f"one of {', '.join(KINDS)}")
    package = table.parsed("package", _package, "")
    version = table.parsed("version", _version, "0")
    upstream = table.optional("upstream")
    obsolete = table.parsed("obsolete", names.python_version, "0") if table.known("obsolete") else None
    sha256 = table.parsed("sha256", parse_sha256, _NO_SHA256)
    table.finish()
    if upstream is None and kind in KINDS and kind != "product" and not table.has("upstream"):
        table.wrong("upstream", f"is missing: a {kind} says which change of upstream it is about")
    if obsolete is None and kind == "backport" and not table.has("obsolete"):
        table.wrong("obsolete", "is missing: a backport says which version of upstream has it")
    if obsolete is not None and Version(obsolete) <= Version(version):
        table.wrong("obsolete", f"{obsolete} is not after {version}, which the patch is for")
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
    inputs = ((file, input_digest(content)), (f"{FOLDER}/{id}.patch", sha256))
    return PatchFile(patch=patch, inputs=inputs)


def patched_version(version: str, count: int) -> str:
    """The version of a package of `version` with `count` patches: `0.23.0+astro.1`.

    A local version (PEP 440) satisfies whatever asks for the version that it is made from, `==` included.
    """
    return f"{version}+{LABEL}.{count}" if count else version


def _read_diffs(root: Path, id: str, sha256: Sha256) -> tuple[FileDiff, ...]:
    file = f"{FOLDER}/{id}.patch"
    try:
        content = (root / file).read_bytes()
    except FileNotFoundError:
        raise RecipeError(f"{file}: there is no such file", hint=f"{FOLDER}/{id}.toml stands for it") from None
    except OSError as error:
        raise RecipeError(f"{file}: cannot be read: {error.strerror}", hint="may you read the file?") from error
    found = sha256_bytes(content)
    if found != sha256:
        hint = f'if that is meant, write sha256 = "{found}" into {FOLDER}/{id}.toml'
        raise RecipeError(f"{file}: is not what its record says: its sha256 is {found}", hint=hint)
    try:
        diffs = read_diff(content)
    except DiffError as error:
        hint = "it has to be a unified diff, as `git diff` or `diff -u` write it"
        raise RecipeError(f"{file}: line {error.line}: {error}", hint=hint) from None
    for one in diffs:
        if one.path.partition("/")[0].endswith(".dist-info"):
            # Name, version and requirements are what the lock was resolved with; the rest of it is written anew.
            raise RecipeError(
                f"{file}: line {one.line}: {one.path} is no file that a patch may change",
                hint="what a package says of itself is what its lock was made with",
            )
    return diffs


def _package(text: str) -> str:
    name = names.requirement(text).name
    if names.normalized(name) != text:
        raise ValueError(f"not a normalised name, {names.normalized(name)!r} is expected")
    return text


def _version(text: str) -> str:
    version = Version(names.python_version(text))
    if version.local is not None:
        raise ValueError("a version with a local part cannot be told from a patched one")
    return str(version)
