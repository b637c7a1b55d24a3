"""Copying images between layouts, and into tars for `docker load`."""

from __future__ import annotations

import errno
import json
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rtbuild.errors import IntegrityError, StoreError
from rtbuild.files import create_unfinished
from rtbuild.oci.layout import Layout, read_stored_image
from rtbuild.oci.transfer import copy_image, image_tar, require_destination
from tests.fakes.small_images import put_image


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout.create(tmp_path / "layout")


def test_copies_every_blob_and_keeps_other_images(layout: Layout, tmp_path: Path) -> None:
    first, second, third = (put_image(layout, text) for text in ("first", "second", "third"))
    target = copy_image(layout, first, tmp_path / "out", ["x:1"])
    copy_image(layout, second, tmp_path / "out", ["x:2"])
    copy_image(layout, third, tmp_path / "out", ["x:1"])
    assert read_stored_image(target, "x:1").manifest.digest == third.digest
    assert read_stored_image(target, "x:2").manifest.digest == second.digest
    assert len(target.read_index()) == 2
    for blob in (*read_stored_image(target, "x:2").layers, second):
        assert b"".join(target.read_blob(blob))


def test_keeps_the_image_for_another_platform(layout: Layout, tmp_path: Path) -> None:
    here, there, newer = put_image(layout), put_image(layout, platform="linux/arm64"), put_image(layout, "newer")
    bare = [replace(image, platform=None) for image in (here, there, newer)]
    copy_image(layout, bare[0], tmp_path / "out", ["x:1"])
    target = copy_image(layout, bare[1], tmp_path / "out", ["x:1"])
    assert read_stored_image(target, "x:1", ("linux", "amd64")).manifest.digest == here.digest
    assert read_stored_image(target, "x:1", ("linux", "arm64")).manifest.digest == there.digest
    # The index alone says which is which.
    assert [entry.platform for entry in target.read_index()] == [here.platform, there.platform]
    copy_image(layout, bare[2], tmp_path / "out", ["x:1"])
    assert read_stored_image(target, "x:1", ("linux", "amd64")).manifest.digest == newer.digest
    assert len(target.read_index()) == 2


def test_replaces_an_entry_without_a_platform_by_name(layout: Layout, tmp_path: Path) -> None:
    old, new = put_image(layout), put_image(layout, "newer")
    target = copy_image(layout, old, tmp_path / "out", ["x:1"])
    target.write_index([replace(entry, platform=None) for entry in target.read_index()])
    copy_image(layout, new, tmp_path / "out", ["x:1"])
    assert read_stored_image(target, "x:1").manifest.digest == new.digest


def test_copying_again_repairs_a_damaged_copy(layout: Layout, tmp_path: Path) -> None:
    image = put_image(layout)
    target = copy_image(layout, image, tmp_path / "out", ["x:1"])
    path = target.blob_path(image.digest)
    path.unlink()
    path.write_bytes(b"x" * image.size)
    copy_image(layout, image, tmp_path / "out", ["x:1"])
    assert target.read_document(image)


def test_copying_again_leaves_nothing_but_blobs(layout: Layout, tmp_path: Path) -> None:
    image = put_image(layout)
    for _ in range(2):
        target = copy_image(layout, image, tmp_path / "out", ["x:1"])
    assert {path.name for path in target.blob_files()} == {path.name for path in layout.blob_files()}


def test_copying_removes_what_a_killed_copy_left(layout: Layout, tmp_path: Path) -> None:
    image = put_image(layout)
    target = Layout.create(tmp_path / "out")
    path, file = create_unfinished(target.root / "blobs" / "sha256", ".new-")
    with file:
        copy_image(layout, image, tmp_path / "out", ["x:1"])
        assert path.exists(), "another process is writing it"
    copy_image(layout, image, tmp_path / "out", ["x:1"])
    assert not path.exists()


