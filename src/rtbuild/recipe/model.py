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
    """A suite of a Debian archive.

    Attributes:
        archive: The archive's name (`debian`, `debian-security`), not a URL.
        suite: The suite (`bullseye`).
        components: The components to use.
        architectures: The Debian architectures that the suite is used for.
        check_valid_until: Whether to refuse an InRelease file past its Valid-Until. Suites without further updates
            need False.
        snapshot: The moment of a dated archive to use (`20230501T000000Z`).
    """

    archive: str
    suite: str
    components: tuple[str, ...] = ("main",)
    architectures: tuple[str, ...] = ("amd64", "arm64")
    check_valid_until: bool = True
    snapshot: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledFile:
    """A file, symbolic link or directory that a layer installs.

    It is a file if it has `source`, `content` or `copy_of`, a symbolic link if it has `link`, otherwise a directory.

    Attributes:
        path: The absolute path in the image.
        source: The absolute path of the file that the recipe names.
        content: The text that the recipe itself holds, with the release's fields filled in.
        sha256: The digest of the `source` or `content`.
        link: The target of the symbolic link.
        copy_of: The absolute path of a file in the image. It is copied once the layer's packages are installed, so that
            a recipe can enable a file that a package ships as an example, without repeating it.
        apt_sources: Whether only the address is copied from `copy_of`, an example of apt's sources: the file lists the
            layer's own suites there.
        mode: The permission bits.
        uid: The owner's user ID.
        gid: The owner's group ID.
    """

    path: str
    source: Path | None = None
    content: str | None = None
    sha256: Sha256 | None = None
    link: str | None = None
    copy_of: str | None = None
    apt_sources: bool = False
    mode: int = 0o644
    uid: int = 0
    gid: int = 0

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return (self.source, self.content, self.link, self.copy_of) == (None, None, None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What a layer leaves out, and why.

    Attributes:
        pattern: A pattern (`fnmatch`) of absolute paths; a directory is removed with its content.
        reason: Why; for people.
    """

    pattern: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group that a Debian layer creates, before its accounts."""

    name: str
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An account that a Debian layer creates, without a password and a last-change day.

    `gid` is its primary group, `groups` are the names of others that it is a member of.
    """

    name: str
    uid: int
    gid: int
    home: str
    shell: str = "/bin/bash"
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianLayer:
    """A layer of Debian packages, which dpkg installs.

    Attributes:
        name: The layer.
        title: What the layer is; for people.
        parent: The Debian layer below; None for one that starts from nothing.
        suites: The suites that its packages come from.
        packages: The packages to install, each as `name` or `name=version`.
        groups: The groups to create.
        users: The accounts to create.
        files: The files to install.
        removals: What to leave out.
    """

    name: str
    title: str
    parent: str | None
    suites: tuple[Suite, ...]
    packages: tuple[str, ...]
    groups: tuple[Group, ...] = ()
    users: tuple[User, ...] = ()
    files: tuple[InstalledFile, ...] = ()
    removals: tuple[Removal, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFile:
    """A file of a local package; `path` is relative to the package's folder.

    The content is held, not only its digest, so that what is built is what was read, even if the file changes later.
    """

    path: str
    content: bytes = field(repr=False)
    sha256: Sha256
    executable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPackage:
    """A Python package whose source lies in the recipes: what its pyproject.toml says, and the files it is built from.

    Attributes:
        name: The package, normalised.
        version: Its version, normalised.
        folder: The folder of its source, relative to the workspace, with slashes.
        requires_python: The Python versions that it runs on; None for all.
        dependencies: Its requirements, in the order of the file.
        extras: (normalised name, requirements) pairs, in the order of the file.
        build_requires: What it is built with (PEP 518), in the order of the file.
        files: The files that it is built from, sorted by path.
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
    """A change to the wheel of one version of a Python package.

    Attributes:
        id: The patch's ID, which is the name of its files.
        title: What it changes; for people.
        kind: `backport` (upstream has it in a later version), `product` (only these images need it), `revert` (undoes a
            change of upstream) or `security`.
        package: The package, normalised.
        version: The version of the package that it applies to.
        upstream: The change of upstream that it is about.
        obsolete: The first version that no longer needs it.
        sha256: The digest of the file that `diffs` were read from.
        diffs: The changes, file by file.
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
        """Return why the patch does not apply to `version` of its package, and a hint; None if it applies."""
        if Version(version) == Version(self.version):
            return None
        problem = f"is for {self.package} {self.version}, but the release has {version}"
        if self.obsolete is not None and Version(version) >= Version(self.obsolete):
            return problem, f"remove it from the release's patches: {self.package} {self.obsolete} no longer needs it"
        return problem, "make another patch for that version, or remove this one from the release's patches"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataRepair:
    """How to read one requirement in the metadata of one file, where today's parser refuses it or it is wrong.

    Attributes:
        file: The name of the wheel or sdist.
        requirement: The requirement as its metadata spells it (`pytz (>dev)`).
        replacement: The requirement to read instead; None for none.
        reason: Why; for people.
    """

    file: str
    requirement: str
    replacement: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonLayer:
    """A layer of Python packages.

    One layer of a release has no roots and holds the rest: every package that no other layer holds. A layer below it
    holds the closure of its roots, except what a lower layer holds. A layer above it holds its roots and what only they
    need.

    Attributes:
        name: The layer.
        title: What the layer is; for people.
        roots: The requirements that decide which packages it holds; empty for the layer that holds the rest.
        packages: The local packages, which are among the roots.
        files: The files to install.
        removals: What to leave out.
        preferred: (path, package) pairs: the package whose file is installed, for a path that several packages have
            with different content.
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
    """A layer of the recipe's own files. Building it fetches nothing and runs nothing.

    It names every folder that it adds; folders of the layers below keep their owners and modes.
    """

    name: str
    title: str
    files: tuple[InstalledFile, ...]


Layer = DebianLayer | PythonLayer | FilesLayer


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSettings:
    """The image's config, which its containers start with (OCI image specification, `config`)."""

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
    """How long a release is supported: its `status` (`stable`, `lts`, `yanked`) and its last month (`2023-11`)."""

    status: str
    until: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A version of the runtime, and everything that its recipes say.

    Attributes:
        version: The release's version (`8.0.0`).
        airflow: Airflow's version; None if the image is not one of Airflow.
        python_series: The Python series (`3.9`); its patch version comes from a Debian package. None if there are no
            Python packages.
        os: The operating system's name, for people.
        released: The day of the release (`2023-04-30`); None if the recipe does not say.
        as_of: The moment at which the Python index is cut off: only files uploaded before it count.
        platforms: The platforms that have an image.
        support: How long the release is supported; None if the recipe does not say.
        layers: The image's layers, bottom first.
        image: The image's config.
        requirements: The direct Python requirements (PEP 508): Airflow with its extras first if there is one, local
            packages with their versions among them.
        constraints: The constraints on Python packages that nothing requires directly.
        build_constraints: The constraints on packages that sdists are built with.
        inputs: (path, digest) pairs of all recipe files; paths are relative to the workspace.
        patches: The patches to apply, in order.
        metadata: How to read the metadata of some Python packages.
    """

    version: str
    airflow: str | None
    python_series: str | None
    os: str
    released: str | None
    as_of: datetime
    platforms: tuple[Platform, ...]
    support: Support | None
    layers: tuple[Layer, ...]
    image: ImageSettings
    requirements: tuple[str, ...]
    constraints: tuple[str, ...]
    build_constraints: tuple[str, ...]
    inputs: tuple[tuple[str, Sha256], ...]
    patches: tuple[Patch, ...] = ()
    metadata: tuple[MetadataRepair, ...] = ()

    def require_platform(self, platform: Platform) -> None:
        """Check that the release has an image for `platform`.

        Raises:
            RecipeError: if it does not.
        """
        if platform not in self.platforms:
            hint = f"its platforms are: {', '.join(map(str, self.platforms))}"
            raise RecipeError(f"release {self.version} has no image for {platform}", hint=hint)

    def require_python(self) -> str:
        """Return the Python series.

        Raises:
            RecipeError: if the release has none.
        """
        if self.python_series is None:
            hint = 'write it as python = "3.13"'
            raise RecipeError(f"recipes/releases/{self.version}.toml: python: is missing, expected a string", hint=hint)
        return self.python_series

    @property
    def debian_layers(self) -> tuple[DebianLayer, ...]:
        """The Debian layers, bottom first."""
        return tuple(layer for layer in self.layers if isinstance(layer, DebianLayer))

    @property
    def suites(self) -> tuple[Suite, ...]:
        """The suites that the Debian packages come from, those of the lowest layer first."""
        return tuple(dict.fromkeys(suite for layer in self.debian_layers for suite in layer.suites))

    @property
    def python_layers(self) -> tuple[PythonLayer, ...]:
        """The Python layers, bottom first."""
        return tuple(layer for layer in self.layers if isinstance(layer, PythonLayer))

    @property
    def packages(self) -> tuple[LocalPackage, ...]:
        """The local packages, by layer, bottom first."""
        return tuple(package for layer in self.python_layers for package in layer.packages)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRecipe:
    """A private engine: Debian packages that are unpacked into one folder, without their dependencies.

    Attributes:
        name: The engine.
        title: What the engine is; for people.
        packages: (package, suite) pairs; each suite is one of `suites`.
        suites: The suites that the packages come from.
        inputs: (path, digest) pairs of its recipe files; paths are relative to the workspace.
    """

    name: str
    title: str
    packages: tuple[tuple[str, str], ...]
    suites: tuple[Suite, ...]
    inputs: tuple[tuple[str, Sha256], ...]
