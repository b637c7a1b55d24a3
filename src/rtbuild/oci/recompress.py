"""Compress a layer with another compressor, and compute the diff ID of a compressed layer.

A layer is cut into frames where its writer cut it, at the end of each wheel's tree for example. The frames of the
copy begin at the same places, so its bytes are those that building the layer with its compressor gives.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from rtbuild.digest import DiffId, Sha256, digest_of
from rtbuild.errors import IntegrityError, StoreError
from rtbuild.formats.frames import Compressor, FrameStream, decompress
from rtbuild.oci.descriptor import Descriptor
from rtbuild.oci.layout import Layout


def diff_id_of(blob: Path) -> tuple[DiffId, int]:
    """Return the diff ID of a compressed layer, and the size of its uncompressed tar in bytes.

    Raises:
        IntegrityError: if the compressed data is damaged.
        StoreError: if the file cannot be read.
    """
    hasher, size = hashlib.sha256(), 0
    try:
        with blob.open("rb") as file:
            for piece in decompress(file):
                hasher.update(piece)
                size += len(piece)
    except OSError as error:
        raise StoreError(f"cannot read {blob}", details=str(error)) from None
    return DiffId(digest_of(Sha256(hasher.hexdigest()))), size


def recompress_layer(
    blob: Path, layout: Layout, *, diff_id: DiffId, compressor: Compressor, workers: int = 2
) -> tuple[Descriptor, int]:
    """Store the layer in the file `blob` once more in `layout`, compressed by `compressor`.

    Args:
        blob: The compressed layer.
        layout: Where the new blob is stored.
        diff_id: The diff ID that the layer must have.
        compressor: The compressor.
        workers: The number of threads that compress. It does not change the bytes.

    Returns:
        The new blob, and the size of the uncompressed tar in bytes.

    Raises:
        IntegrityError: if the compressed data is damaged, or the layer has another diff ID; nothing is stored then.
        StoreError: if the blob cannot be read, or the layout cannot be written.
    """
    hasher, size = hashlib.sha256(), 0
    with contextlib.ExitStack() as opened:
        target = opened.enter_context(layout.new_blob())
        frames = FrameStream(target.write, compressor, workers=workers)
        opened.callback(frames.close)
        try:
            file = opened.enter_context(blob.open("rb"))
            for piece in decompress(file, at_frame_end=frames.end_frame):
                hasher.update(piece)
                size += len(piece)
                frames.write(piece)
        except OSError as error:
            raise StoreError(f"cannot read {blob}", details=str(error)) from None
        found = DiffId(digest_of(Sha256(hasher.hexdigest())))
        if found != diff_id:
            raise IntegrityError(f"{blob}: the diff ID of the layer is {found}, expected {diff_id}")
        frames.flush()
        return target.commit(compressor.compression.media_type), size
