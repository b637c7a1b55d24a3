"""Writing layers, and turning what BuildKit exports into canonical layers: bytes that depend on the files alone.

Measured: two versions of BuildKit export the same members for the same build, but with the clock's times and what the
run left behind. The canonical layer has none of that; its `diff_id` is what locks record.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from rtbuild.digest import DiffId, Digest, Sha256, digest_of
from rtbuild.errors import IntegrityError, StoreError
from rtbuild.formats.frames import DEFAULT, Compressor, FrameStream, decompress
from rtbuild.formats.tar import BLOCK_SIZE, END, member_header, padding
from rtbuild.formats.tar_entry import HARDLINK, REGULAR, Entry
from rtbuild.oci.descriptor import Descriptor
from rtbuild.oci.layout import Layout
from rtbuild.oci.merge import LayerMerge, MergedEntry
from rtbuild.recipe.model import Removal

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDigest:
    """A layer that was written: `diff_id` and `size` (bytes) are of the plain tar, the blob's of what is stored."""

    diff_id: DiffId
    size: int
    blob: Digest
    blob_size: int
    media_type: str
    compressor: str

    @property
    def descriptor(self) -> Descriptor:
        """What a manifest says of the layer."""
        return Descriptor(media_type=self.media_type, digest=self.blob, size=self.blob_size)


class LayerWriter:
    """One layer on its way into a layout: tar bytes go in, the compressed blob and both digests come out.

    Leaving the `with` without `finish` leaves nothing behind. Memory is constant. `workers` threads compress; their
    number has no effect on the bytes.
    """

    def __init__(self, layout: Layout, *, compressor: Compressor = DEFAULT, workers: int = 2) -> None:
        self._compressor = compressor
        self._state = hashlib.sha256()
        self._size = 0
        self._blob = layout.new_blob()
        self._frames = FrameStream(self._blob.write, compressor, workers=workers)

    def __enter__(self) -> LayerWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._frames.close()
        self._blob.__exit__(kind, error, trace)

    def write(self, content: bytes) -> None:
        """Append bytes of the tar; members must come out whole, and without the blocks that end an archive."""
        self._state.update(content)
        self._size += len(content)
        self._frames.write(content)

    def add(self, entry: Entry, content: bytes = b"") -> None:
        """Append a member with its content; raises `ValueError` where `entry.size` is not the content's."""
        if entry.type == REGULAR and entry.size != len(content):
            raise ValueError(f"{entry.path}: {len(content)} bytes instead of {entry.size}")
        self.write(member_header(entry) + content + padding(len(content)))

    def add_frames(self, frames: BinaryIO | Path) -> None:
        """Append whole members that this kind of compressor compressed before, as they are; without the end blocks.

        They are decompressed for their digest, so frames that hold something else than thought cannot get in unnoticed.
        Raises `IntegrityError` for damaged or other frames and for half members.
        """
        if isinstance(frames, Path):
            with frames.open("rb") as file:
                self.add_frames(file)
            return
        self._frames.flush()
        start = self._size
        for piece in decompress(_Tee(frames, self._blob.write), self._compressor.compression):
            self._state.update(piece)
            self._size += len(piece)
        if (self._size - start) % BLOCK_SIZE:
            raise IntegrityError("compressed members that end within a block")

    def finish(self) -> LayerDigest:
        """End the tar, store the blob and tell its digests; raises `StoreError`."""
        if self._size % BLOCK_SIZE:
            raise ValueError("the last member of the layer is not whole")
        self.write(END)
        self._frames.flush()
        blob = self._blob.commit(self._compressor.compression.media_type)
        return LayerDigest(
            diff_id=DiffId(digest_of(Sha256(self._state.hexdigest()))),
            size=self._size,
            blob=blob.digest,
            blob_size=blob.size,
            media_type=blob.media_type,
            compressor=self._compressor.name,
        )


