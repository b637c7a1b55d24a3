"""The folders above the members of a layer, which every layer repeats with the attributes that they have below it.

A folder that a layer leaves out is made anew, owned by root, by Docker's classic store and by podman. Python layers and
layers of files are made without the layers below them, so their folders follow a rule: as the recipes of the release
declare them, else as base-files makes them, else mode 0755 and owner root. That the rule holds is checked when the
layers become an image (`layers.stack`).
"""

from __future__ import annotations

from collections.abc import Mapping

from rtbuild.recipe.model import Layer, Release

Attributes = tuple[int, int, int]
"""Mode, owner and group of a folder."""

PLAIN: Attributes = (0o755, 0, 0)

_BASE_FILES: Mapping[str, Attributes] = {
    "root": (0o700, 0, 0),
    "run/lock": (0o1777, 0, 0),
    "tmp": (0o1777, 0, 0),
    "var/local": (0o2775, 0, 50),
    "var/mail": (0o2775, 0, 8),
    "var/tmp": (0o1777, 0, 0),
}
"""The folders of the package base-files that are not plain."""


def known_folders(release: Release, layer: Layer) -> dict[str, Attributes]:
    """Return the folders that are not plain in `layer` or below it, by path without the leading slash."""
    folders = dict(_BASE_FILES)
    for lower in release.layers:
        for file in lower.files:
            if file.is_folder:
                folders[file.path.lstrip("/")] = (file.mode, file.uid, file.gid)
        if lower.name == layer.name:
            break
    return {path: attributes for path, attributes in folders.items() if attributes != PLAIN}
