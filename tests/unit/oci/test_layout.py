"""Layouts: blobs, the index, and reading images."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from rtbuild.digest import Digest, canonical_json
from rtbuild.errors import IntegrityError, StoreError
from rtbuild.oci.descriptor import CONFIG, INDEX, MANIFEST, Descriptor
from rtbuild.oci.image import manifest
from rtbuild.oci.layout import Layout, read_stored_image
from rtbuild.oci.names import named
from rtbuild.oci.transfer import image_tar
from rtbuild.platform import PLATFORMS
from tests.fakes.small_images import put_image


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout.create(tmp_path / "layout")


def test_creates_a_layout_of_the_specification(layout: Layout) -> None:
    assert json.loads((layout.root / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((layout.root / "index.json").read_text())
    assert index == {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
    blob = layout.put_blob(iter([b"a", b"b"]), "text/plain")
    assert (blob.digest, blob.size) == ("sha256:" + hashlib.sha256(b"ab").hexdigest(), 2)
    assert layout.blob_path(blob.digest).read_bytes() == b"ab"
    assert layout.blob_path(blob.digest).stat().st_mode & 0o777 == 0o444


def test_creating_again_keeps_the_content(layout: Layout) -> None:
    image = put_image(layout)
    layout.write_index(named(image, ["x:1"]))
    assert read_stored_image(Layout.create(layout.root), "x:1").manifest.digest == image.digest


def test_an_uncommitted_blob_leaves_no_file(layout: Layout) -> None:
    with layout.new_blob() as blob:
        blob.write(b"x")
    assert list((layout.root / "blobs/sha256").iterdir()) == []


def test_what_is_there_is_not_written_again(layout: Layout) -> None:
    manifest = layout.put_blob(b"manifest", MANIFEST)
    entries = [*named(manifest, ["a:1"]), *named(manifest, ["b:1"])]
    layout.list_images(entries)
    paths = [layout.blob_path(manifest.digest), layout.root / "index.json"]
    before = [path.stat().st_ino for path in paths]
    assert layout.put_blob(b"manifest", MANIFEST) == manifest
    layout.list_images(entries[:1])
    assert [path.stat().st_ino for path in paths] == before
    paths[0].chmod(0o644)
    for damaged in (b"manifesT", b"", b"manifest."):
        paths[0].write_bytes(damaged)
        layout.put_blob(b"manifest", MANIFEST)
        assert paths[0].read_bytes() == b"manifest"
        paths[0].chmod(0o644)


def test_rejects_a_folder_without_a_layout(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no OCI image layout"):
        Layout.open(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot create"):
        Layout.create(tmp_path / "file")


def test_finds_images_by_tag_name_and_digest(layout: Layout) -> None:
    first, second = put_image(layout, "first"), put_image(layout, "second")
    layout.write_index([*named(first, ["repo/image:1.0"]), *named(second, ["repo/image:2.0", "other"])])
    for reference in ("1.0", "repo/image:1.0", "docker.io/repo/image:1.0", first.digest):
        assert read_stored_image(layout, reference).manifest.digest == first.digest
    assert read_stored_image(layout, "other").manifest.digest == second.digest
    assert read_stored_image(layout, "2.0").names == (
        "2.0",
        "docker.io/repo/image:2.0",
        "latest",
        "docker.io/library/other:latest",
    )
    with pytest.raises(StoreError, match=r"no image matches 3\.0") as caught:
        read_stored_image(layout, "3.0")
    assert caught.value.hint == (
        "choose one of the index: 1.0, 2.0, docker.io/library/other:latest, docker.io/repo/image:1.0, "
        "docker.io/repo/image:2.0, latest"
    )
    with pytest.raises(StoreError, match="more than one image matches"):
        read_stored_image(layout)


def test_says_that_no_image_has_a_name(layout: Layout) -> None:
    layout.write_index([put_image(layout)])
    with pytest.raises(StoreError, match="no image matches latest linux/arm64") as caught:
        read_stored_image(layout, "latest", ("linux", "arm64"))
    assert caught.value.hint == "the index names no image"


def test_finds_the_platform_in_an_index_inside_the_index(layout: Layout) -> None:
    images = {name: put_image(layout, name, name) for name in PLATFORMS}
    attestation = Descriptor(
        media_type=MANIFEST, digest=Digest("sha256:" + "0" * 64), size=3, platform=("unknown", "unknown", "")
    )
    document = {"manifests": [image.to_json() for image in (*images.values(), attestation)]}
    nested = layout.put_blob(canonical_json(document), INDEX)
    layout.write_index(named(nested, ["x:1"]))
    assert read_stored_image(layout, "x:1", ("linux", "arm64")).platform == ("linux", "arm64", "v8")
    assert read_stored_image(layout, "x:1", ("linux", "amd64")).manifest.digest == images["linux/amd64"].digest
    with pytest.raises(StoreError, match="more than one"):
        read_stored_image(layout, "x:1")


def test_detects_wrong_and_missing_blobs(layout: Layout) -> None:
    image = put_image(layout)
    layout.write_index(named(image, ["x:1"]))
    stored = read_stored_image(layout, "x:1")
    for blob in (stored.config, stored.manifest, stored.layers[0]):
        path = layout.blob_path(blob.digest)
        valid = path.read_bytes()
        for wrong, message in (
            (bytes([valid[0] ^ 1]) + valid[1:], "the blob is damaged: sha256 is"),
            (valid[:-1], f"size is {len(valid) - 1} bytes, expected {len(valid)}"),
        ):
            path.write_bytes(wrong)
            with pytest.raises(IntegrityError, match=message):
                b"".join(layout.read_blob(blob))
            with pytest.raises(IntegrityError, match=message):
                b"".join(image_tar(layout, [(image, ["x:1"])]))
        path.unlink()
        with pytest.raises(IntegrityError, match="missing"):
            b"".join(layout.read_blob(blob))
        path.write_bytes(valid)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "`manifests` is not a list"),
        ('{"manifests":[7]}', r"manifests\[0\]: not a descriptor"),
        ('{"manifests":[{"digest":"sha256:12","size":1}]}', r"manifests\[0\]: not a descriptor"),
        ('{"manifests":[{"digest":"sha256:' + "1" * 64 + '","size":true}]}', r"manifests\[0\]: not a descriptor"),
        ('{"manifests":[{"digest":"sha256:' + "1" * 64 + '","size":5}]}', "the blob is missing"),
        ('{"manifests":[{"digest":"sha256:' + "1" * 64 + '","size":99999999}]}', "too large for a manifest"),
    ],
)
def test_rejects_a_malformed_index(layout: Layout, index: str, message: str) -> None:
    (layout.root / "index.json").write_text(index)
    with pytest.raises(IntegrityError, match=message):
        read_stored_image(layout)


def test_rejects_a_config_that_does_not_match_its_manifest(layout: Layout) -> None:
    layout.write_index([put_image(layout)])
    stored = read_stored_image(layout)
    config = layout.put_blob(b"{}", CONFIG)
    layout.write_index([layout.put_blob(manifest(config, stored.layers), MANIFEST)])
    with pytest.raises(IntegrityError, match="not an image config"):
        read_stored_image(layout)
    layout.write_index([layout.put_blob(manifest(stored.config, []), MANIFEST)])
    with pytest.raises(IntegrityError, match="the manifest has 0 layers, but the config 1 diff IDs"):
        read_stored_image(layout)


def test_replaces_entries_with_the_same_name_and_platform(layout: Layout) -> None:
    first, second, other = (put_image(layout, text) for text in ("first", "second", "other"))
    layout.list_images(named(first, ["x:1", "x:2"]))
    layout.list_images([other])
    layout.list_images(named(second, ["x:1"]))
    assert layout.read_index() == (*named(first, ["x:2"]), other, *named(second, ["x:1"]))


def test_reports_what_cannot_be_read_or_written(layout: Layout) -> None:
    (layout.root / "index.json").unlink()
    with pytest.raises(StoreError, match=r"cannot read .*index\.json"):
        layout.read_index()
    (layout.root / "index.json").mkdir()
    with pytest.raises(StoreError, match=r"cannot write .*index\.json"):
        layout.write_index([])
    (layout.root / "blobs" / "sha256").rmdir()
    with pytest.raises(StoreError, match="cannot write into"):
        layout.new_blob()
