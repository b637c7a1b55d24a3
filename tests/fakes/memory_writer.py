"""A layer writer that keeps the plain tar in memory: no layout, no compression, no waiting for a disk."""

from __future__ import annotations

from rtbuild.digest import DiffId, digest_of, sha256_bytes
from rtbuild.formats.compression import PLAIN
from rtbuild.formats.tar import END, member_header
from rtbuild.formats.tar_entry import Entry
from rtbuild.oci.folders import LayerFolders
from rtbuild.oci.layer import LayerDigest, LayerWriter


class MemoryWriter(LayerWriter):
    """Takes what `canonical_layer` writes; `tar` is what was written."""

    def __init__(self) -> None:
        self.tar = b""
        self._pieces: list[bytes] = []

    def add_header(self, entry: Entry) -> None:
        self.write(member_header(entry))

    def write(self, content: bytes) -> None:
        self._pieces.append(content)

    def finish(self) -> LayerDigest:
        self.tar = b"".join(self._pieces) + END
        digest, size = digest_of(sha256_bytes(self.tar)), len(self.tar)
        return LayerDigest(
            diff_id=DiffId(digest),
            size=size,
            blob=digest,
            blob_size=size,
            media_type=PLAIN.media_type,
            compressor=PLAIN.name,
            folders=LayerFolders(folders={}, links={}),
        )
