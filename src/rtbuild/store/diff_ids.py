"""The diff IDs that were computed from blobs in the store, so that a build need not decompress its layers again.

A file is named after the digest of its blob. Losing it only costs time.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from rtbuild.digest import DiffId, Digest, hex_of, parse_digest
from rtbuild.files import write_atomically


def load_diff_id(folder: Path, blob: Digest) -> tuple[DiffId, int] | None:
    """Return the diff ID of `blob` and the size of its tar in bytes, kept in `folder`.

    None is returned if they are missing, unreadable or damaged.
    """
    with suppress(OSError, ValueError):
        diff_id, size = (folder / hex_of(blob)).read_text(encoding="ascii").split()
        return DiffId(parse_digest(diff_id)), int(size)
    return None


def keep_diff_id(folder: Path, blob: Digest, diff_id: DiffId, size: int) -> None:
    """Keep the diff ID of `blob`; nothing is written if that is not possible."""
    with suppress(OSError):
        write_atomically(folder / hex_of(blob), f"{diff_id} {size}\n".encode(), durable=False)
