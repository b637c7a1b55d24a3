"""The sizes of an image, as values. All are bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Kind = Literal["debian", "python", "none"]


class FileSize(NamedTuple):
    """A regular file: its path without the first slash, and the bytes of its content. An image has 60,000 of them."""

    path: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageSize:
    """What one layer holds of one package, largest file first. Of kind `none` is what belongs to no package.

    A file that a package's scripts or a later layer wrote over counts for the package that brought its path. What
    Python compiled counts for the source's package; `compiled` says how much of `size` that is.
    """

    name: str
    version: str
    kind: Kind
    size: int
    compiled: int
    files: tuple[FileSize, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSize:
    """One layer, its packages largest first. `size` is that of its files' contents; `archive` adds the tar around them,
    as an engine counts a layer; `compressed` is what a registry keeps and a pull carries."""

    name: str
    size: int
    archive: int
    compressed: int
    packages: tuple[PackageSize, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSize:
    """An image, its layers bottom first."""

    release: str
    platform: str
    layers: tuple[LayerSize, ...]

    @property
    def size(self) -> int:
        """The contents of all files of all layers, also of those that a higher layer hides."""
        return sum(layer.size for layer in self.layers)

    @property
    def archive(self) -> int:
        """The layers' tars."""
        return sum(layer.archive for layer in self.layers)

    @property
    def compressed(self) -> int:
        """The layers' blobs: what a first pull carries."""
        return sum(layer.compressed for layer in self.layers)
