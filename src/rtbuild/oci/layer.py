"""Write layers, and turn BuildKit's exports into canonical layers, whose bytes depend only on the files in them.

Measured: two versions of BuildKit export the same members for the same build, but with the times of the clock and with
traces of the run. A canonical layer has neither; its diff ID is what locks record.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from rtbuild.digest import DiffId, Digest, Sha256, digest_of
from rtbuild.errors import IntegrityError, StoreError
from rtbuild.formats.frames import DEFAULT, Compressor, FrameStream, decompress
from rtbuild.formats.tar import BLOCK_SIZE, END, member_header, padding
from rtbuild.formats.tar_entry import DIRECTORY, HARDLINK, REGULAR, SYMLINK, Entry
from rtbuild.oci.descriptor import Descriptor
from rtbuild.oci.folders import LayerFolders
from rtbuild.oci.layout import Layout
from rtbuild.oci.merge import LayerMerge, MergedEntry
from rtbuild.recipe.model import Removal


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDigest:
    """A layer that was written.

    Attributes:
        diff_id: The digest of the uncompressed tar.
        size: The size of the uncompressed tar in bytes.
        blob: The digest of the blob, as it is stored.
        blob_size: The size of the blob in bytes.
        media_type: The media type of the blob.
        compressor: The name of the compressor.
        folders: Its folders and symbolic links, except those in frames that were added as they are.
    """

    diff_id: DiffId
    size: int
    blob: Digest
    blob_size: int
    media_type: str
    compressor: str
    folders: LayerFolders = field(repr=False)

    @property
    def descriptor(self) -> Descriptor:
        """The layer in a manifest."""
        return Descriptor(media_type=self.media_type, digest=self.blob, size=self.blob_size)


class LayerWriter:
    """Writes one layer into a layout: compresses the tar and computes both digests, in constant memory.

    Leaving the `with` without `finish` leaves nothing behind. The number of `workers`, the threads that compress, does
    not change the bytes.
    """

    def __init__(self, layout: Layout, *, compressor: Compressor = DEFAULT, workers: int = 2) -> None:
        self._compressor = compressor
        self._hasher = hashlib.sha256()
        self._size = 0
        self._blob = layout.new_blob()
        self._frames = FrameStream(self._blob.write, compressor, workers=workers)
        self._folders: dict[str, tuple[int, int, int]] = {}
        self._links: dict[str, str] = {}

    def __enter__(self) -> LayerWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._frames.close()
        self._blob.__exit__(kind, error, trace)

    def write(self, content: bytes) -> None:
        """Append bytes of whole members, without the blocks that end an archive.

        Raises:
            StoreError: if the layout cannot be written.
        """
        self._hasher.update(content)
        self._size += len(content)
        self._frames.write(content)

    def add(self, entry: Entry, content: bytes = b"") -> None:
        """Append a member with its content.

        Raises:
            ValueError: if `entry.size` is not the size of the content.
            StoreError: if the layout cannot be written.
        """
        if entry.type == REGULAR and entry.size != len(content):
            raise ValueError(f"{entry.path}: content is {len(content)} bytes, expected {entry.size}")
        self.add_header(entry)
        self.write(content + padding(len(content)))

    def add_header(self, entry: Entry) -> None:
        """Append the header of a member; `write` its content, filled up to whole blocks, next.

        Raises:
            StoreError: if the layout cannot be written.
        """
        if entry.type == DIRECTORY:
            self._folders[entry.path] = (entry.mode, entry.uid, entry.gid)
        elif entry.type == SYMLINK:
            self._links[entry.path] = entry.link
        self.write(member_header(entry))

    def add_frames(self, frames: BinaryIO | Path) -> None:
        """Append frames of whole members that were compressed earlier, as they are, without the blocks that end a tar.

        They are decompressed to compute the diff ID, so frames with the wrong content cannot go unnoticed.

        Raises:
            IntegrityError: if the frames are damaged, have another compression or end within a member.
            StoreError: if the layout cannot be written.
        """
        if isinstance(frames, Path):
            with frames.open("rb") as file:
                self.add_frames(file)
            return
        self._frames.flush()
        start = self._size
        for piece in decompress(_Tee(frames, self._blob.write), self._compressor.compression):
            self._hasher.update(piece)
            self._size += len(piece)
        if (self._size - start) % BLOCK_SIZE:
            raise IntegrityError("compressed members end within a block")

    def finish(self) -> LayerDigest:
        """End the tar and store the blob.

        Raises:
            ValueError: if the last member is incomplete.
            StoreError: if the layout cannot be written.
        """
        if self._size % BLOCK_SIZE:
            raise ValueError("the last member of the layer is incomplete")
        self.write(END)
        self._frames.flush()
        blob = self._blob.commit(self._compressor.compression.media_type)
        return LayerDigest(
            diff_id=DiffId(digest_of(Sha256(self._hasher.hexdigest()))),
            size=self._size,
            blob=blob.digest,
            blob_size=blob.size,
            media_type=blob.media_type,
            compressor=self._compressor.name,
            folders=LayerFolders(folders=self._folders, links=self._links),
        )


def canonical_layer(  # noqa: PLR0913
    raw_layers: Sequence[Path | BinaryIO],
    writer: LayerWriter,
    *,
    epoch: int,
    removals: Sequence[Removal] = (),
    extra: Iterable[tuple[Entry, bytes | Path]] = (),
    transforms: Mapping[str, Callable[[bytes], bytes]] | None = None,
    below: Sequence[Path | BinaryIO] | None = None,
) -> LayerDigest:
    """Merge uncompressed layers, bottom first, into one canonical layer (see `merge`) and write it.

    Members are sorted by path and have the one header spelling of `formats.tar`. The first name of a file becomes the
    file, its other names hard links to it. Every folder above a member has an entry, and all folders have the time
    `epoch`: a folder's own time is that of the last change in it, which depends on the builder's steps.

    There are seven parameters: input, output, and the steps between them in their order, which callers combine freely.

    Args:
        raw_layers: The uncompressed tars.
        writer: Where the layer is written to.
        epoch: The latest mtime, in seconds since 1970; later ones become this one, and those of folders.
        removals: Members to remove, a folder with its content. Their whiteouts stay: they hide what the parent has.
        transforms: Functions that rewrite the content of files, by path without the leading slash. A path that does not
            exist is skipped.
        extra: Members to add or replace, with their content or the file that has it.
        below: The uncompressed layers of the parent image, bottom first, whose files whiteouts hide. Without it the
            layer is the bottom of an image and has no whiteouts.

    Raises:
        IntegrityError: if a layer is malformed, has a path twice, or the layers contradict each other.
        StoreError: if a layer cannot be read or the result cannot be written.
    """
    with contextlib.ExitStack() as opened:
        parent = None if below is None else _merged(below, opened)
        merge = _merged(raw_layers, opened)
        merge.remove(removals)
        for path, rewrite in (transforms or {}).items():
            _transform(merge, path, rewrite)
        merge.install(extra)
        if parent is not None:
            merge.subtract(parent, epoch)
        else:
            merge.whiteouts.clear()
            merge.opaques.clear()
        merge.add_folders(epoch, parent)
        _write(merge, writer, epoch)
    return writer.finish()


def _merged(layers: Sequence[Path | BinaryIO], opened: contextlib.ExitStack) -> LayerMerge:
    """Return the merge of `layers`, bottom first; files that it opens stay open until `opened` is closed."""
    merge = LayerMerge()
    for index, layer in enumerate(layers):
        if isinstance(layer, Path):
            try:
                file = opened.enter_context(layer.open("rb"))
            except OSError as error:
                raise StoreError(f"cannot read layer {layer}", details=str(error)) from None
            merge.add_layer(file, str(layer))
        else:
            merge.add_layer(layer, f"{index + 1} of {len(layers)}")
    return merge


def _write(merge: LayerMerge, writer: LayerWriter, epoch: int) -> None:
    members = merge.members
    for path in merge.whiteout_paths():
        members[path] = MergedEntry(Entry(path=path, mode=0, mtime=epoch), content=b"")
    for path in merge.sorted_paths():
        file = members[path].origin
        entry = file.entry
        if file.first is not None:
            # Each name repeats owner and attributes: engines set the owner of links too, which drops
            # security.capability and the set-user-ID bit unless they are set again.
            writer.write(
                member_header(
                    Entry(
                        path=path,
                        type=HARDLINK,
                        link=file.first,
                        mode=entry.mode,
                        uid=entry.uid,
                        gid=entry.gid,
                        mtime=entry.mtime,
                        xattrs=entry.xattrs,
                    )
                )
            )
            continue
        file.first = entry.path = path
        entry.mtime = epoch if entry.type == DIRECTORY else min(entry.mtime, epoch)
        writer.add_header(entry)
        if entry.type != REGULAR:
            continue
        for piece in file.read():
            writer.write(piece)
        writer.write(padding(entry.size))


def _transform(merge: LayerMerge, path: str, rewrite: Callable[[bytes], bytes]) -> None:
    member = merge.members.get(path)
    if member is None:
        return
    file = member.origin
    if file.entry.type != REGULAR:
        raise IntegrityError(f"cannot rewrite /{path}: it is a {file.entry.type}, not a file")
    file.content = rewrite(b"".join(file.read()))
    file.entry.size = len(file.content)


class _Tee:
    """A file that passes what is read from it to `sink` as well."""

    def __init__(self, file: BinaryIO, sink: Callable[[bytes], object]) -> None:
        self._file = file
        self._sink = sink

    def read(self, size: int) -> bytes:
        content = self._file.read(size)
        self._sink(content)
        return content
