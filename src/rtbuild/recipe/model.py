"""What recipes say, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from packaging.version import Version

from rtbuild.digest import Sha256
from rtbuild.errors import RecipeError
from rtbuild.formats.unified_diff import FileDiff
from rtbuild.platform import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One suite of a Debian archive. `archive` is a plain name (`debian`, `debian-security`), never an address.

    `snapshot` (`20230501T000000Z`) asks for a moment of a dated archive. `check_valid_until = false` accepts an
    InRelease past its Valid-Until, as suites that get no more updates have.
    """

    archive: str
    suite: str
    components: tuple[str, ...] = ("main",)
    architectures: tuple[str, ...] = ("amd64", "arm64")
    check_valid_until: bool = True
    snapshot: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledFile:
    """A file (or, with `link`, a symbolic link; or, with neither, a directory) that a layer installs.

    `source` is the absolute path of the file the recipe names, or `content` the text that the recipe itself holds, with
    the release's fields filled in; `sha256` is of its bytes. `copy_of` is instead the absolute path of a file in the
    image: its content is copied once the layer's packages are installed, so that a file which a package ships only as
    an example can be put in force without repeating it in a recipe.
    """

    path: str
    source: Path | None = None
    content: str | None = None
    sha256: Sha256 | None = None
    link: str | None = None
    copy_of: str | None = None
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What a layer leaves out, and why: a pattern (`fnmatch`) of absolute paths; a directory goes with its content."""

    pattern: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An account that a Debian layer creates (no password, no last-change day)."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str = "/bin/bash"


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianLayer:
    """A layer of Debian packages: dpkg runs in it. `parent` None starts from nothing."""

    name: str
    title: str
    parent: str | None
    suites: tuple[Suite, ...]
    packages: tuple[str, ...]
    users: tuple[User, ...] = ()
    files: tuple[InstalledFile, ...] = ()
    removals: tuple[Removal, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFile:
    """A file of a local package; `path` is relative to the package's folder.

    Its content is held, not only its digest: what is built is then what was read, and not what lies there later.
    """

    path: str
    content: bytes = field(repr=False)
    sha256: Sha256
    executable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPackage:
    """A Python package whose source lies in the recipes: what its pyproject.toml says, and the files that count.

    `name` is normalised, `folder` relative to the workspace, with slashes. `extras` are (normalised name, requirements)
    pairs, `build_requires` what building it needs (PEP 518), all in the order in which the file has them.
    """

    name: str
    version: str
    folder: str
    requires_python: str | None
    dependencies: tuple[str, ...]
    extras: tuple[tuple[str, tuple[str, ...]], ...]
    build_requires: tuple[str, ...]
    files: tuple[PackageFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A change to the wheel of a Python package, ahead of upstream or apart from it.

    `kind` is `backport` (upstream has it in a later version), `product` (these images alone need it), `revert` (takes
    back what upstream did) or `security`; `upstream` names the change there. It fits the one `version` of `package`,
    whose name is normalised. `obsolete` is the first version that needs it no more. `sha256` is of the file that
    `diffs` were read from.
    """

    id: str
    title: str
    kind: str
    package: str
    version: str
    upstream: str | None
    obsolete: str | None
    sha256: Sha256
    diffs: tuple[FileDiff, ...] = field(repr=False)

    def misfit(self, version: str) -> tuple[str, str] | None:
        """Why the patch is not for `version` of its package, and what to do; None where it is."""
        if Version(version) == Version(self.version):
            return None
        text = f"is for {self.package} {self.version}, and the release has {version}"
        if self.obsolete is not None and Version(version) >= Version(self.obsolete):
            return text, f"{self.package} needs it no more since {self.obsolete}: remove it from the release's patches"
        return text, "make another patch for that version, or remove this one from the release's patches"


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonLayer:
    """A layer of wheels. `roots` are the requirements whose closure it holds; empty `roots` means all the rest.

    A layer below the one that holds the rest has the whole closure of its roots, but for what a lower layer has. One
    above it has its roots and what nothing but them needs. `packages` are made from source in the recipes; they are
    among the roots. `preferred` names, for a path that several wheels install with different content, the package that
    wins.
    """

    name: str
    title: str
    roots: tuple[str, ...]
    packages: tuple[LocalPackage, ...] = ()
    files: tuple[InstalledFile, ...] = ()
    removals: tuple[Removal, ...] = ()
    preferred: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesLayer:
    """A layer of the recipe's own files: nothing is fetched and nothing runs to make it.

    It names every folder that it brings; folders of the layers below it keep what those say of them.
    """

    name: str
    title: str
    files: tuple[InstalledFile, ...]


Layer = DebianLayer | PythonLayer | FilesLayer


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSettings:
    """The image's config: what a container of it starts with (OCI image specification, `config`)."""

    env: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    user: str = ""
    working_dir: str = ""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    shell: tuple[str, ...] = ()
    on_build: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """A release's life: `status` (`stable`, `lts`, `yanked`) and its last supported month (`2023-11`)."""

    status: str
    until: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One runtime version and everything that its recipes say.

    `requirements` are the direct Python requirements (PEP 508), Airflow with its extras first, local packages with
    their versions among them; `constraints` bind packages that nothing asks for directly; `build_constraints` do so for
    what building sdists needs.
    `as_of` cuts the Python index at a moment (files uploaded before it count). `patches` are applied in their order.
    `inputs` are the digests of what each recipe file says, by its path relative to the workspace.
    """

    version: str
    airflow: str
    python_series: str
    os: str
    released: str
    as_of: datetime
    platforms: tuple[Platform, ...]
    support: Support
    layers: tuple[Layer, ...]
    image: ImageSettings
    requirements: tuple[str, ...]
    constraints: tuple[str, ...]
    build_constraints: tuple[str, ...]
    inputs: tuple[tuple[str, Sha256], ...]
    patches: tuple[Patch, ...] = ()

    def require_platform(self, platform: Platform) -> None:
        """Raise `RecipeError` where the release has no image for `platform`."""
        if platform not in self.platforms:
            known = ", ".join(str(one) for one in self.platforms)
            hint = f"{self.version} is made for {known}"
            raise RecipeError(f"release {self.version} has no image for {platform}", hint=hint)

    @property
    def debian_layers(self) -> tuple[DebianLayer, ...]:
        """The layers of Debian packages, bottom first."""
        return tuple(layer for layer in self.layers if isinstance(layer, DebianLayer))

    @property
    def suites(self) -> tuple[Suite, ...]:
        """The suites that its Debian packages come from, the lowest layer's first."""
        return tuple(dict.fromkeys(suite for layer in self.debian_layers for suite in layer.suites))

    @property
    def python_layers(self) -> tuple[PythonLayer, ...]:
        """The layers of wheels, bottom first."""
        return tuple(layer for layer in self.layers if isinstance(layer, PythonLayer))

    @property
    def packages(self) -> tuple[LocalPackage, ...]:
        """The packages whose source lies in the recipes, by layer, bottom first."""
        return tuple(package for layer in self.python_layers for package in layer.packages)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRecipe:
    """A private engine: Debian packages that are unpacked side by side, without their dependencies."""

    name: str
    title: str
    packages: tuple[tuple[str, str], ...]
    """(package, suite) pairs; the suite is one of `suites`."""
    suites: tuple[Suite, ...]
    inputs: tuple[tuple[str, Sha256], ...]
