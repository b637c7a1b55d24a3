"""The sizes of an image, its layers, packages and files. All are in bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Kind = Literal["debian", "python", "none"]
"""The kind of a package; `none` for files that belong to no package."""


class FileSize(NamedTuple):
    """A regular file: its path without the leading slash and the size of its content.

    A tuple, because an image has 60,000 of them.
    """

    path: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageSize:
    """The files of one package in one layer.

    A file that scripts or a later layer changed counts for the package that owns its path, a compiled Python module for
    the package of its source.

    Attributes:
        name: The name of the package; empty for files that belong to no package.
        version: The version; empty if the layer does not say it.
        kind: The kind of the package.
        size: The size of the files.
        compiled: The part of `size` that is compiled Python.
        files: The files, largest first.
    """

    name: str
    version: str
    kind: Kind
    size: int
    compiled: int
    files: tuple[FileSize, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSize:
    """A layer.

    Attributes:
        name: The name of the layer.
        size: The size of its files' contents.
        archive: The size of its tar, which is what engines report.
        compressed: The size of its blob, which is what a registry stores and a pull transfers.
        packages: Its packages, largest first.
    """

    name: str
    size: int
    archive: int
    compressed: int
    packages: tuple[PackageSize, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSize:
    """An image.

    Attributes:
        release: The version of the release.
        platform: The platform, such as `linux/amd64`.
        layers: The layers, bottom first.
    """

    release: str
    platform: str
    layers: tuple[LayerSize, ...]

    @property
    def size(self) -> int:
        """The size of the files' contents in all layers, including files that a higher layer hides."""
        return sum(layer.size for layer in self.layers)

    @property
    def archive(self) -> int:
        """The size of all tars."""
        return sum(layer.archive for layer in self.layers)

    @property
    def compressed(self) -> int:
        """The size of all blobs, which is what the first pull transfers."""
        return sum(layer.compressed for layer in self.layers)
