"""Images inside an engine, through the Docker SDK: load, inspect, remove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtbuild.digest import Digest, parse_digest
from rtbuild.engine.client import sdk_errors, talk
from rtbuild.engine.endpoint import Endpoint
from rtbuild.errors import EngineError
from rtbuild.oci.layout import Layout, read_stored_image
from rtbuild.oci.names import full_reference
from rtbuild.oci.transfer import image_tar


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What an engine knows of an image. `id` is the engine's own id: with the containerd image store, the digest of the
    manifest (or index) that was loaded, not of the config. `layers` are the uncompressed digests, bottom first."""

    id: Digest
    names: tuple[str, ...]
    platform: str
    layers: tuple[Digest, ...]
    config: Mapping[str, Any]
    size: int


def load(endpoint: Endpoint, layout: Path, names: Sequence[str], *, manifest: Digest | None = None) -> Digest:
    """Load the image `manifest` of the OCI layout `layout` under `names`, and return the engine's id of it.

    `manifest` may be left out where the layout's index lists one image. The bytes go to the engine as they are read: no
    copy is made, and each blob is checked. Names are what `docker tag` takes. Raises `StoreError`, `IntegrityError`,
    `EngineError`."""
    if not names:
        raise ValueError("an image must be loaded under a name")
    stored = Layout.open(layout)
    image = read_stored_image(stored, manifest)
    with talk(endpoint) as client:
        answers = list(client.api.load_image(image_tar(stored, image.manifest, names)))
        if faults := [str(answer["error"]) for answer in answers if "error" in answer]:
            raise EngineError(f"{endpoint.title} cannot load {names[0]}", details="\n".join(faults))
        try:
            return parse_digest(client.api.inspect_image(full_reference(names[0]))["Id"])
        except sdk_errors().ImageNotFound as error:
            raise EngineError(
                f"{endpoint.title} loaded {names[0]}, but does not know it",
                details="\n".join(map(str, answers)),
                hint="turn the containerd image store on",
            ) from error


def inspect(endpoint: Endpoint, reference: str) -> ImageFacts | None:
    """What the engine knows of an image by name or id; None where it has none. Raises `EngineError`."""
    with talk(endpoint) as client:
        try:
            facts = client.api.inspect_image(reference)
        except sdk_errors().ImageNotFound:
            return None
    return ImageFacts(
        id=parse_digest(facts["Id"]),
        names=tuple(facts.get("RepoTags") or ()),
        platform="/".join(part for part in (facts.get("Os"), facts.get("Architecture"), facts.get("Variant")) if part),
        layers=tuple(parse_digest(layer) for layer in (facts.get("RootFS") or {}).get("Layers") or ()),
        config=facts.get("Config") or {},
        size=int(facts.get("Size") or 0),
    )


def remove_image(endpoint: Endpoint, reference: str) -> None:
    """Remove an image by name or id, even one that has other names; no error where there is none. Raises
    `EngineError`."""
    with talk(endpoint) as client:
        try:
            client.api.remove_image(reference, force=True)
        except sdk_errors().ImageNotFound:
            return
