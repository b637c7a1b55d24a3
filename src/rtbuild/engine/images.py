"""Images inside an engine, through the Docker SDK: load, inspect, save, remove."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from rtbuild.digest import Digest, hex_of, parse_digest, sha256_file
from rtbuild.engine.client import sdk_errors, talk
from rtbuild.engine.endpoint import Endpoint
from rtbuild.errors import EngineError, IntegrityError, StoreError

_CHUNK = 1 << 20
_INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_NAME = "io.containerd.image.name"
_TAG = "org.opencontainers.image.ref.name"
_BLOB = re.compile(r"blobs/sha256/[0-9a-f]{64}\Z")
_LARGEST_DOCUMENT = 16 << 20
"""Bytes that an index or manifest may have: more is not one."""


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
    copy is made. Names are what `docker tag` takes. Raises `StoreError` for a layout that lacks something,
    `EngineError`."""
    if not names:
        raise ValueError("an image must be loaded under a name")
    descriptor = _find_descriptor(layout, manifest)
    descriptors = []
    for name in map(full_name, names):
        annotations = {_NAME: name, _TAG: name.rpartition(":")[2]}
        descriptors.append({**descriptor, "annotations": annotations})
    index = json.dumps({"schemaVersion": 2, "manifests": descriptors}).encode()
    with talk(endpoint) as client:
        answers = list(client.api.load_image(_layout_tar(layout, descriptor, index)))
        if faults := [str(answer["error"]) for answer in answers if "error" in answer]:
            raise EngineError(f"{endpoint.title} cannot load {names[0]}", details="\n".join(faults))
        try:
            return parse_digest(client.api.inspect_image(full_name(names[0]))["Id"])
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
    return parse_digest(_find_descriptor(layout, None)["digest"])


def full_name(name: str) -> str:
    """`docker.io/library/airflow:latest` of `airflow`, as containerd's image store spells names."""
    repository, _, tag = name.rpartition(":")
    if not repository or "/" in tag:
        repository, tag = name, "latest"
    first, slash, rest = repository.partition("/")
    if not slash:
        repository = f"docker.io/library/{repository}"
    elif "." not in first and ":" not in first and first != "localhost":
        repository = f"docker.io/{first}/{rest}"
    return f"{repository}:{tag}"


def _find_descriptor(layout: Path, manifest: Digest | None) -> dict[str, Any]:
    """The descriptor of an image in a layout, by its digest or as the only one of the index."""
    try:
        if manifest is None:
            listed = json.loads((layout / "index.json").read_bytes())["manifests"]
            digests = {entry["digest"] for entry in listed}
            if len(digests) != 1:
                raise StoreError(f"{layout}: its index lists {len(digests)} images", hint="say which one is meant")
            manifest = parse_digest(digests.pop())
        document = _document(layout, manifest)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{layout}: not a whole OCI layout", details=f"{type(error).__name__}: {error}") from error
    kind = document.get("mediaType") or (_INDEX_TYPES[0] if "manifests" in document else None)
    return {
        "mediaType": kind or "application/vnd.oci.image.manifest.v1+json",
        "digest": manifest,
        "size": _blob(layout, manifest).stat().st_size,
    }


def _layout_tar(layout: Path, descriptor: Mapping[str, Any], index: bytes) -> Iterator[bytes]:
    """An OCI layout with just one image as the bytes of a tar, read from `layout` while they are sent."""
    yield from _small_file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    yield from _small_file("index.json", index)
    sent: set[Digest] = set()
    for digest, size in _reachable(layout, descriptor):
        if digest in sent:
            continue
        sent.add(digest)
        try:
            with _blob(layout, digest).open("rb") as file:
                yield _header(f"blobs/sha256/{hex_of(digest)}", size)
                left = size
                while chunk := file.read(min(_CHUNK, left)):
                    left -= len(chunk)
                    yield chunk
        except OSError as error:
            raise StoreError(f"{layout}: blob {digest} cannot be read", details=str(error)) from error
        if left:
            raise IntegrityError(f"{layout}: blob {digest} is {left} bytes shorter than its manifest says")
        yield _padding(size)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _reachable(layout: Path, descriptor: Mapping[str, Any]) -> Iterator[tuple[Digest, int]]:
    """Digest and size of everything that makes up an image, from its descriptor down."""
    try:
        digest = parse_digest(descriptor["digest"])
        yield digest, int(descriptor["size"])
        if descriptor["mediaType"] in _INDEX_TYPES:
            for child in _document(layout, digest)["manifests"]:
                yield from _reachable(layout, child)
        elif "manifest" in descriptor["mediaType"]:
            document = _document(layout, digest)
            for part in (document["config"], *document["layers"]):
                yield parse_digest(part["digest"]), int(part["size"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        details = f"{type(error).__name__}: {error}"
        raise StoreError(f"{layout}: {descriptor.get('digest')} is no image manifest", details=details) from error


def _document(layout: Path, digest: Digest) -> dict[str, Any]:
    path = _blob(layout, digest)
    if path.stat().st_size > _LARGEST_DOCUMENT:
        raise ValueError(f"{digest} is too large for a manifest")
    value = json.loads(path.read_bytes())
    if not isinstance(value, dict):
        raise ValueError(f"{digest} is not a JSON object")
    return value


def _blob(layout: Path, digest: Digest) -> Path:
    return layout / "blobs/sha256" / hex_of(digest)


def _small_file(name: str, content: bytes) -> tuple[bytes, bytes, bytes]:
    return _header(name, len(content)), content, _padding(len(content))


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


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
