"""Java keystores, written as Java does (see `formats.keystore`)."""

from __future__ import annotations

import hashlib
import struct


def _text(value: str) -> bytes:
    return struct.pack(">H", len(value)) + value.encode()


def keystore_entry(alias: str, date: int, certificate: bytes = b"DER", kind: int = 2) -> bytes:
    return (
        struct.pack(">I", kind)
        + _text(alias)
        + struct.pack(">Q", date)
        + _text("X.509")
        + struct.pack(">I", len(certificate))
        + certificate
    )


def keystore(*entries: bytes, count: int | None = None, password: str = "changeit", version: int = 2) -> bytes:
    body = struct.pack(">III", 0xFEEDFEED, version, len(entries) if count is None else count) + b"".join(entries)
    return body + keystore_seal(body, password)


def keystore_seal(body: bytes, password: str = "changeit") -> bytes:
    """Return the digest that ends a keystore."""
    return hashlib.sha1(password.encode("utf-16-be") + b"Mighty Aphrodite" + body).digest()