def test_copies_at_the_same_time_lose_no_image(layout: Layout, tmp_path: Path) -> None:
    images = {f"x:{number}": put_image(layout, str(number)) for number in range(24)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: copy_image(layout, images[name], tmp_path / "out", [name]), images))
    entries = Layout.open(tmp_path / "out").read_index()
    assert {entry.digest for entry in entries} == {image.digest for image in images.values()}


def test_copies_to_a_filesystem_without_links(layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = put_image(layout)

    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refuse)
    target = copy_image(layout, image, tmp_path / "out", ["x:1"])
    assert {path.name for path in target.blob_files()} == {path.name for path in layout.blob_files()}
    assert not target.blob_path(image.digest).samefile(layout.blob_path(image.digest))


def test_rejects_an_image_with_a_missing_blob(layout: Layout, tmp_path: Path) -> None:
    image = put_image(layout)
    layout.write_index([image])
    layout.blob_path(read_stored_image(layout).layers[0].digest).unlink()
    with pytest.raises(IntegrityError, match="missing"):
        copy_image(layout, image, tmp_path / "out", ["x:1"])


def test_reports_a_destination_that_cannot_be_written(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot create an OCI layout at"):
        copy_image(layout, put_image(layout), tmp_path / "file", ["x:1"])
    image = put_image(layout)
    Layout.create(tmp_path / "out").blob_path(image.digest).mkdir()
    with pytest.raises(StoreError, match="cannot write a blob into"):
        copy_image(layout, image, tmp_path / "out", ["x:1"])


def test_a_folder_of_something_else_is_no_destination(layout: Layout, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    require_destination(folder)
    folder.mkdir()
    for name in ("lost+found", "blobs", ".oci-layout.0123456789ab"):  # a process that was killed at once leaves these
        (folder / name).mkdir()
        require_destination(folder)
    (folder / "thesis.tex").touch()
    with pytest.raises(StoreError) as caught:
        require_destination(folder)
    assert caught.value.brief == f"{folder}: is not an OCI image layout, and not empty"
    assert caught.value.details == "no file `oci-layout`, but thesis.tex"
    copy_image(layout, put_image(layout), folder, ["x:1"])
    require_destination(folder)
    with pytest.raises(StoreError, match=r"thesis\.tex: cannot be read: Not a directory"):
        require_destination(folder / "thesis.tex")


def unpack(archive: tarfile.TarFile, folder: Path) -> None:
    # Debian 12's Python has no filters, and later ones ask for one.
    chosen: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    archive.extractall(folder, **chosen)


def test_a_tar_without_names_lists_the_image(layout: Layout, tmp_path: Path) -> None:
    image = put_image(layout)
    (tmp_path / "image.tar").write_bytes(b"".join(image_tar(layout, [(image, [])])))
    with tarfile.open(tmp_path / "image.tar") as archive:
        unpack(archive, tmp_path / "out")
    assert Layout.open(tmp_path / "out").read_index() == (image,)


def test_both_image_stores_of_docker_can_load_the_tar(layout: Layout, tmp_path: Path) -> None:
    image = put_image(layout)
    put_image(layout, "another")
    (tmp_path / "image.tar").write_bytes(b"".join(image_tar(layout, [(image, ["x:1", "y:2"])])))
    with tarfile.open(tmp_path / "image.tar") as archive:
        unpack(archive, tmp_path / "out")
    target = Layout.open(tmp_path / "out")
    stored = read_stored_image(target, "y:2")
    assert stored.manifest.digest == image.digest
    blobs = {path.name for path in (tmp_path / "out/blobs/sha256").iterdir()}
    assert blobs == {blob.digest[7:] for blob in (*stored.layers, stored.config, stored.manifest)}
    (legacy,) = json.loads((tmp_path / "out/manifest.json").read_text())
    assert legacy["RepoTags"] == ["docker.io/library/x:1", "docker.io/library/y:2"]
    for name in (legacy["Config"], *legacy["Layers"]):
        assert (tmp_path / "out" / name).is_file()
