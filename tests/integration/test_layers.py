"""Each layer of the image, read alone: podman and Docker's classic store make anew the folders that a layer lacks."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from rtbuild.formats.frames import open_uncompressed
from rtbuild.formats.tar import read_members
from rtbuild.formats.tar_entry import DIRECTORY, Entry
from rtbuild.oci.layout import Layout, read_stored_image
from rtbuild.workspace import Workspace
from tests.integration.conftest import BuiltImage

pytestmark = pytest.mark.integration

Attributes = tuple[int, int, int]
"""Mode, owner and group of a folder."""


def orphans(entries: Iterable[Entry]) -> list[str]:
    """Return the paths of a layer before which there is no entry for the folder that they are in."""
    folders = {""}
    found = []
    for entry in entries:
        if posixpath.dirname(entry.path) not in folders:
            found.append(entry.path)
        if entry.type == DIRECTORY:
            folders.add(entry.path)
    return found


def changed(folders: Mapping[str, Attributes], below: Mapping[str, Attributes]) -> dict[str, tuple[Attributes, ...]]:
    """Return the folders that have other attributes in the layers below, with those and their own."""
    both = folders.keys() & below.keys()
    return {path: (below[path], folders[path]) for path in both if below[path] != folders[path]}


def test_a_layer_without_the_entry_of_a_folder_would_be_noticed() -> None:
    folder = Entry(path="a", type=DIRECTORY, mode=0o755)
    entries = [Entry(path="a/early"), folder, Entry(path="a/b"), Entry(path="a/c/d"), Entry(path="e")]
    assert orphans(entries) == ["a/early", "a/c/d"]
    assert changed({"a": (0o755, 0, 0), "b": (0o755, 0, 0)}, {"a": (0o775, 0, 0), "c": (0o700, 0, 0)}).keys() == {"a"}


def test_each_layer_has_the_folders_above_its_members_as_they_are_below(
    image: BuiltImage, workspace: Workspace
) -> None:
    layout = Layout.open(Path(image.result.location))
    layers = workspace.release("8.0").layers
    blobs = read_stored_image(layout, image.result.manifest_digest).layers
    assert len(blobs) == len(layers) == 7
    below: dict[str, Attributes] = {}
    for layer, blob in zip(layers, blobs, strict=True):
        with open_uncompressed(layout.blob_path(blob.digest)) as file:
            entries = [entry for entry, _ in read_members(file)]
        folders = {entry.path: (entry.mode, entry.uid, entry.gid) for entry in entries if entry.type == DIRECTORY}
        assert orphans(entries) == [], layer.name
        assert changed(folders, below) == {}, layer.name
        below |= folders
