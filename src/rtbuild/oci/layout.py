"""OCI image layouts: folders with blobs by digest and an index that names images.

Specification: OCI image specification 1.1, `image-layout.md` and `manifest.md`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from rtbuild.digest import DiffId, Digest, Sha256, digest_of, hex_of, parse_digest, sha256_bytes
from rtbuild.documents import LARGEST_JSON
from rtbuild.errors import IntegrityError, StoreError
from rtbuild.files import (
    create_unfinished,
    open_regular,
    read_regular,
    remove_unfinished,
    sync_folder,
    write_atomically,
)
from rtbuild.oci.descriptor import (
    INDEXES,
    MANIFESTS,
    Descriptor,
    index_document,
    parse_descriptor,
    parse_descriptors,
    parse_document,
)
from rtbuild.oci.names import is_called, names_of

VERSION_FILE = "oci-layout"
"""The name of the file that makes a folder a layout."""

LAYOUT_FILE = b'{"imageLayoutVersion":"1.0.0"}'
_CHUNK = 1 << 20
# Manifests and configs are a few KiB; registries refuse more than 4 MiB.
_DOCUMENT_LIMIT = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """An image in a layout.

    Attributes:
        manifest: Its manifest.
        config: Its config.
        layers: Its layers, bottom first.
        diff_ids: The diff IDs of the layers, bottom first.
        platform: Its os, architecture and variant; the variant may be empty.
        names: Its names in the index.
    """

    manifest: Descriptor
    config: Descriptor
    layers: tuple[Descriptor, ...]
    diff_ids: tuple[DiffId, ...]
    platform: tuple[str, str, str]
    names: tuple[str, ...]

    @property
    def id(self) -> Digest:
        """The image ID: the digest of the config."""
        return self.config.digest


class Layout:
    """A layout folder. Many may read it and add blobs at once, but only one may write the index at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def create(cls, root: Path) -> Layout:
        """Return the layout at `root`, created if it is missing; an existing one keeps its content.

        Raises:
            StoreError: if it cannot be created.
        """
        try:
            (root / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
            if not (root / VERSION_FILE).exists():
                write_atomically(root / VERSION_FILE, LAYOUT_FILE)
            if not (root / "index.json").exists():
                write_atomically(root / "index.json", index_document(()))
        except OSError as error:
            raise StoreError(f"cannot create an OCI layout at {root}", details=str(error)) from None
        return cls(root)

    @classmethod
    def open(cls, root: Path) -> Layout:
        """Return the layout at `root`.

        Raises:
            StoreError: if there is none.
        """
        if not (root / VERSION_FILE).is_file():
            hint = "name a folder with the files `oci-layout` and `index.json`"
            raise StoreError(f"no OCI image layout at {root}", hint=hint)
        return cls(root)

    def blob_path(self, digest: Digest) -> Path:
        """Return the path of a blob, whether it exists or not."""
        return self.root / "blobs" / "sha256" / hex_of(digest)

    def blob_files(self) -> list[Path]:
        """Return the files in the folder of blobs, sorted by name: blobs, and what killed processes left."""
        folder = self.root / "blobs" / "sha256"
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def remove_unfinished(self) -> None:
        """Remove the parts of blobs that killed processes left.

        Raises:
            StoreError: if the folder of blobs cannot be read.
        """
        try:
            remove_unfinished(self.root / "blobs" / "sha256")
        except FileNotFoundError:
            pass  # nothing was ever written
        except OSError as error:
            raise StoreError(f"cannot read {self.root}", details=str(error)) from None

    def new_blob(self) -> BlobWriter:
        """Return a writer for a new blob.

        Raises:
            StoreError: if the layout cannot be written.
        """
        return BlobWriter(self)

    def put_blob(self, content: bytes | Iterable[bytes], media_type: str) -> Descriptor:
        """Store `content` as a blob and return its descriptor.

        A document that is there already is not written again, which would wait for the disk.

        Raises:
            StoreError: if the layout cannot be written.
        """
        if isinstance(content, bytes) and len(content) <= _DOCUMENT_LIMIT:
            digest = digest_of(sha256_bytes(content))
            with contextlib.suppress(OSError):
                if read_regular(self.blob_path(digest), len(content)) == content:
                    return Descriptor(media_type=media_type, digest=digest, size=len(content))
        with self.new_blob() as blob:
            for piece in (content,) if isinstance(content, bytes) else content:
                blob.write(piece)
            return blob.commit(media_type)

    def read_document(self, descriptor: Descriptor) -> bytes:
        """Return the bytes of a manifest or config, verified.

        Raises:
            IntegrityError: if it is missing, larger than 4 MiB, or has another size or digest.
        """
        if descriptor.size > _DOCUMENT_LIMIT:
            path = self.blob_path(descriptor.digest)
            raise IntegrityError(f"{path}: {descriptor.size} bytes is too large for a manifest or config")
        return b"".join(self.read_blob(descriptor))

    def read_blob(self, descriptor: Descriptor) -> Iterator[bytes]:
        """Yield a blob in pieces of up to 1 MiB.

        Raises:
            IntegrityError: at once if the blob is missing or has another size; at the end if it has another digest.
        """
        path = self.blob_path(descriptor.digest)
        hasher = hashlib.sha256()
        try:
            with open_regular(path) as file:
                size = os.fstat(file.fileno()).st_size
                if size != descriptor.size:
                    raise IntegrityError(f"{path}: size is {size} bytes, expected {descriptor.size}")
                while chunk := file.read(_CHUNK):
                    hasher.update(chunk)
                    yield chunk
        except FileNotFoundError:
            raise IntegrityError(f"{path}: the blob is missing") from None
        except OSError as error:
            raise IntegrityError(f"{path}: the blob cannot be read: {error.strerror}") from None
        if hasher.hexdigest() != hex_of(descriptor.digest):
            raise IntegrityError(f"{path}: the blob is damaged: sha256 is {hasher.hexdigest()}")

    def write_index(self, manifests: Sequence[Descriptor]) -> None:
        """Replace the index.

        Raises:
            StoreError: if it cannot be written.
        """
        try:
            write_atomically(self.root / "index.json", index_document(manifests))
        except OSError as error:
            raise StoreError(f"cannot write {self.root / 'index.json'}", details=str(error)) from None

    def list_images(self, entries: Sequence[Descriptor]) -> None:
        """Add `entries` to the index, replacing those with the same name and platform.

        An older entry without a platform counts as one for every platform.

        Raises:
            StoreError: if the index cannot be read or written.
            IntegrityError: if the index is malformed.
        """
        replaced = {(_index_name(entry), platform) for entry in entries for platform in (entry.platform, None)}
        listed = self.read_index()
        kept = [entry for entry in listed if (_index_name(entry), entry.platform) not in replaced]
        wanted = (*kept, *entries)
        if len(wanted) != len(listed) or set(wanted) != set(listed):
            self.write_index(wanted)

    def read_index(self) -> tuple[Descriptor, ...]:
        """Return the entries of the index.

        Raises:
            StoreError: if it cannot be read.
            IntegrityError: if it is malformed.
        """
        path = self.root / "index.json"
        try:
            content = read_regular(path, LARGEST_JSON)
        except OSError as error:
            raise StoreError(f"cannot read {path}", details=str(error)) from None
        return parse_descriptors(parse_document(content, path), "manifests", path)


class BlobWriter:
    """A blob that is being written, under a temporary name until `commit`. Leaving the `with` without it drops it."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._hasher = hashlib.sha256()
        self.size = 0
        try:
            self._path, self._file = create_unfinished(layout.root / "blobs" / "sha256", ".new-")
        except OSError as error:
            raise StoreError(f"cannot write into {layout.root}", details=str(error)) from None

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, content: bytes) -> None:
        """Append bytes.

        Raises:
            StoreError: if they cannot be written, for example because the disk is full.
        """
        self._hasher.update(content)
        self.size += len(content)
        try:
            self._file.write(content)
        except OSError as error:
            raise self._failure(error) from None

    def commit(self, media_type: str) -> Descriptor:
        """Store the blob durably under its digest, replacing an existing one, and return its descriptor.

        Raises:
            StoreError: if it cannot be written.
        """
        digest = digest_of(Sha256(self._hasher.hexdigest()))
        try:
            self._file.flush()
            os.fchmod(self._file.fileno(), 0o444)  # blobs are hard-linked: nobody may write through a link
            os.fsync(self._file.fileno())
            self._path.replace(self._layout.blob_path(digest))  # while it is locked
            self._file.close()
            sync_folder(self._path.parent)
        except OSError as error:
            raise self._failure(error) from None
        return Descriptor(media_type=media_type, digest=digest, size=self.size)

    def _failure(self, error: OSError) -> StoreError:
        hint = "free some space on the disk and run the command again" if error.errno == errno.ENOSPC else None
        return StoreError(f"cannot write a blob into {self._layout.root}", details=str(error), hint=hint)


def read_stored_image(
    layout: Layout, reference: str | None = None, platform: tuple[str, str] | None = None
) -> StoredImage:
    """Return the image that `reference` refers to. Indexes inside the index are followed.

    Args:
        layout: The layout to look in.
        reference: A tag, a name or a digest; None for the only image of the layout.
        platform: The os and architecture to choose if there are several.

    Raises:
        IntegrityError: if a part of the layout is malformed or missing.
        StoreError: if no image matches, or more than one.
    """
    entries = layout.read_index()
    matching = [entry for entry in entries if reference is None or is_called(entry, reference)]
    manifests = {manifest.digest: manifest for manifest in _manifests(layout, matching)}
    images = [image_of(layout, manifest) for manifest in manifests.values()]
    if platform:
        images = [image for image in images if image.platform[:2] == platform]
    if len(images) != 1:
        wanted = " ".join(filter(None, (reference or "image", "/".join(platform) if platform else "")))
        names = ", ".join(sorted({name for entry in entries for name in names_of(entry)}))
        what = "no" if not images else "more than one"
        hint = f"choose one of the index: {names}" if names else "the index names no image"
        raise StoreError(f"{layout.root}: {what} image matches {wanted}", hint=hint)
    return images[0]


def image_of(layout: Layout, manifest: Descriptor) -> StoredImage:
    """Read the image with this manifest from `layout`.

    Raises:
        IntegrityError: if a part of the image is malformed or missing.
    """
    path = layout.blob_path(manifest.digest)
    document = parse_document(layout.read_document(manifest), path)
    config = parse_descriptor(document.get("config"), f"{path}: config")
    layers = parse_descriptors(document, "layers", path)
    config_path = layout.blob_path(config.digest)
    settings = parse_document(layout.read_document(config), config_path)
    try:
        diff_ids = tuple(DiffId(parse_digest(text)) for text in settings["rootfs"]["diff_ids"])
        platform = (str(settings["os"]), str(settings["architecture"]), str(settings.get("variant", "")))
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{config_path}: not an image config", details=repr(error)) from None
    if len(diff_ids) != len(layers):
        raise IntegrityError(f"{path}: the manifest has {len(layers)} layers, but the config {len(diff_ids)} diff IDs")
    names = tuple(name for entry in layout.read_index() if entry.digest == manifest.digest for name in names_of(entry))
    return StoredImage(
        manifest=manifest, config=config, layers=layers, diff_ids=diff_ids, platform=platform, names=names
    )


def _index_name(entry: Descriptor) -> str:
    """Return the full name of an entry of an index; its digest if it has no name."""
    return next(reversed(names_of(entry)), entry.digest)


def _manifests(layout: Layout, descriptors: Iterable[Descriptor], depth: int = 0) -> Iterator[Descriptor]:
    for descriptor in descriptors:
        if descriptor.media_type in MANIFESTS:
            # BuildKit's attestations are manifests for the platform "unknown".
            if not descriptor.platform or descriptor.platform[0] != "unknown":
                yield descriptor
        elif descriptor.media_type in INDEXES and depth < 4:
            path = layout.blob_path(descriptor.digest)
            inner = parse_descriptors(parse_document(layout.read_document(descriptor), path), "manifests", path)
            yield from _manifests(layout, inner, depth + 1)
