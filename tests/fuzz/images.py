"""Targets for images that strangers wrote, as `rtbuild verify` reads them, and for their layers."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import zstandard

from rtbuild.digest import sha256_bytes
from rtbuild.errors import IntegrityError, RtbuildError, StoreError
from rtbuild.inventory.contents import read_contents
from rtbuild.layers.scripts import private_keys
from rtbuild.oci.archive import FolderSource, ImageSource, tar_file
from rtbuild.oci.compare import compare_layers
from rtbuild.oci.folders import read_folders
from rtbuild.oci.merge import LayerMerge
from rtbuild.oci.read_image import Reading, read_images
from rtbuild.oci.recompress import diff_id_of
from tests.fakes.engine_packages import plain_tar
from tests.fakes.image_archives import docker_files, layer_tar, layout_files, write_folder, write_tar
from tests.fuzz import samples
from tests.fuzz.target import SCRATCH, Target

_LAYER = plain_tar(
    {
        "usr/lib/python3/dist-packages/spam-1.0.dist-info/RECORD": b"spam.py,,\n../x.py,sha256=0,3\n",
        "var/lib/dpkg/status": b"Package: hello\nVersion: 1.0-1\n\nPackage: base\nVersion: 2\n",
        "var/lib/dpkg/info/hello:amd64.list": b"/.\n/usr\n/usr/bin/hello\n",
        "etc/key.pem": b"-----BEGIN PRIVATE KEY-----\n",
    }
)


def targets() -> list[Target]:
    """Return the targets of this module."""
    layers = [_LAYER, samples.small_tar(pax=True), samples.gnu_tar()]
    packed = [layers[0], gzip.compress(layers[1]), zstandard.ZstdCompressor(3).compress(layers[2])]
    return [
        Target("image-tar", _archives(), _archive, (IntegrityError, StoreError), samples.repaired_tar),
        Target("image-files", [_image(compressed=True), _image(compressed=False)], _files, (IntegrityError,)),
        Target("layer-folders", packed, _on_file(read_folders), (IntegrityError,), samples.repaired_tar),
        Target("layer-contents", packed, _on_file(read_contents), (IntegrityError,), samples.repaired_tar),
        Target("layer-keys", packed, _on_file(private_keys), (IntegrityError,), samples.repaired_tar),
        Target("layer-digest", packed, _on_file(diff_id_of), (IntegrityError,), samples.repaired_tar),
        Target("layer-compare", layers, _compare, (IntegrityError,), samples.repaired_tar),
        Target("layer-merge", layers, _merge, (IntegrityError,), samples.repaired_tar),
    ]


# --- whole images ----------------------------------------------------------------------------------------------------


def _archives() -> list[bytes]:
    """Return a tar of a layout, one for `docker load`, and a compressed one in which a link leads to a layer."""
    folder = SCRATCH.fresh()
    first, second = layer_tar("a"), layer_tar("b")
    files = docker_files(first, second)
    linked = docker_files(first, first)
    paths = json.loads(linked["manifest.json"])[0]["Layers"]
    return [
        write_tar(layout_files(first, second), folder / "layout.tar").read_bytes(),
        write_tar(files, folder / "docker.tar").read_bytes(),
        write_tar(linked, folder / "linked.tar.gz", {"other/layer.tar": f"../{paths[0]}"}, "w:gz").read_bytes(),
    ]


def _archive(content: bytes) -> None:
    path = SCRATCH.fresh() / "image.tar"
    path.write_bytes(content)
    _check(read_images(tar_file(path)), tar_file(path))


def _image(*, compressed: bool) -> bytes:
    """Return the documents and the layer of an image, with `@layer` for a digest and `"#layer"` for a size."""
    suffix = "+gzip" if compressed else ""
    layer = layer_tar("a")[:1024]
    manifest_type = "application/vnd.oci.image.manifest.v1+json"
    index = {
        "schemaVersion": 2,
        "manifests": [
            {
                **_described("manifest", manifest_type),
                "platform": {"os": "linux", "architecture": "amd64"},
                "annotations": {"io.containerd.image.name": "docker.io/team/image:1.0", "x": "1.0"},
            }
        ],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": manifest_type,
        "config": _described("config", "application/vnd.oci.image.config.v1+json"),
        "layers": [_described("layer", f"application/vnd.oci.image.layer.v1.tar{suffix}")],
    }
    config = {
        "os": "linux",
        "architecture": "amd64",
        "config": {"Labels": {"a": "b"}, "OnBuild": ["RUN true"]},
        "history": [{"created_by": "test"}, {"empty_layer": True}],
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256_bytes(layer)}"]},
    }
    saved = [{"Config": "blobs/sha256/@config", "RepoTags": ["team/image:1.0"], "Layers": ["blobs/sha256/@layer"]}]
    blob = gzip.compress(layer, mtime=0) if compressed else layer
    documents = [json.dumps(document).encode() for document in (index, manifest, config, saved)]
    return b"\r".join([*documents, blob])


def _described(part: str, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": f"sha256:@{part}", "size": f"#{part}"}


def _files(content: bytes) -> None:
    """Read an image whose digests and sizes are right, whatever is in it, from a tar and from a folder."""
    index, manifest, config, saved, layer = (content.split(b"\r", 4) + [b""] * 4)[:5]
    blobs: dict[str, bytes] = {}

    def filled(document: bytes) -> bytes:
        for name, blob in blobs.items():
            document = document.replace(f"@{name}".encode(), sha256_bytes(blob).encode())
            document = document.replace(f'"#{name}"'.encode(), str(len(blob)).encode())
        return document

    for name, document in (("layer", layer), ("config", config), ("manifest", manifest)):
        blobs[name] = filled(document)
    files = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": filled(index),
        "manifest.json": filled(saved),
        **{f"blobs/sha256/{sha256_bytes(blob)}": blob for blob in blobs.values()},
    }
    folder = SCRATCH.fresh()
    tar = tar_file(write_tar(files, folder / "image.tar"))
    unpacked = FolderSource(write_folder(files, folder / "folder"))
    results = [_outcome(source) for source in (tar, unpacked)]
    assert results[0] == results[1]
    _check(read_images(tar), tar)


def _outcome(source: ImageSource) -> object:
    """Return what reading gives, without what may differ between a tar and a folder."""
    try:
        reading = read_images(source)
    except RtbuildError as error:
        return error.brief
    return reading.images, reading.entries, reading.size


def _check(reading: Reading, source: ImageSource) -> None:
    """See that what is read can be printed, and that a layer can be opened again."""
    for image in reading.images:
        "\n".join((*image.names, image.platform, *image.labels.values(), *image.on_build)).encode()
        for layer in image.layers:
            with source.open(layer.path) as stream:
                assert stream.read(1) is not None
    for line in (*reading.findings, *reading.notes):
        assert "\n" not in line
        line.encode()


# --- layers ----------------------------------------------------------------------------------------------------------


def _on_file(read: Callable[[Path], object]) -> Callable[[bytes], None]:
    def run(content: bytes) -> None:
        path = SCRATCH.fresh() / "layer"
        path.write_bytes(content)
        read(path)

    return run


def _compare(content: bytes) -> None:
    for difference in compare_layers(io.BytesIO(_LAYER), io.BytesIO(content)):
        str(difference)


def _merge(content: bytes) -> None:
    merge = LayerMerge()
    merge.add_layer(io.BytesIO(_LAYER), "below")
    merge.add_layer(io.BytesIO(content), "above")
