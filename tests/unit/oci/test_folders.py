"""The folders and symbolic links of a layer."""

from __future__ import annotations

from pathlib import Path

from rtbuild.oci.folders import LayerFolders, folders_above, read_folders
from tests.fakes.layers import compressed, file, folder, link, raw_layer, symlink


def test_reads_folders_and_symbolic_links(tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    raw = raw_layer(folder("a", mode=0o2775, uid=7), file("a/f"), link("a/h", "a/f"), symlink("a/s", "../b"))
    blob.write_bytes(compressed(raw))
    assert read_folders(blob) == LayerFolders(folders={"a": (0o2775, 7, 0)}, links={"a/s": "../b"})


def test_folders_above() -> None:
    assert folders_above(["usr/bin/a", "usr/bin/b", "etc"]) == {"usr", "usr/bin"}
