"""What lockfiles say, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from rtbuild.digest import DiffId, Digest, Key, Sha256
from rtbuild.platform import Platform

FORMAT_VERSION = 2
"""The version of the lock format that this rtbuild writes. It reads this one and those before."""

FORMAT_WITHOUT_ORIGINS = 1
"""The version of the lock format that records neither suites nor source packages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """An immutable input file.

    Attributes:
        filename: The file's name.
        path: Where it is, relative to the root of any mirror that has it.
        size: Its size in bytes.
        sha256: Its digest.
    """

    filename: str
    path: str
    size: int
    sha256: Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedSuite:
    """The state of a Debian suite that packages were chosen from.

    Attributes:
        archive: The archive's name (`debian`).
        suite: The suite (`bullseye`).
        snapshot: The moment of the dated archive that served it (`20230501T000000Z`); None for an ordinary mirror.
        date: When the archive made its InRelease.
        valid_until: The moment after which its InRelease is too old to trust; None if the archive names none.
        sha256: The digest of its InRelease, whose signature was verified.
    """

    archive: str
    suite: str
    snapshot: str | None = None
    date: datetime
    valid_until: datetime | None = None
    sha256: Sha256

    def overdue(self, now: datetime) -> timedelta | None:
        """Return how long ago the suite was to be trusted for the last time; None if it still is, or has no limit."""
        return now - self.valid_until if self.valid_until is not None and self.valid_until < now else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DebArtifact(Artifact):
    """A locked Debian package.

    Attributes:
        name: The package.
        version: Its Debian version.
        architecture: Its Debian architecture; `all` if it fits every one.
        archive: The archive it comes from (`debian`).
        suite: The suite it comes from (`bullseye`).
        built: The time in its ar header, in seconds since 1970.
        layer: The recipe layer that installs it.
        essential: Whether it is marked `Essential: yes`.
        depends: The locked packages that its Pre-Depends and Depends were satisfied by.
        source: The source package that it was built from; empty if that has the same name (Debian Policy 5.6.1).
        source_version: The version of the source package; empty if it is the same.
    """

    name: str
    version: str
    architecture: str
    archive: str
    suite: str
    built: int
    layer: str
    essential: bool = False
    depends: tuple[str, ...] = ()
    source: str = ""
    source_version: str = ""

    @property
    def source_package(self) -> tuple[str, str]:
        """The name and version of the source package that it was built from, if the lock has format 2 or newer."""
        return self.source or self.name, self.source_version or self.version


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedPatch:
    """A patch of a locked package: its ID, and the digest of its diff."""

    id: str
    sha256: Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonArtifact(Artifact):
    """A locked Python package: a wheel, or an sdist if there is no wheel for the target.

    A local package is an sdist that no mirror has: it is made from the source in the folder `path` of the workspace.

    Attributes:
        name: The package, normalised.
        version: Its version. With patches, the version that results (`0.23.0+astro.1`); everything else, and
            `published`, is still about the file that the index has.
        uploaded: When the index got the file; for a local package, the date of its files.
        layer: The recipe layer that installs it.
        requires: The names of the locked packages that it needs.
        local: Whether its source lies in the recipes.
        patches: The patches that the build applies to its wheel, in order.
    """

    name: str
    version: str
    uploaded: datetime
    layer: str
    requires: tuple[str, ...] = ()
    local: bool = False
    patches: tuple[LockedPatch, ...] = ()

    @property
    def published(self) -> str:
        """The version of the file, without what patches add to it."""
        return self.version.partition("+")[0] if self.patches else self.version

    @property
    def is_wheel(self) -> bool:
        """False for an sdist, which rtbuild builds a wheel from first."""
        return self.filename.endswith(".whl")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerResult:
    """What building a layer must give.

    Attributes:
        name: The layer.
        key: The key of its derivation.
        diff_id: The digest of its uncompressed tar.
        size: The size of its uncompressed tar, in bytes.
    """

    name: str
    key: Key
    diff_id: DiffId
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResult:
    """What assembling an image must give.

    Attributes:
        id: The config digest, which a Docker with the classic image store calls the image ID.
        manifest: The digest of the manifest, which depends on the compressor too.
        compressor: The program that compressed the layers, with its version and settings.
    """

    id: Digest
    manifest: Digest
    compressor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """Every artifact of one release for one platform, and the digests that the build must produce.

    Attributes:
        release: The release's version (`8.0.0`).
        platform: The target platform.
        python_version: The full version of the target's Python (`3.9.2`); None if there are no Python packages.
        as_of: The moment at which the Python index was cut off.
        source_date_epoch: The time of the newest artifact, in seconds since 1970.
        inputs: (name, digest) pairs of the recipe files and of what the resolvers were asked.
        debs: The Debian packages.
        pythons: The Python packages.
        build_pythons: What the sdists are built with. Their `layer` is the name of the sdist's package, or empty if
            all sdists share them.
        layers: What building each layer must give, bottom first; empty if no build was recorded.
        image: The release's image; None if no build was recorded.
        image_base: The image without ONBUILD triggers; None if the release has none.
        suites: The state of each Debian suite that `debs` were chosen from; empty in a lock of format 1.
        version: The version of the lock format.
    """

    release: str
    platform: Platform
    python_version: str | None
    as_of: datetime
    source_date_epoch: int
    inputs: tuple[tuple[str, Sha256], ...]
    debs: tuple[DebArtifact, ...]
    pythons: tuple[PythonArtifact, ...]
    build_pythons: tuple[PythonArtifact, ...]
    layers: tuple[LayerResult, ...] = ()
    image: ImageResult | None = None
    image_base: ImageResult | None = None
    suites: tuple[LockedSuite, ...] = ()
    version: int = FORMAT_VERSION

    @property
    def remote(self) -> tuple[Artifact, ...]:
        """Every artifact that mirrors serve: all but the local packages."""
        return (*self.debs, *(python for python in self.pythons if not python.local), *self.build_pythons)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLock:
    """Every package of one private engine on one platform.

    Attributes:
        engine: The engine's name.
        platform: The platform it runs on.
        inputs: (name, digest) pairs of the recipe files.
        debs: The Debian packages that hold its programs.
        suites: The state of each Debian suite that `debs` were chosen from; empty in a lock of format 1.
        version: The version of the lock format.
    """

    engine: str
    platform: Platform
    inputs: tuple[tuple[str, Sha256], ...]
    debs: tuple[DebArtifact, ...] = ()
    suites: tuple[LockedSuite, ...] = ()
    version: int = FORMAT_VERSION
