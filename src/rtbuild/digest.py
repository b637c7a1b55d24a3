"""Digests and the types that prove a string is one."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import NewType

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


def parse_sha256(text: object) -> Sha256:
    """Return `text` as a `Sha256`; raises `ValueError` where it is anything else."""
    if not isinstance(text, str) or not _HEX.match(text):
        raise ValueError("not a sha256 of 64 lower-case hexadecimal digits")
    return Sha256(text)


def parse_digest(text: object) -> Digest:
    """Return `text` as a `Digest`; raises `ValueError` where it is anything else."""
    if not isinstance(text, str) or not text.startswith("sha256:"):
        raise ValueError("not a digest of the form sha256:<64 hexadecimal digits>")
    return digest_of(parse_sha256(text.removeprefix("sha256:")))


def digest_of(sha256: Sha256) -> Digest:
    """Spell a `Sha256` as OCI does."""
    return Digest(f"sha256:{sha256}")


def hex_of(digest: Digest | DiffId) -> Sha256:
    """The `Sha256` inside a `Digest`."""
    return Sha256(digest.removeprefix("sha256:"))


def sha256_bytes(content: bytes) -> Sha256:
    """The sha256 of bytes in memory."""
    return Sha256(hashlib.sha256(content).hexdigest())


def sha256_file(path: Path) -> Sha256:
    """The sha256 of a file, read in 1 MiB pieces; raises `OSError`."""
    state = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            state.update(chunk)
    return Sha256(state.hexdigest())


def canonical_json(value: object) -> bytes:
    """The one spelling of `value` that is hashed: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
