"""Images of an engine, through the Docker SDK: load, inspect, remove."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from rtbuild.digest import Digest, parse_digest
from rtbuild.engine.client import connect, sdk_errors
from rtbuild.engine.endpoint import Endpoint
from rtbuild.errors import EngineError
from rtbuild.formats.frames import reader_of
from rtbuild.oci.layout import Layout, read_stored_image
from rtbuild.oci.names import full_reference
from rtbuild.oci.transfer import image_tar

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What an engine reports about an image."""

    id: Digest
    """The engine's ID. With the containerd image store it is the digest of the loaded manifest (or index)."""
    names: tuple[str, ...]
    platform: str
    layers: tuple[Digest, ...]
    """The uncompressed digests, bottom first."""
    config: Mapping[str, Any]
    size: int


def load(endpoint: Endpoint, layout: Path, images: Mapping[str, Digest | None]) -> tuple[Digest, ...]:
    """Load images of the OCI layout `layout`, all in one archive, and return the engine's ID of each.

    The blobs are checked while they are read and sent, those that images share once; no copy is made.

    Args:
        endpoint: The engine.
        layout: The folder of the layout.
        images: The manifest of each image, by its name in the engine as for `docker tag`; None is the only image in the
            layout's index.

    Raises:
        StoreError: if the layout cannot be read.
        IntegrityError: if a blob is damaged.
        EngineError: if the engine cannot load the images.
    """
    if not images:
        raise ValueError("an image must be loaded under a name")
    stored = Layout.open(layout)
    sent = [(read_stored_image(stored, manifest).manifest, [name]) for name, manifest in images.items()]
    with connect(endpoint) as client:
        answers = list(client.api.load_image(image_tar(stored, sent)))
        if errors := [str(answer["error"]) for answer in answers if "error" in answer]:
            raise EngineError(f"{endpoint.title} cannot load {', '.join(images)}", details="\n".join(errors))
        return tuple(_loaded_id(client, endpoint, name, answers) for name in images)


def _loaded_id(client: Any, endpoint: Endpoint, name: str, answers: Sequence[Any]) -> Digest:
    try:
        return parse_digest(client.api.inspect_image(full_reference(name))["Id"])
    except sdk_errors().ImageNotFound as error:
        raise EngineError(
            f"{endpoint.title} loaded {name}, but does not have it",
            details="\n".join(map(str, answers)),
            hint="turn the containerd image store on",
        ) from error


def inspect(endpoint: Endpoint, reference: str) -> ImageFacts | None:
    """Return what the engine reports about an image by name or ID; None if it does not have it.

    Raises:
        EngineError: if the engine cannot be reached.
    """
    with connect(endpoint) as client:
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


@contextmanager
def saved(endpoint: Endpoint, reference: str) -> Iterator[BinaryIO]:
    """Provide what `docker save` writes of an image, a tar, as a stream; nothing is written to disk.

    Raises:
        EngineError: if the engine does not have the image, or the connection breaks.
    """
    with connect(endpoint) as client:
        try:
            client.api.inspect_image(reference)
        except sdk_errors().ImageNotFound:
            raise EngineError(
                f"{endpoint.title} has no image {reference}", hint="load, pull or build it there first"
            ) from None
        # Not `get_image`, whose answer cannot be closed: the connection of a reader that stops early would stay open.
        api = client.api
        with closing(api._get(api._url("/images/{0}/get", reference), stream=True)) as answer:
            api._raise_for_status(answer)
            with reader_of(answer.iter_content(_CHUNK)) as stream:
                yield stream


def remove_image(endpoint: Endpoint, reference: str) -> None:
    """Remove an image by name or ID, even if it has other names; do nothing if the engine does not have it.

    Raises:
        EngineError: if the engine cannot be reached.
    """
    with connect(endpoint) as client:
        try:
            client.api.remove_image(reference, force=True)
        except sdk_errors().ImageNotFound:
            return
