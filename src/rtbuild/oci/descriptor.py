"""Descriptors: how OCI documents point at blobs (OCI image specification 1.1, `descriptor.md`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtbuild.digest import Digest, canonical_json, parse_digest
from rtbuild.errors import IntegrityError

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
# What Docker's own store and old builders write; the fields that are read here are the same.
INDEXES = {INDEX, "application/vnd.docker.distribution.manifest.list.v2+json"}
MANIFESTS = {MANIFEST, "application/vnd.docker.distribution.manifest.v2+json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """What points at a blob: `size` in bytes; `platform` is (os, architecture, variant) where it is told."""

    media_type: str
    digest: Digest
    size: int
    platform: tuple[str, str, str] | None = None
    annotations: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The descriptor as OCI spells it."""
        found: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.platform:
            names = ("os", "architecture", "variant")
            found["platform"] = {name: value for name, value in zip(names, self.platform, strict=True) if value}
        if self.annotations:
            found["annotations"] = dict(self.annotations)
        return found


def index_document(manifests: Sequence[Descriptor]) -> bytes:
    """The index of a layout that lists `manifests`."""
    listed = [found.to_json() for found in manifests]
    return canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed})


def parse_document(content: bytes, path: Path) -> dict[str, Any]:
    """The JSON object that is the content of the blob or file at `path`; raises `IntegrityError`."""
    try:
        found = json.loads(content)
    except ValueError as error:
        raise IntegrityError(f"{path}: not JSON", details=str(error)) from None
    if not isinstance(found, dict):
        raise IntegrityError(f"{path}: not a JSON object")
    return found


def parse_descriptors(document: dict[str, Any], key: str, path: Path) -> tuple[Descriptor, ...]:
    """The descriptors under `key` of the document at `path`; raises `IntegrityError` that says which is wrong."""
    found = document.get(key)
    if not isinstance(found, list):
        raise IntegrityError(f"{path}: no list of {key}")
    return tuple(parse_descriptor(item, f"{path}: {key}[{index}]") for index, item in enumerate(found))


def parse_descriptor(found: Any, where: str) -> Descriptor:
    """A descriptor out of JSON; raises `IntegrityError` that says `where`."""
    try:
        platform = found.get("platform")
        size = found["size"]
        if type(size) is not int or size < 0:
            raise ValueError(f"size {size!r}")
        return Descriptor(
            media_type=str(found.get("mediaType", MANIFEST)),
            digest=parse_digest(found["digest"]),
            size=size,
            platform=(str(platform["os"]), str(platform["architecture"]), str(platform.get("variant", "")))
            if platform
            else None,
            annotations=tuple(
                sorted((str(key), str(value)) for key, value in (found.get("annotations") or {}).items())
            ),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{where}: not a descriptor", details=repr(error)) from None
