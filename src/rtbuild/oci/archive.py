"""Read every file of an image's archive once: the folder of an OCI layout, an OCI archive or what `docker save` wrote.

A tar is read as a stream, so that it may be compressed, or come from Docker without a copy on disk. Of each file the
digest, the digest of the uncompressed content and the compression are kept, and the bytes if it is a small document.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from rtbuild.digest import DiffId, Sha256, digest_of
from rtbuild.errors import IntegrityError, StoreError
from rtbuild.formats.compression import MAGIC_SIZE, Compression, compression_of
from rtbuild.formats.frames import decompress, open_uncompressed
from rtbuild.formats.tar import read_members
from rtbuild.formats.tar_entry import DIRECTORY, REGULAR, SYMLINK
from rtbuild.oci.descriptor import Descriptor, index_document
from rtbuild.oci.layout import LAYOUT_FILE, Layout, image_of

if TYPE_CHECKING:
    from typing_extensions import Buffer

DOCUMENT_LIMIT = 4 << 20
"""Manifests, configs and indexes are a few KiB; registries refuse more than 4 MiB."""

UNCOMPRESSED_LIMIT = 64 << 30
"""No layer is larger; a few KiB of compressed zeros could otherwise keep a reader busy for days."""

ALL_DOCUMENTS_LIMIT = 64 << 20
"""Bytes of documents in a tar. They are kept, and a few KiB of compressed spaces could otherwise take all memory."""

_MOST_MEMBERS = 100_000
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedFile:
    """A file of an archive, read whole.

    Attributes:
        path: Its path in the archive, without `./`.
        size: Its size in bytes.
        sha256: The digest of its bytes.
        compression: How it is compressed, by its first bytes.
        diff_id: The digest of the uncompressed content; None if it is damaged.
        damage: What is wrong with the compressed data; empty if nothing is.
        content: The bytes of a file of up to 4 MiB that looks like JSON; None for any other.
    """

    path: str
    size: int
    sha256: Sha256
    compression: Compression
    diff_id: DiffId | None
    damage: str = ""
    content: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFiles:
    """What is in an archive.

    Attributes:
        files: Every file by its path.
        links: The targets of the symbolic links by their paths.
        findings: What does not belong into an archive, one line each.
        grows: Whether images are added and replaced in it, so that blobs of older ones may be left.
    """

    files: Mapping[str, ArchivedFile]
    links: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    grows: bool = False

    @property
    def size(self) -> int:
        """The bytes that were read."""
        return sum(file.size for file in self.files.values())


class ImageSource(Protocol):
    """Where the files of an image are. `title` names it in messages."""

    title: str

    def read(self, jobs: int) -> ArchiveFiles:
        """Read every file, on up to `jobs` threads.

        Raises:
            StoreError: if there is no image, or it cannot be read.
            IntegrityError: if the archive itself is malformed.
        """

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open one file again.

        Raises:
            StoreError: if it is not there any more.
        """


class FolderSource:
    """The folder of an OCI layout, or of an unpacked archive."""

    def __init__(self, root: Path) -> None:
        self.title = str(root)
        self._root = root

    def read(self, jobs: int) -> ArchiveFiles:
        """Read every file; see `ImageSource`."""
        if not any((self._root / name).is_file() for name in ("oci-layout", "manifest.json")):
            hint = "name a folder with the files `oci-layout` and `index.json`"
            raise StoreError(f"no OCI image layout at {self._root}", hint=hint)
        paths: list[str] = []
        findings: list[str] = []
        for folder, folders, names in os.walk(self._root):
            for path in (Path(folder, name) for name in (*folders, *names)):
                relative = path.relative_to(self._root).as_posix()
                mode = path.lstat().st_mode
                if stat.S_ISREG(mode):
                    paths.append(relative)
                elif not stat.S_ISDIR(mode):
                    findings.append(f"{relative}: neither a file nor a folder")
        files = _read_in_threads(self._root, sorted(paths), jobs)
        return ArchiveFiles(files=files, findings=tuple(sorted(findings)), grows=True)

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open one file again; see `ImageSource`."""
        return _opened(self._root / path)


class StoredSource:
    """Some images of a layout that has many: only their blobs are read, and only they are in its index."""

    def __init__(self, layout: Layout, entries: Sequence[Descriptor], title: str) -> None:
        self.title = title
        self._layout = layout
        self._entries = entries

    def read(self, jobs: int) -> ArchiveFiles:
        """Read the blobs of the images; see `ImageSource`."""
        blobs: dict[str, None] = {}
        for entry in self._entries:
            image = image_of(self._layout, entry)
            blobs |= dict.fromkeys(map(blob_path, (image.manifest, image.config, *image.layers)))
        there = [path for path in blobs if (self._layout.root / path).is_file()]
        files = _read_in_threads(self._layout.root, there, jobs)
        for path, content in (("oci-layout", LAYOUT_FILE), ("index.json", index_document(self._entries))):
            files[path] = read_file(path, io.BytesIO(content))
        return ArchiveFiles(files=files)

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open one file again; see `ImageSource`."""
        return _opened(self._layout.root / path)


