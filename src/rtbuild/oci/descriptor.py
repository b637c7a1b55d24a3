"""Descriptors: references of OCI documents to blobs (OCI image specification 1.1, `descriptor.md`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtbuild.digest import Digest, canonical_json, parse_digest
from rtbuild.documents import parse_json
from rtbuild.errors import IntegrityError

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
# Docker's own store and old builders write Docker's types; the fields that are read here are the same.
INDEXES = {INDEX, "application/vnd.docker.distribution.manifest.list.v2+json"}
MANIFESTS = {MANIFEST, "application/vnd.docker.distribution.manifest.v2+json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A reference to a blob.

    Attributes:
        media_type: What the blob is.
        digest: The digest of its bytes.
        size: Its size in bytes.
        platform: The os, architecture and variant of an image, if the descriptor says them; the variant may be empty.
        annotations: Sorted pairs of name and value.
    """

    media_type: str
    digest: Digest
    size: int
    platform: tuple[str, str, str] | None = None
    annotations: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the descriptor as a JSON object of the OCI specification."""
        document: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.platform:
            names = ("os", "architecture", "variant")
            document["platform"] = {name: value for name, value in zip(names, self.platform, strict=True) if value}
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        return document


def index_document(manifests: Sequence[Descriptor]) -> bytes:
    """Return an image index that lists `manifests`, as canonical JSON."""
    listed = [manifest.to_json() for manifest in manifests]
    return canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed})


def parse_document(content: bytes, path: Path) -> dict[str, Any]:
    """Parse a JSON object; `path` is the file that it was read from.

    Raises:
        IntegrityError: if `content` is not a JSON object.
    """
    try:
        document = parse_json(content)
    except ValueError as error:
        raise IntegrityError(f"{path}: {error}") from None
    if not isinstance(document, dict):
        raise IntegrityError(f"{path}: not a JSON object")
    return document


def parse_descriptors(document: dict[str, Any], key: str, path: Path) -> tuple[Descriptor, ...]:
    """Return the descriptors in the list `key` of the document that was read from `path`.

    Raises:
        IntegrityError: if there is no such list or one of its items is not a descriptor.
    """
    items = document.get(key)
    if not isinstance(items, list):
        raise IntegrityError(f"{path}: `{key}` is not a list")
    return tuple(parse_descriptor(item, f"{path}: {key}[{index}]") for index, item in enumerate(items))


def parse_descriptor(value: Any, where: str) -> Descriptor:
    """Return the descriptor that a JSON value is; `where` is its place in messages.

    Raises:
        IntegrityError: if it is not a descriptor.
    """
    try:
        platform = value.get("platform")
        size = value["size"]
        if type(size) is not int or size < 0:
            raise ValueError(f"size {size!r}")
        return Descriptor(
            media_type=str(value.get("mediaType", MANIFEST)),
            digest=parse_digest(value["digest"]),
            size=size,
            platform=(str(platform["os"]), str(platform["architecture"]), str(platform.get("variant", "")))
            if platform
            else None,
            annotations=tuple(
                sorted((str(name), str(text)) for name, text in (value.get("annotations") or {}).items())
            ),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{where}: not a descriptor", details=repr(error)) from None
