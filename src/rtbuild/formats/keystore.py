"""Java keystores of certificates (JKS, version 2), whose bytes depend only on the certificates and a date.

The format is that of `sun.security.provider.JavaKeyStore`. Java writes the time of each entry's making, and the entries
in the order of a hash table. All numbers are big-endian:

| bytes | content |
|---|---|
| 4, 4, 4 | `FEEDFEED`, version 2, number of entries |
| 4 | kind of the entry: 2 is a certificate, 1 a private key |
| 2, n | its alias |
| 8 | its date, in milliseconds since 1970 |
| 2, n | type of the certificate: `X.509` |
| 4, n | the certificate |
| 20 | SHA-1 of the password in UTF-16, `Mighty Aphrodite` and everything before |
"""

from __future__ import annotations

import hashlib
import struct

_HEAD = struct.Struct(">III")
_MAGIC, _VERSION, _CERTIFICATE = 0xFEEDFEED, 2, 2
_PASSWORD = "changeit"
_DIGEST_SIZE = hashlib.sha1(usedforsecurity=False).digest_size


def canonical_keystore(content: bytes, epoch: int) -> bytes:
    """Return the keystore with its entries sorted by alias, and dated `epoch` (seconds since 1970).

    What is not a whole keystore of certificates with Java's default password is returned as it is.
    """
    body, digest = content[:-_DIGEST_SIZE], content[-_DIGEST_SIZE:]
    if len(body) < _HEAD.size or _seal(body) != digest:
        return content
    magic, version, count = _HEAD.unpack_from(body)
    if (magic, version) != (_MAGIC, _VERSION):
        return content
    try:
        entries = _entries(body, count)
    except (ValueError, struct.error):
        return content
    date = struct.pack(">Q", epoch * 1000)
    body = body[: _HEAD.size] + b"".join(
        alias + date + certificate for alias, certificate in sorted(entries, key=lambda entry: entry[0][6:])
    )
    return body + _seal(body)


def _entries(body: bytes, count: int) -> list[tuple[bytes, bytes]]:
    """Return the parts of each entry before and after its date."""
    entries = []
    position = _HEAD.size
    for _ in range(count):
        start = position
        if struct.unpack_from(">I", body, position)[0] != _CERTIFICATE:
            raise ValueError("an entry is not a certificate")
        position += 4
        position += 2 + struct.unpack_from(">H", body, position)[0]
        after = position + 8
        position = after + 2 + struct.unpack_from(">H", body, after)[0]
        position += 4 + struct.unpack_from(">I", body, position)[0]
        if position > len(body):
            raise ValueError("an entry is truncated")
        entries.append((body[start : after - 8], body[after:position]))
    if position != len(body):
        raise ValueError("something follows the entries")
    return entries


def _seal(body: bytes) -> bytes:
    return hashlib.sha1(_PASSWORD.encode("utf-16-be") + b"Mighty Aphrodite" + body, usedforsecurity=False).digest()
