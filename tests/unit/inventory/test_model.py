"""Sums of sizes."""

from __future__ import annotations

from rtbuild.inventory.model import ImageSize, LayerSize


def test_an_image_has_the_sums_of_its_layers() -> None:
    lower = LayerSize(name="lower", size=1, archive=10, compressed=100, packages=())
    upper = LayerSize(name="upper", size=2, archive=20, compressed=200, packages=())
    image = ImageSize(release="8.0.0", platform="linux/amd64", layers=(lower, upper))
    assert (image.size, image.archive, image.compressed) == (3, 30, 300)
