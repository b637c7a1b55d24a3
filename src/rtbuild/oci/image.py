"""Write image configs and manifests. An engine would put traces of its version into them.

Both are canonical JSON. The image ID is the digest of the config: it covers the uncompressed bytes of every layer and
all settings, but not the compression. Specification: OCI image specification 1.1, `config.md` and `manifest.md`;
`OnBuild` and `Shell` are Docker's extensions (Docker image specification 1.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rtbuild.digest import DiffId, canonical_json
from rtbuild.oci.descriptor import MANIFEST, Descriptor
from rtbuild.platform import Platform
from rtbuild.recipe.model import ImageSettings

# As in Debian's own and Docker's official images; to engines, arm64 with and without it are the same.
_VARIANTS = {"arm64": "v8"}


def image_config(
    settings: ImageSettings, *, platform: Platform, epoch: int, layers: Sequence[tuple[str, DiffId]]
) -> bytes:
    """Return the config of an image.

    Args:
        settings: What containers of the image start with.
        platform: The image's platform.
        epoch: The creation time in seconds since 1970.
        layers: The name and diff ID of each layer, bottom first.
    """
    created = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    # Empty fields are left out: engines differ in whether they write them.
    fields: dict[str, Any] = {
        "User": settings.user,
        "Env": [f"{name}={value}" for name, value in settings.env],
        "Entrypoint": list(settings.entrypoint),
        "Cmd": list(settings.command),
        "WorkingDir": settings.working_dir,
        "Labels": dict(settings.labels),
        "OnBuild": list(settings.on_build),
        "Shell": list(settings.shell),
    }
    os, architecture, variant = platform_fields(platform)
    document: dict[str, Any] = {
        "architecture": architecture,
        "config": {name: value for name, value in fields.items() if value},
        "created": created,
        "history": [{"created": created, "created_by": f"rtbuild {name}"} for name, _ in layers],
        "os": os,
        "rootfs": {"diff_ids": [diff_id for _, diff_id in layers], "type": "layers"},
    }
    if variant:
        document["variant"] = variant
    return canonical_json(document)


def manifest(config: Descriptor, layers: Sequence[Descriptor]) -> bytes:
    """Return the manifest of an image with this config and these layers, bottom first."""
    return canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.to_json(),
            "layers": [layer.to_json() for layer in layers],
        }
    )


def platform_fields(platform: Platform) -> tuple[str, str, str]:
    """Return the os, architecture and variant of `platform` for descriptors and configs; the variant may be empty."""
    os, architecture = platform.name.split("/")
    return os, architecture, _VARIANTS.get(architecture, "")