def canonical_layer(
    raw_layers: Sequence[Path | BinaryIO],
    writer: LayerWriter,
    *,
    epoch: int,
    removals: Sequence[Removal] = (),
    extra: Iterable[tuple[Entry, bytes | Path]] = (),
    transforms: Mapping[str, Callable[[bytes], bytes]] | None = None,
    keep_whiteouts: bool = False,
) -> LayerDigest:
    """Merge uncompressed layers, bottom first, into one canonical layer and write it.

    - Members are sorted by path; mtimes are at most `epoch`; owners are numbers; there is one header spelling (`tar`).
    - A whiteout hides what is in the layers below it. With `keep_whiteouts` it stays in the result, for the image's
      layers below; without, the result is the bottom of an image and gets the folders that it lacks.
    - `removals` are left out, a folder with its content. A whiteout of such a path stays: it hides the parent's.
    - `transforms` rewrite single files (path without the first slash); a path that is not there is skipped.
    - `extra` members are added after that, or take the place of what is there (`bytes` or a file for regular ones).
    - Names of one file stay hard links of each other, with the first of them in the order as the file.

    Raises `IntegrityError` for malformed layers, the same path twice, and contradictions between the layers.
    """
    tree = LayerMerge()
    with contextlib.ExitStack() as opened:
        for index, layer in enumerate(raw_layers):
            if isinstance(layer, Path):
                try:
                    file = opened.enter_context(layer.open("rb"))
                except OSError as error:
                    raise StoreError(f"cannot read the layer {layer}", details=str(error)) from None
                tree.put(file, str(layer))
            else:
                tree.put(layer, f"{index + 1} of {len(raw_layers)}")
        tree.remove(removals)
        for path, rewrite in (transforms or {}).items():
            _transform(tree, path, rewrite)
        tree.install(extra)
        if not keep_whiteouts:
            tree.add_missing_parents(epoch)
        _write(tree, writer, epoch, tree.whiteout_members() if keep_whiteouts else [])
    return writer.finish()


def _write(tree: LayerMerge, writer: LayerWriter, epoch: int, whiteouts: Sequence[str]) -> None:
    nodes = tree.nodes
    for path in whiteouts:
        nodes[path] = MergedEntry(Entry(path=path, mode=0, mtime=epoch), content=b"")
    for path in tree.sorted_paths():
        node = nodes[path].origin
        entry = node.entry
        if node.first is not None:
            # The owner and the attributes stand at each name: engines set the owner of links too, which in turn
            # takes away security.capability and the set-user-ID bit, unless they come again.
            writer.write(
                member_header(
                    Entry(
                        path=path,
                        type=HARDLINK,
                        link=node.first,
                        mode=entry.mode,
                        uid=entry.uid,
                        gid=entry.gid,
                        mtime=entry.mtime,
                        xattrs=entry.xattrs,
                    )
                )
            )
            continue
        node.first = entry.path = path
        entry.mtime = min(entry.mtime, epoch)
        if entry.type != REGULAR:
            writer.write(member_header(entry))
            continue
        writer.write(member_header(entry))
        for piece in _content(node):
            writer.write(piece)
        writer.write(padding(entry.size))


def _content(node: MergedEntry) -> Iterator[bytes]:
    if isinstance(node.content, bytes):
        yield node.content
    elif node.content is not None:
        with node.content.open("rb") as file:
            yield from _exactly(file, node.entry)
    elif node.source is not None:
        node.source.seek(node.offset)
        yield from _exactly(node.source, node.entry)


def _exactly(file: BinaryIO, entry: Entry) -> Iterator[bytes]:
    left = entry.size
    while left:
        piece = file.read(min(left, _CHUNK))
        if not piece:
            raise IntegrityError(f"/{entry.path}: its content ends {left} bytes too early")
        left -= len(piece)
        yield piece


def _transform(tree: LayerMerge, path: str, rewrite: Callable[[bytes], bytes]) -> None:
    node = tree.nodes.get(path)
    if node is None:
        return
    node = node.origin
    if node.entry.type != REGULAR:
        raise IntegrityError(f"/{path} is a {node.entry.type}, where a file was to be rewritten")
    node.content = rewrite(b"".join(_content(node)))
    node.entry.size = len(node.content)


class _Tee:
    """A file whose bytes also go to `sink` as they are read."""

    def __init__(self, file: BinaryIO, sink: Callable[[bytes], object]) -> None:
        self._file = file
        self._sink = sink

    def read(self, size: int) -> bytes:
        content = self._file.read(size)
        self._sink(content)
        return content
