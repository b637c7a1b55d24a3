"""Images inside an engine, through the Docker SDK: load, inspect, save, remove."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from rtbuild.digest import Digest, parse_digest, sha256_file
from rtbuild.engine.client import sdk_errors, talk
from rtbuild.engine.endpoint import Endpoint
from rtbuild.errors import EngineError, IntegrityError, StoreError
from rtbuild.oci.layout import Layout, read_image
from rtbuild.oci.names import full_reference
from rtbuild.oci.transfer import image_tar

_CHUNK = 1 << 20
_BLOB = re.compile(r"blobs/sha256/[0-9a-f]{64}\Z")


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
    image = read_image(stored, manifest)
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


def save(endpoint: Endpoint, reference: str, layout: Path) -> Digest:
    """Write an image of the engine as an OCI layout into the folder `layout`, each blob checked against its name, and
    return the digest that the layout's index gives it. Raises `EngineError`, `IntegrityError`, `StoreError`."""
    with talk(endpoint) as client:
        try:
            # The SDK leaves the answer to a streamed request open when that is "no such image": ask first
            client.api.inspect_image(reference)
            stream = client.api.get_image(reference)
        except sdk_errors().ImageNotFound as error:
            raise EngineError(f"{endpoint.title} has no image {reference}") from error
        try:
            (layout / "blobs/sha256").mkdir(parents=True, exist_ok=True)
            with tarfile.open(fileobj=cast(Any, _Reader(stream)), mode="r|") as tar:
                for member in tar:
                    _keep_member(tar, member, layout)
        except tarfile.TarError as error:
            raise EngineError(f"{endpoint.title} gave no whole image {reference}", details=str(error)) from error
        except OSError as error:
            raise StoreError(f"{layout}: the image cannot be written", details=str(error)) from error
    (listed,) = Layout.open(layout).read_index()
    return listed.digest


def _keep_member(tar: tarfile.TarFile, member: tarfile.TarInfo, layout: Path) -> None:
    """Write one file of a saved image; anything that is not part of an OCI layout is passed over."""
    name = member.name.removeprefix("./")
    if not member.isfile() or not (name in ("oci-layout", "index.json") or _BLOB.match(name)):
        return
    source = tar.extractfile(member)
    assert source is not None
    target = layout / name
    partial = target.with_name(target.name + ".part")
    with partial.open("wb") as file:
        while chunk := source.read(_CHUNK):
            file.write(chunk)
    if _BLOB.match(name) and sha256_file(partial) != target.name:
        partial.unlink()
        raise IntegrityError(f"the engine gave other bytes than sha256:{target.name} promises")
    partial.replace(target)


class _Reader(io.RawIOBase):
    """An iterator of byte strings as a file to read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = iter(pieces)
        self._left = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        pieces = [self._left]
        have = len(self._left)
        while size < 0 or have < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            pieces.append(piece)
            have += len(piece)
        content = b"".join(pieces)
        cut = len(content) if size < 0 else size
        self._left = content[cut:]
        return content[:cut]
