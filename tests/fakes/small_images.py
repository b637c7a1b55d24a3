"""Images of one small layer in a layout."""

from __future__ import annotations

import io

from rtbuild.oci.descriptor import CONFIG, MANIFEST, Descriptor
from rtbuild.oci.image import image_config, manifest, platform_fields
from rtbuild.oci.layer import LayerWriter, canonical_layer
from rtbuild.oci.layout import Layout
from rtbuild.platform import PLATFORMS
from rtbuild.recipe.model import ImageSettings
from tests.fakes.layers import file, raw_layer


def put_image(layout: Layout, text: str = "hello", platform: str = "linux/amd64") -> Descriptor:
    """Store an image with a file that holds `text`; the index does not list it."""
    with LayerWriter(layout) as writer:
        layer = canonical_layer([io.BytesIO(raw_layer(file("f", text.encode())))], writer, epoch=1)
    target = PLATFORMS[platform]
    content = image_config(ImageSettings(), platform=target, epoch=1, layers=[("only", layer.diff_id)])
    config = layout.put_blob(content, CONFIG)
    blob = layout.put_blob(manifest(config, [layer.descriptor]), MANIFEST)
    return Descriptor(media_type=MANIFEST, digest=blob.digest, size=blob.size, platform=platform_fields(target))
