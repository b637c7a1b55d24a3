from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.digest import Digest, canonical_json
from rtbuild.errors import IntegrityError, StoreError
from rtbuild.oci.descriptor import CONFIG, INDEX, MANIFEST, Descriptor
from rtbuild.oci.image import image_config, manifest, platform_fields
from rtbuild.oci.layer import LayerWriter, canonical_layer
from rtbuild.oci.layout import Layout, read_stored_image
from rtbuild.oci.names import full_reference, named
from rtbuild.oci.transfer import copy_image, image_tar
from rtbuild.platform import PLATFORMS
from rtbuild.recipe.model import ImageSettings
from tests.fakes.layers import file, raw_layer


def _image(layout: Layout, text: str = "hello", platform: str = "linux/amd64") -> Descriptor:
    with LayerWriter(layout) as writer:
        layer = canonical_layer([io.BytesIO(raw_layer(file("f", text.encode())))], writer, epoch=1)
    target = PLATFORMS[platform]
    content = image_config(ImageSettings(), platform=target, epoch=1, layers=[("only", layer.diff_id)])
    config = layout.put_blob(content, CONFIG)
    found = layout.put_blob(manifest(config, [layer.descriptor]), MANIFEST)
    return Descriptor(media_type=MANIFEST, digest=found.digest, size=found.size, platform=platform_fields(target))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout.create(tmp_path / "layout")


def test_a_new_layout_is_what_the_specification_says(layout: Layout) -> None:
    assert json.loads((layout.root / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((layout.root / "index.json").read_text())
    assert index == {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
    blob = layout.put_blob(iter([b"a", b"b"]), "text/plain")
    assert (blob.digest, blob.size) == ("sha256:" + hashlib.sha256(b"ab").hexdigest(), 2)
    assert layout.blob_path(blob.digest).read_bytes() == b"ab"
    assert layout.blob_path(blob.digest).stat().st_mode & 0o777 == 0o444


def test_creating_again_keeps_what_is_there(layout: Layout) -> None:
    image = _image(layout)
    layout.write_index(named(image, ["x:1"]))
    assert read_stored_image(Layout.create(layout.root), "x:1").manifest.digest == image.digest


def test_a_blob_that_is_not_committed_leaves_nothing(layout: Layout) -> None:
    with layout.new_blob() as blob:
        blob.write(b"x")
    assert list((layout.root / "blobs/sha256").iterdir()) == []


def test_there_is_no_layout_in_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no OCI image layout"):
        Layout.open(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot make"):
        Layout.create(tmp_path / "file")


def test_images_are_found_by_tag_name_and_digest(layout: Layout) -> None:
    one, two = _image(layout, "one"), _image(layout, "two")
    layout.write_index([*named(one, ["repo/image:1.0"]), *named(two, ["repo/image:2.0", "other"])])
    for reference in ("1.0", "repo/image:1.0", "docker.io/repo/image:1.0", one.digest):
        assert read_stored_image(layout, reference).manifest.digest == one.digest
    assert read_stored_image(layout, "other").manifest.digest == two.digest
    assert read_stored_image(layout, "2.0").names == (
        "2.0",
        "docker.io/repo/image:2.0",
        "latest",
        "docker.io/library/other:latest",
    )
    with pytest.raises(StoreError, match=r"no image fits 3\.0"):
        read_stored_image(layout, "3.0")
    with pytest.raises(StoreError, match="more than one image fits"):
        read_stored_image(layout)


def test_platforms_and_indexes_within_the_index(layout: Layout) -> None:
    images = {name: _image(layout, name, name) for name in PLATFORMS}
    attestation = Descriptor(
        media_type=MANIFEST, digest=Digest("sha256:" + "0" * 64), size=3, platform=("unknown", "unknown", "")
    )
    document = {"manifests": [found.to_json() for found in (*images.values(), attestation)]}
    nested = layout.put_blob(canonical_json(document), INDEX)
    layout.write_index(named(nested, ["x:1"]))
    assert read_stored_image(layout, "x:1", ("linux", "arm64")).platform == ("linux", "arm64", "v8")
    assert read_stored_image(layout, "x:1", ("linux", "amd64")).manifest.digest == images["linux/amd64"].digest
    with pytest.raises(StoreError, match="more than one"):
        read_stored_image(layout, "x:1")


def test_wrong_bytes_are_found(layout: Layout) -> None:
    image = _image(layout)
    layout.write_index(named(image, ["x:1"]))
    found = read_stored_image(layout, "x:1")
    for blob in (found.config, found.manifest, found.layers[0]):
        path = layout.blob_path(blob.digest)
        sound = path.read_bytes()
        for wrong, words in ((bytes([sound[0] ^ 1]) + sound[1:], "sha256"), (sound[:-1], "bytes instead of")):
            path.write_bytes(wrong)
            with pytest.raises(IntegrityError, match=words):
                b"".join(layout.read_blob(blob))
            with pytest.raises(IntegrityError, match=words):
                b"".join(image_tar(layout, image, ["x:1"]))
        path.unlink()
        with pytest.raises(IntegrityError, match="missing"):
            b"".join(layout.read_blob(blob))
        path.write_bytes(sound)


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "no list of manifests"),
        ('{"manifests":[7]}', r"manifests\[0\]: not a descriptor"),
        ('{"manifests":[{"digest":"sha256:12","size":1}]}', r"manifests\[0\]: not a descriptor"),
        ('{"manifests":[{"digest":"sha256:' + "1" * 64 + '","size":true}]}', r"manifests\[0\]: not a descriptor"),
        ('{"manifests":[{"digest":"sha256:' + "1" * 64 + '","size":5}]}', "the blob is missing"),
        ('{"manifests":[{"digest":"sha256:' + "1" * 64 + '","size":99999999}]}', "too many for a manifest"),
    ],
)
def test_a_malformed_index_is_refused(layout: Layout, index: str, words: str) -> None:
    (layout.root / "index.json").write_text(index)
    with pytest.raises(IntegrityError, match=words):
        read_stored_image(layout)


def test_a_config_that_does_not_fit_its_manifest_is_refused(layout: Layout) -> None:
    found = read_image_after(layout, [])
    config = layout.put_blob(b"{}", CONFIG)
    layout.write_index([layout.put_blob(manifest(config, found.layers), MANIFEST)])
    with pytest.raises(IntegrityError, match="not an image config"):
        read_stored_image(layout)
    layout.write_index([layout.put_blob(manifest(found.config, []), MANIFEST)])
    with pytest.raises(IntegrityError, match="0 layers, but the config has 1"):
        read_stored_image(layout)


def read_image_after(layout: Layout, names: list[str]):  # type: ignore[no-untyped-def]
    image = _image(layout)
    layout.write_index(named(image, names) or [image])
    return read_stored_image(layout)


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("x", "docker.io/library/x:latest"),
        ("x:1", "docker.io/library/x:1"),
        ("a/x:1", "docker.io/a/x:1"),
        ("localhost/x:1", "localhost/x:1"),
        ("localhost:5000/x", "localhost:5000/x:latest"),
        ("registry.example/a/x:1", "registry.example/a/x:1"),
    ],
)
def test_full_references(name: str, full: str) -> None:
    assert full_reference(name) == full
    assert full_reference(full) == full


