"""What a lock says, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from rtbuild.digest import DiffId, Digest, Key, Sha256
from rtbuild.platform import Platform

VERSION = 1
"""The lock format that this rtbuild reads and writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One immutable input file. `path` is its place below whatever mirror serves it; `size` is in bytes."""

    filename: str
    path: str
    size: int
    sha256: Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class DebArtifact(Artifact):
    """A .deb. `built` is the time in its ar header (seconds since 1970), `depends` names the locked packages that its
    Pre-Depends and Depends were satisfied by, `layer` the recipe layer that installs it."""

    name: str
    version: str
    architecture: str
    archive: str
    suite: str
    built: int
    layer: str
    essential: bool = False
    depends: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedPatch:
    """A patch of a locked package: its id, and the digest of its diff."""

    id: str
    sha256: Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonArtifact(Artifact):
    """A wheel, or an sdist where the target has no wheel. `requires` are the names of locked packages that it needs,
    `uploaded` is when the index got it.

    A `local` one is an sdist that no mirror has: it is made from the source in the folder `path` of the workspace, and
    `uploaded` is the date of its files.

    `patches` are applied to its wheel in the build, in their order. `version` is then the one that comes out
    (`0.23.0+astro.1`), and everything else is still of the file that the index has, of version `published`.
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
        """The version of the file, without what patches add."""
        return self.version.partition("+")[0] if self.patches else self.version

    @property
    def is_wheel(self) -> bool:
        """False for an sdist, which rtbuild turns into a wheel first."""
        return self.filename.endswith(".whl")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerResult:
    """What building a layer must give. `size` is the uncompressed tar's, in bytes."""

    name: str
    key: Key
    diff_id: DiffId
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResult:
    """What composing an image must give. `compressor` names the program behind the manifest digest."""

    id: Digest
    manifest: Digest
    compressor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """Every artifact of one (release, platform), and the digests the build must produce."""

    release: str
    platform: Platform
    python_version: str
    """The full version of the target's Python (`3.9.2`)."""
    as_of: datetime
    source_date_epoch: int
    inputs: tuple[tuple[str, Sha256], ...]
    debs: tuple[DebArtifact, ...]
    pythons: tuple[PythonArtifact, ...]
    build_pythons: tuple[PythonArtifact, ...]
    """What building the sdists needs; `layer` is the name of the sdist's package, or empty where all share it."""
    layers: tuple[LayerResult, ...] = ()
    image: ImageResult | None = None
    image_base: ImageResult | None = None
    version: int = VERSION

    @property
    def remote(self) -> tuple[Artifact, ...]:
        """Every artifact that mirrors serve: all but the packages whose source lies in the recipes."""
        return (*self.debs, *(one for one in self.pythons if not one.local), *self.build_pythons)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLock:
    """Every package of one private engine on one platform."""

    engine: str
    platform: Platform
    inputs: tuple[tuple[str, Sha256], ...]
    debs: tuple[DebArtifact, ...] = field(default=())
    version: int = VERSION
