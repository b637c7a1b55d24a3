"""Image configs and manifests, byte for byte."""

from __future__ import annotations

import json

from rtbuild.digest import DiffId, Digest
from rtbuild.formats.compression import ZSTD
from rtbuild.oci.descriptor import CONFIG, Descriptor
from rtbuild.oci.image import image_config, manifest, platform_fields
from rtbuild.platform import PLATFORMS
from rtbuild.recipe.model import ImageSettings

_AMD64 = PLATFORMS["linux/amd64"]
_DIFF_ID = DiffId(Digest("sha256:" + "1" * 64))

_FULL = ImageSettings(
    env=(("PATH", "/usr/bin:/bin"), ("LANG", "C.UTF-8")),
    labels=(("z", "1"), ("a", "2")),
    user="astro",
    working_dir="/usr/local/airflow",
    entrypoint=("/entrypoint",),
    command=("airflow", "--help"),
    shell=("/bin/bash", "-c"),
    on_build=("COPY . .",),
)


def test_writes_a_full_config_byte_for_byte() -> None:
    # A change here changes the image ID of every release that was ever locked.
    config = image_config(_FULL, platform=_AMD64, epoch=1683000000, layers=[("base-os", _DIFF_ID)])
    assert config == (
        b'{"architecture":"amd64","config":{"Cmd":["airflow","--help"],"Entrypoint":["/entrypoint"],'
        b'"Env":["PATH=/usr/bin:/bin","LANG=C.UTF-8"],"Labels":{"a":"2","z":"1"},"OnBuild":["COPY . ."],'
        b'"Shell":["/bin/bash","-c"],"User":"astro","WorkingDir":"/usr/local/airflow"},'
        b'"created":"2023-05-02T04:00:00Z",'
        b'"history":[{"created":"2023-05-02T04:00:00Z","created_by":"rtbuild base-os"}],"os":"linux",'
        b'"rootfs":{"diff_ids":["sha256:' + b"1" * 64 + b'"],"type":"layers"}}'
    )


def test_a_config_omits_what_is_not_set() -> None:
    config = json.loads(image_config(ImageSettings(), platform=_AMD64, epoch=0, layers=[]))
    assert config["config"] == {}
    assert "variant" not in config


def test_arm64_has_its_variant() -> None:
    arm64 = PLATFORMS["linux/arm64"]
    assert json.loads(image_config(ImageSettings(), platform=arm64, epoch=0, layers=[]))["variant"] == "v8"
    assert platform_fields(arm64) == ("linux", "arm64", "v8")
    assert platform_fields(_AMD64) == ("linux", "amd64", "")


def test_depends_on_the_order_of_layers_but_not_of_labels() -> None:
    other = ImageSettings(labels=(("a", "2"), ("z", "1")))
    same = ImageSettings(labels=(("z", "1"), ("a", "2")))
    layers = [("a", _DIFF_ID), ("b", DiffId(Digest("sha256:" + "2" * 64)))]
    assert image_config(other, platform=_AMD64, epoch=1, layers=layers) == image_config(
        same, platform=_AMD64, epoch=1, layers=layers
    )
    assert image_config(other, platform=_AMD64, epoch=1, layers=layers) != image_config(
        other, platform=_AMD64, epoch=1, layers=layers[::-1]
    )


def test_writes_a_manifest_byte_for_byte() -> None:
    config = Descriptor(media_type=CONFIG, digest=Digest("sha256:" + "3" * 64), size=7)
    layer = Descriptor(media_type=ZSTD.media_type, digest=Digest("sha256:" + "4" * 64), size=8)
    assert manifest(config, [layer]) == (
        b'{"config":{"digest":"sha256:' + b"3" * 64 + b'","mediaType":"application/vnd.oci.image.config.v1+json",'
        b'"size":7},"layers":[{"digest":"sha256:'
        + b"4"
        * 64
        + b'","mediaType":"application/vnd.oci.image.layer.v1.tar+zstd","size":8}],'
        b'"mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2}'
    )
