"""Digests, and types that prove that a string is one."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import BinaryIO, NewType

Sha256 = NewType("Sha256", str)
"""64 lower-case hexadecimal digits."""

Key = NewType("Key", str)
"""The sha256 of a derivation's canonical JSON: 64 lower-case hexadecimal digits."""

Digest = NewType("Digest", str)
"""`sha256:` and 64 lower-case hexadecimal digits, as OCI descriptors spell it."""

DiffId = NewType("DiffId", str)
"""The `Digest` of a layer's uncompressed tar (OCI image specification, `rootfs.diff_ids`)."""

_HEX = re.compile(r"[0-9a-f]{64}\Z")
_CHUNK = 1 << 20
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def parse_sha256(text: object) -> Sha256:
    """Return `text` as a `Sha256`.

    Raises:
        ValueError: if it is anything else.
    """
    if not isinstance(text, str) or not _HEX.match(text):
        raise ValueError("not a sha256 of 64 lower-case hexadecimal digits")
    return Sha256(text)


def parse_digest(text: object) -> Digest:
    """Return `text` as a `Digest`.

    Raises:
        ValueError: if it is anything else.
    """
    if not isinstance(text, str) or not text.startswith("sha256:"):
        raise ValueError("not a digest of the form sha256:<64 hexadecimal digits>")
    return digest_of(parse_sha256(text.removeprefix("sha256:")))


def digest_of(sha256: Sha256) -> Digest:
    """Return a `Sha256` as OCI spells it."""
    return Digest(f"sha256:{sha256}")


def hex_of(digest: Digest | DiffId) -> Sha256:
    """Return the `Sha256` in a `Digest`."""
    return Sha256(digest.removeprefix("sha256:"))


def sha256_bytes(content: bytes) -> Sha256:
    """Return the sha256 of bytes in memory."""
    return Sha256(hashlib.sha256(content).hexdigest())


def sha256_file(path: Path) -> Sha256:
    """Return the sha256 of a file, which is read in pieces of 1 MiB.

    Raises:
        OSError: if the file cannot be read.
    """
    with path.open("rb") as stream:
        return sha256_stream(stream)


def sha256_stream(stream: BinaryIO) -> Sha256:
    """Return the sha256 of the rest of an open file, which is read in pieces of 1 MiB.

    Raises:
        OSError: if the file cannot be read.
    """
    state = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        state.update(chunk)
    return Sha256(state.hexdigest())


def canonical_json(value: object) -> bytes:
    """Return the spelling of `value` that is hashed: sorted keys, no spaces, UTF-8.

    Raises:
        ValueError: if a number is NaN or infinite, which JSON does not have.
    """
    return _CANONICAL.encode(value).encode()
