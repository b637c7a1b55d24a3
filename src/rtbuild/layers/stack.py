"""Check that the layers of an image fit on one another.

Python layers and layers of files are made without the layers below them. Their folders follow a rule (see
`derivations.folders`), and a path of theirs may lead through what is a symbolic link below: the image would then have a
folder in place of the link. Both are found here, when all layers are there.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from rtbuild.errors import BuildError
from rtbuild.oci.folders import LayerFolders
from rtbuild.recipe.model import DebianLayer, Layer


def check_stack(layers: Sequence[tuple[Layer, LayerFolders]]) -> None:
    """Check layers, bottom first.

    Raises:
        BuildError: if a layer that was made without the ones below would replace a symbolic link of theirs with a
            folder, a folder with a symbolic link, or give a folder other attributes that no recipe asks for.
    """
    folders: dict[str, tuple[str, tuple[int, int, int]]] = {}
    links: dict[str, tuple[str, str]] = {}
    for layer, own in layers:
        if not isinstance(layer, DebianLayer):
            _check(layer, own, folders, links)
        for path, attributes in own.folders.items():
            folders[path] = (layer.name, attributes)
            links.pop(path, None)
        for path, target in own.links.items():
            links[path] = (layer.name, target)
            folders.pop(path, None)


def _check(
    layer: Layer,
    own: LayerFolders,
    folders: dict[str, tuple[str, tuple[int, int, int]]],
    links: dict[str, tuple[str, str]],
) -> None:
    declared = {file.path.lstrip("/") for file in layer.files if file.is_folder}
    for path, attributes in own.folders.items():
        if path in links:
            name, target = links[path]
            real = posixpath.normpath(posixpath.join("/", posixpath.dirname(path), target))
            raise BuildError(
                f"layer {layer.name}: /{path} is a symbolic link to {real} in the layer {name}, not a folder",
                hint=f"write {real} in place of /{path} in recipes/layers/{layer.name}.toml",
            )
        name, below = folders.get(path, ("", attributes))
        if attributes != below and path not in declared:
            mode, uid, gid = below
            raise BuildError(
                f"layer {layer.name}: /{path} has mode {mode:04o}, owner {uid} and group {gid} in the layer {name}",
                hint=f"list it under [[directories]] in recipes/layers/{layer.name}.toml with these attributes",
            )
    for path in own.links:
        if path in folders:
            name, _ = folders[path]
            raise BuildError(
                f"layer {layer.name}: the symbolic link /{path} would replace a folder of the layer {name}",
                hint=f"put what it leads to into /{path}, or give the link another path",
            )
