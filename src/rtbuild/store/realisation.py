"""The record of what a derivation resulted in."""

from __future__ import annotations

from dataclasses import dataclass

from rtbuild.digest import DiffId, Digest, Key, Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Realisation:
    """A layer that was built.

    Attributes:
        key: The key of its derivation.
        release: The version of the release it was built for.
        platform: The platform it was built for, such as `linux/amd64`.
        layer: Its name.
        diff_id: The digest of the uncompressed tar.
        size: The size of the uncompressed tar in bytes.
        blob: The digest of the compressed blob.
        blob_size: The size of the compressed blob in bytes.
        media_type: The media type of the blob.
        compressor: The compressor that wrote the blob, and its version.
        inputs: The names and digests that went into the key, so that a later plan can say which one changed.
    """

    key: Key
    release: str
    platform: str
    layer: str
    diff_id: DiffId
    size: int
    blob: Digest
    blob_size: int
    media_type: str
    compressor: str
    inputs: tuple[tuple[str, Sha256], ...]