class TarSource:
    """A tar that can be opened any number of times; it may be compressed."""

    def __init__(self, title: str, open_stream: Callable[[], AbstractContextManager[BinaryIO]]) -> None:
        self.title = title
        self._open_stream = open_stream

    def read(self, jobs: int) -> ArchiveFiles:
        """Read every member; see `ImageSource`. One thread reads the stream, whatever `jobs` says."""
        files: dict[str, ArchivedFile] = {}
        links: dict[str, str] = {}
        findings: list[str] = []
        with self._open_stream() as raw, open_uncompressed(raw) as stream:
            try:
                left = ALL_DOCUMENTS_LIMIT
                for number, (entry, _) in enumerate(read_members(stream)):
                    if number == _MOST_MEMBERS:
                        raise IntegrityError(f"more than {_MOST_MEMBERS} files")
                    if entry.path in files or entry.path in links:
                        findings.append(f"{entry.path}: twice in the archive")
                    if entry.type == REGULAR:
                        file = read_file(entry.path, io.BufferedReader(_Part(stream, entry.size), _CHUNK))
                        files[entry.path] = file
                        left -= len(file.content or b"")
                        if left < 0:
                            raise IntegrityError(f"more than {ALL_DOCUMENTS_LIMIT >> 20} MiB of documents")
                    elif entry.type == SYMLINK:
                        links[entry.path] = entry.link
                    elif entry.type != DIRECTORY:
                        findings.append(f"{entry.path}: neither a file nor a folder")
            except IntegrityError as error:
                raise IntegrityError(
                    f"{self.title}: cannot be read as an archive: {error.brief}", details=error.details
                ) from None
        return ArchiveFiles(files=files, links=links, findings=tuple(findings))

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """Open one file again; see `ImageSource`."""
        with self._open_stream() as raw, open_uncompressed(raw) as stream:
            for entry, _ in read_members(stream):
                if entry.path == path and entry.type == REGULAR:
                    yield io.BufferedReader(_Part(stream, entry.size), _CHUNK)
                    return
        raise StoreError(f"{self.title}: {path} is not there any more")


def tar_file(path: Path) -> TarSource:
    """Return the source of images in the tar at `path`."""
    return TarSource(str(path), lambda: _opened(path))


def blob_path(descriptor: Descriptor) -> str:
    """Return where a layout keeps a blob."""
    return "blobs/" + descriptor.digest.replace(":", "/", 1)


def read_file(path: str, stream: Readable) -> ArchivedFile:
    """Read `stream` to its end. Memory does not grow with its size."""
    raw = _Counted(stream)
    uncompressed, size = hashlib.sha256(), 0
    start = bytearray()
    damage = ""
    try:
        for piece in decompress(raw):
            uncompressed.update(piece)
            size += len(piece)
            if raw.is_document and size <= DOCUMENT_LIMIT:
                start += piece
            if size > UNCOMPRESSED_LIMIT:
                raise IntegrityError(f"more than {UNCOMPRESSED_LIMIT >> 30} GiB when uncompressed")
    except IntegrityError as error:
        damage = f"{error.brief} ({error.details})" if error.details else error.brief
        while raw.read(_CHUNK):  # the digest is still that of the whole file
            pass
    return ArchivedFile(
        path=path,
        size=raw.size,
        sha256=Sha256(raw.hasher.hexdigest()),
        compression=compression_of(raw.head),
        diff_id=None if damage else DiffId(digest_of(Sha256(uncompressed.hexdigest()))),
        damage=damage,
        content=bytes(start) if raw.is_document and size <= DOCUMENT_LIMIT else None,
    )


def _read_in_threads(root: Path, paths: Sequence[str], jobs: int) -> dict[str, ArchivedFile]:
    def read(path: str) -> ArchivedFile:
        with _opened(root / path) as stream:
            return read_file(path, stream)

    with ThreadPoolExecutor(max(1, jobs), thread_name_prefix="read") as pool:
        return {file.path: file for file in pool.map(read, paths)}


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        stream = path.open("rb")
    except OSError as error:
        raise StoreError(f"cannot read {path}", details=str(error)) from None
    with stream:
        yield stream


class Readable(Protocol):
    """What bytes can be read from."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; none at the end."""


class _Counted:
    """A stream whose bytes are hashed and counted as they are read."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self.hasher = hashlib.sha256()
        self.size = 0
        self.head = b""

    @property
    def is_document(self) -> bool:
        """Whether the file looks like a JSON object or list."""
        return self.head[:1] in (b"{", b"[")

    def read(self, size: int, /) -> bytes:
        piece = self._stream.read(size)
        self.hasher.update(piece)
        self.size += len(piece)
        if len(self.head) < MAGIC_SIZE:
            self.head = (self.head + piece)[:MAGIC_SIZE]
        return piece


class _Part(io.RawIOBase):
    """The next `size` bytes of a stream, as a file that can be read once."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        target = memoryview(buffer)[: self._left]
        piece = self._stream.read(len(target))
        if len(piece) != len(target):
            raise IntegrityError("the archive ends within a file")
        target[:] = piece
        self._left -= len(piece)
        return len(piece)
