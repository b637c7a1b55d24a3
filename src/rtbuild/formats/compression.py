"""The compressions of layers: what settings, manifests and file names call them.

| | setting (`name`) | media type | file suffix | specification |
|---|---|---|---|---|
| `ZSTD` | `zstd` | `application/vnd.oci.image.layer.v1.tar+zstd` | `.tar.zst` | RFC 8878 |
| `GZIP` | `gzip` | `application/vnd.oci.image.layer.v1.tar+gzip` | `.tar.gz` | RFC 1952 |
| `PLAIN` | none | `application/vnd.oci.image.layer.v1.tar` | `.tar` | |

The compressors themselves are in `frames`; this module imports none, so that whoever needs a name loads no library.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """A way to compress a layer. `magic` is what its streams begin with, `suffix` ends the name of a file with it."""

    name: str
    media_type: str
    suffix: str
    magic: bytes


PLAIN = Compression(name="none", media_type="application/vnd.oci.image.layer.v1.tar", suffix=".tar", magic=b"")
ZSTD = Compression(
    name="zstd", media_type=f"{PLAIN.media_type}+zstd", suffix=f"{PLAIN.suffix}.zst", magic=b"\x28\xb5\x2f\xfd"
)
GZIP = Compression(name="gzip", media_type=f"{PLAIN.media_type}+gzip", suffix=f"{PLAIN.suffix}.gz", magic=b"\x1f\x8b")

COMPRESSIONS = {compression.name: compression for compression in (ZSTD, GZIP)}
"""The compressions that users can choose, by name; the first is the default."""

MAGIC_SIZE = max(len(compression.magic) for compression in COMPRESSIONS.values())
"""The bytes that `compression_of` needs."""


def compression_of(head: bytes) -> Compression:
    """Return the compression of the stream that begins with `head` (`MAGIC_SIZE` bytes); `PLAIN` if it has none."""
    for compression in COMPRESSIONS.values():
        if head.startswith(compression.magic):
            return compression
    return PLAIN
