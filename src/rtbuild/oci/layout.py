"""OCI image layouts: folders of blobs by digest, and an index that names images.

The rules are in the OCI image specification 1.1, `image-layout.md` and `manifest.md`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from rtbuild.digest import DiffId, Digest, Sha256, digest_of, hex_of, parse_digest
from rtbuild.errors import IntegrityError, StoreError
from rtbuild.files import sync_folder, write_atomically
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

LAYOUT_FILE = b'{"imageLayoutVersion":"1.0.0"}'
_CHUNK = 1 << 20
# Manifests and configs are a few KiB; registries refuse more than 4 MiB.
_DOCUMENT_LIMIT = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """An image in a layout. `names` are what the index calls it; layers and diff_ids come bottom first."""

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
    """A layout folder. Many may read it and add blobs at once; the index has one writer at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def create(cls, root: Path) -> Layout:
        """The layout at `root`, made where there is none; an existing one keeps what it has. Raises `StoreError`."""
        try:
            (root / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
            if not (root / "oci-layout").exists():
                write_atomically(root / "oci-layout", LAYOUT_FILE)
            if not (root / "index.json").exists():
                write_atomically(root / "index.json", index_document(()))
        except OSError as error:
            raise StoreError(f"cannot make an OCI layout at {root}", details=str(error)) from None
        return cls(root)

    @classmethod
    def open(cls, root: Path) -> Layout:
        """The layout at `root`; raises `StoreError` where there is none."""
        if not (root / "oci-layout").is_file():
            hint = "it is a folder with the files oci-layout and index.json"
            raise StoreError(f"no OCI image layout at {root}", hint=hint)
        return cls(root)

    def blob_path(self, digest: Digest) -> Path:
        """Where the blob is, or would be."""
        return self.root / "blobs" / "sha256" / hex_of(digest)

    def new_blob(self) -> BlobWriter:
        """A blob to be written piece by piece."""
        return BlobWriter(self)

    def put_blob(self, content: bytes | Iterable[bytes], media_type: str) -> Descriptor:
        """Store `content` and describe it; raises `StoreError`."""
        with self.new_blob() as blob:
            for piece in (content,) if isinstance(content, bytes) else content:
                blob.write(piece)
            return blob.commit(media_type)

    def read_document(self, descriptor: Descriptor) -> bytes:
        """A manifest's or config's bytes, verified; raises `IntegrityError` for missing, other or oversized ones."""
        if descriptor.size > _DOCUMENT_LIMIT:
            path = self.blob_path(descriptor.digest)
            raise IntegrityError(f"{path}: {descriptor.size} bytes are too many for a manifest or config")
        return b"".join(self.read_blob(descriptor))

    def read_blob(self, descriptor: Descriptor) -> Iterator[bytes]:
        """The blob in pieces. Raises `IntegrityError` for another size at once, and for another digest at the end."""
        path = self.blob_path(descriptor.digest)
        state = hashlib.sha256()
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size != descriptor.size:
                    raise IntegrityError(f"{path}: {size} bytes instead of {descriptor.size}")
                while chunk := file.read(_CHUNK):
                    state.update(chunk)
                    yield chunk
        except FileNotFoundError:
            raise IntegrityError(f"{path}: the blob is missing") from None
        if state.hexdigest() != hex_of(descriptor.digest):
            raise IntegrityError(f"{path}: its content has sha256 {state.hexdigest()}")

    def write_index(self, manifests: Sequence[Descriptor]) -> None:
        """Replace the index. Raises `StoreError`."""
        try:
            write_atomically(self.root / "index.json", index_document(manifests))
        except OSError as error:
            raise StoreError(f"cannot write {self.root / 'index.json'}", details=str(error)) from None

    def list_images(self, entries: Sequence[Descriptor]) -> None:
        """List `entries` in the index, in place of what has the same name and platform there; the rest stays.

        An older entry that tells no platform counts as one for every platform. Raises `StoreError`, `IntegrityError`.
        """
        taken = {(_place(entry), platform) for entry in entries for platform in (entry.platform, None)}
        kept = [found for found in self.read_index() if (_place(found), found.platform) not in taken]
        self.write_index((*kept, *entries))

    def read_index(self) -> tuple[Descriptor, ...]:
        """What the index lists; raises `IntegrityError` for one that cannot be understood."""
        path = self.root / "index.json"
        try:
            content = path.read_bytes()
        except OSError as error:
            raise StoreError(f"cannot read {path}", details=str(error)) from None
        return parse_descriptors(parse_document(content, path), "manifests", path)


class BlobWriter:
    """A blob under a temporary name, until `commit` gives it its digest for one; else leaving the `with` drops it."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._state = hashlib.sha256()
        self.size = 0
        try:
            number, name = tempfile.mkstemp(prefix=".new-", dir=layout.root / "blobs" / "sha256")
        except OSError as error:
            raise StoreError(f"cannot write into {layout.root}", details=str(error)) from None
        self._path = Path(name)
        self._file: BinaryIO = os.fdopen(number, "wb", buffering=_CHUNK)

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, content: bytes) -> None:
        """Append; raises `StoreError` (disk full)."""
        self._state.update(content)
        self.size += len(content)
        try:
            self._file.write(content)
        except OSError as error:
            raise self._failure(error) from None

    def commit(self, media_type: str) -> Descriptor:
        """Make the blob durable under its digest and describe it. An equal one that is there already is replaced."""
        digest = digest_of(Sha256(self._state.hexdigest()))
        try:
            self._file.flush()
            os.fchmod(self._file.fileno(), 0o444)  # blobs are hard-linked: nobody may write through a link
            os.fsync(self._file.fileno())
            self._file.close()
            self._path.replace(self._layout.blob_path(digest))
            sync_folder(self._path.parent)
        except OSError as error:
            raise self._failure(error) from None
        return Descriptor(media_type=media_type, digest=digest, size=self.size)

    def _failure(self, error: OSError) -> StoreError:
        hint = "the disk is full: free some space and run again" if error.errno == errno.ENOSPC else None
        return StoreError(f"cannot write a blob into {self._layout.root}", details=str(error), hint=hint)


def read_stored_image(
    layout: Layout, reference: str | None = None, platform: tuple[str, str] | None = None
) -> StoredImage:
    """The image that `reference` (a tag, a full name or a digest) names; None is the only one there is.

    Indexes inside the index are followed; `platform` is (os, architecture) where several are there.
    Raises `IntegrityError` for a malformed or missing part and `StoreError` where no or more than one image fits.
    """
    matching = [found for found in layout.read_index() if reference is None or is_called(found, reference)]
    manifests = {found.digest: found for found in _manifests(layout, matching)}
    images = [image_of(layout, found) for found in manifests.values()]
    if platform:
        images = [image for image in images if image.platform[:2] == platform]
    if len(images) != 1:
        wanted = " ".join(filter(None, (reference or "image", "/".join(platform) if platform else "")))
        names = (
            ", ".join(sorted({name for found in layout.read_index() for name in names_of(found)}))
            or "nothing that has a name"
        )
        what = "no" if not images else "more than one"
        raise StoreError(f"{layout.root}: {what} image fits {wanted}", hint=f"the index lists {names}")
    return images[0]


def image_of(layout: Layout, manifest: Descriptor) -> StoredImage:
    """What the manifest in `layout` says, and its config; raises `IntegrityError` for a malformed or missing part."""
    path = layout.blob_path(manifest.digest)
    document = parse_document(layout.read_document(manifest), path)
    config = parse_descriptor(document.get("config"), f"{path}: config")
    layers = parse_descriptors(document, "layers", path)
    config_path = layout.blob_path(config.digest)
    settings = parse_document(layout.read_document(config), config_path)
    try:
        diff_ids = tuple(DiffId(parse_digest(found)) for found in settings["rootfs"]["diff_ids"])
        platform = (str(settings["os"]), str(settings["architecture"]), str(settings.get("variant", "")))
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{config_path}: not an image config", details=repr(error)) from None
    if len(diff_ids) != len(layers):
        raise IntegrityError(f"{path}: {len(layers)} layers, but the config has {len(diff_ids)} diff_ids")
    names = tuple(name for found in layout.read_index() if found.digest == manifest.digest for name in names_of(found))
    return StoredImage(
        manifest=manifest, config=config, layers=layers, diff_ids=diff_ids, platform=platform, names=names
    )


def _place(entry: Descriptor) -> str:
    """The name under which an index has the image; its digest where it has none."""
    return next(reversed(names_of(entry)), entry.digest)


def _manifests(layout: Layout, descriptors: Iterable[Descriptor], depth: int = 0) -> Iterator[Descriptor]:
    for found in descriptors:
        if found.media_type in MANIFESTS:
            # BuildKit's attestations are manifests for a platform that does not exist.
            if not found.platform or found.platform[0] != "unknown":
                yield found
        elif found.media_type in INDEXES and depth < 4:
            path = layout.blob_path(found.digest)
            inner = parse_descriptors(parse_document(layout.read_document(found), path), "manifests", path)
            yield from _manifests(layout, inner, depth + 1)