def test_copies_are_whole_and_keep_other_images(layout: Layout, tmp_path: Path) -> None:
    one, two, three = (_image(layout, text) for text in ("one", "two", "three"))
    target = copy_image(layout, one, tmp_path / "out", ["x:1"])
    copy_image(layout, two, tmp_path / "out", ["x:2"])
    copy_image(layout, three, tmp_path / "out", ["x:1"])
    assert read_stored_image(target, "x:1").manifest.digest == three.digest
    assert read_stored_image(target, "x:2").manifest.digest == two.digest
    assert len(target.read_index()) == 2
    for blob in (*read_stored_image(target, "x:2").layers, two):
        assert b"".join(target.read_blob(blob))


def test_a_copy_for_another_platform_stands_beside_the_first(layout: Layout, tmp_path: Path) -> None:
    here, there, newer = _image(layout), _image(layout, platform="linux/arm64"), _image(layout, "newer")
    bare = [replace(found, platform=None) for found in (here, there, newer)]
    copy_image(layout, bare[0], tmp_path / "out", ["x:1"])
    target = copy_image(layout, bare[1], tmp_path / "out", ["x:1"])
    assert read_stored_image(target, "x:1", ("linux", "amd64")).manifest.digest == here.digest
    assert read_stored_image(target, "x:1", ("linux", "arm64")).manifest.digest == there.digest
    # Whoever reads the index alone is told which is which.
    assert [found.platform for found in target.read_index()] == [here.platform, there.platform]
    copy_image(layout, bare[2], tmp_path / "out", ["x:1"])
    assert read_stored_image(target, "x:1", ("linux", "amd64")).manifest.digest == newer.digest
    assert len(target.read_index()) == 2


def test_an_entry_that_tells_no_platform_is_replaced_by_name(layout: Layout, tmp_path: Path) -> None:
    old, new = _image(layout), _image(layout, "newer")
    target = copy_image(layout, old, tmp_path / "out", ["x:1"])
    target.write_index([replace(found, platform=None) for found in target.read_index()])
    copy_image(layout, new, tmp_path / "out", ["x:1"])
    assert read_stored_image(target, "x:1").manifest.digest == new.digest


def test_copying_mends_a_damaged_copy(layout: Layout, tmp_path: Path) -> None:
    image = _image(layout)
    target = copy_image(layout, image, tmp_path / "out", ["x:1"])
    path = target.blob_path(image.digest)
    path.unlink()
    path.write_bytes(b"x" * image.size)
    copy_image(layout, image, tmp_path / "out", ["x:1"])
    assert target.read_document(image)


def test_a_copy_of_a_missing_blob_is_refused(layout: Layout, tmp_path: Path) -> None:
    image = _image(layout)
    layout.write_index([image])
    layout.blob_path(read_stored_image(layout).layers[0].digest).unlink()
    with pytest.raises(IntegrityError, match="missing"):
        copy_image(layout, image, tmp_path / "out", ["x:1"])


def test_the_tar_is_a_layout_that_both_kinds_of_docker_know(layout: Layout, tmp_path: Path) -> None:
    image = _image(layout)
    _image(layout, "another")
    (tmp_path / "image.tar").write_bytes(b"".join(image_tar(layout, image, ["x:1", "y:2"])))
    with tarfile.open(tmp_path / "image.tar") as archive:
        archive.extractall(tmp_path / "out", filter="data")
    target = Layout.open(tmp_path / "out")
    found = read_stored_image(target, "y:2")
    assert found.manifest.digest == image.digest
    blobs = {path.name for path in (tmp_path / "out/blobs/sha256").iterdir()}
    assert blobs == {blob.digest[7:] for blob in (*found.layers, found.config, found.manifest)}
    (legacy,) = json.loads((tmp_path / "out/manifest.json").read_text())
    assert legacy["RepoTags"] == ["docker.io/library/x:1", "docker.io/library/y:2"]
    for name in (legacy["Config"], *legacy["Layers"]):
        assert (tmp_path / "out" / name).is_file()
