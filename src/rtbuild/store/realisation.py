"""The record of what came out of a derivation."""

from __future__ import annotations

from dataclasses import dataclass

from rtbuild.digest import DiffId, Digest, Key, Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Realisation:
    """`key` gave the layer `diff_id`. `size` is the uncompressed tar's, `blob_size` the compressed blob's, in bytes.

    `inputs` are (name, digest) pairs that went into the key, so that a later plan can say which one changed.
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
