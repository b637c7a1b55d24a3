"""Copy an image from a layout into another one, or into a tar for `docker load`."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from rtbuild.digest import canonical_json, hex_of
from rtbuild.errors import IntegrityError, StoreError
from rtbuild.formats.tar import END, member_header, padding
from rtbuild.formats.tar_entry import DIRECTORY, Entry
from rtbuild.oci.descriptor import Descriptor, index_document
from rtbuild.oci.layout import LAYOUT_FILE, VERSION_FILE, Layout, image_of
from rtbuild.oci.names import full_reference, named


def require_destination(folder: Path) -> None:
    """Require a folder that `copy_image` may write into: a layout, or a missing or empty folder.

    Raises:
        StoreError: if it holds anything else, or cannot be read.
    """
    try:
        names = {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"{folder}: cannot be read: {error.strerror}", hint="name another folder") from None
    # What a file system makes, or a process that was killed while it created the layout
    unfinished = {name for name in names if name.startswith(f".{VERSION_FILE}.")} | {"blobs", "lost+found"}
    if VERSION_FILE not in names and (foreign := sorted(names - unfinished)):
        raise StoreError(
            f"{folder}: is not an OCI image layout, and not empty",
            details=f"no file `{VERSION_FILE}`, but {', '.join(foreign[:5])}",
            hint="name a new or empty folder",
        )


def copy_image(layout: Layout, manifest: Descriptor, destination: Path, names: Sequence[str]) -> Layout:
    """Add the image to the layout in the folder `destination`, under `names`, and return that layout.

    A missing layout is created. Images with other names or for other platforms stay. Blobs are hard links if the file
    system allows it, otherwise copies. Copies into the same folder wait for each other.

    Raises:
        StoreError: if the destination cannot be written.
        IntegrityError: if a part of the image is missing or malformed.
    """
    with _alone_in(destination):
        target = Layout.create(destination)
        target.remove_unfinished()
        image = image_of(layout, manifest)
        for blob in (*image.layers, image.config, image.manifest):
            _link_or_copy(layout, blob, target)
        described = replace(manifest, platform=image.platform)
        target.list_images(named(described, names) or (described,))
    return target


def image_tar(layout: Layout, images: Sequence[tuple[Descriptor, Sequence[str]]]) -> Iterator[bytes]:
    """Yield the tar of a layout that has only these images, for `docker load`. Every blob is verified on the way.

    Blobs that images share are in it once. Beside the OCI index it has the `manifest.json` that Docker needs without
    the containerd image store.

    Args:
        layout: The layout that holds them.
        images: The manifest of each image, and its names.

    Raises:
        IntegrityError: if a part of an image is missing, malformed or damaged.
    """
    stored = [(image_of(layout, manifest), names) for manifest, names in images]
    blobs = {blob.digest: blob for image, _ in stored for blob in (*image.layers, image.config, image.manifest)}
    legacy = [
        {
            "Config": _member(image.config),
            "RepoTags": [full_reference(name) for name in names],
            "Layers": [_member(blob) for blob in image.layers],
        }
        for image, names in stored
    ]
    yield member_header(Entry(path="blobs", type=DIRECTORY, mode=0o755))
    yield member_header(Entry(path="blobs/sha256", type=DIRECTORY, mode=0o755))
    for digest in sorted(blobs):
        yield member_header(Entry(path=_member(blobs[digest]), size=blobs[digest].size))
        yield from layout.read_blob(blobs[digest])
        yield padding(blobs[digest].size)
    entries = [entry for manifest, names in images for entry in named(manifest, names) or (manifest,)]
    documents = {
        "index.json": index_document(entries),
        "manifest.json": canonical_json(legacy),
        VERSION_FILE: LAYOUT_FILE,
    }
    for path, content in documents.items():
        yield member_header(Entry(path=path, size=len(content))) + content + padding(len(content))
    yield END


def _member(blob: Descriptor) -> str:
    return f"blobs/sha256/{hex_of(blob.digest)}"


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Create `folder`, and keep other processes and threads from copying into it until the block ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(f"cannot create an OCI layout at {folder}", details=str(error)) from None
    try:
        with suppress(OSError):  # a filesystem without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _link_or_copy(layout: Layout, blob: Descriptor, target: Layout) -> None:
    source, path = layout.blob_path(blob.digest), target.blob_path(blob.digest)
    try:
        if path.exists() and path.samefile(source):
            return
        os.link(source, path)
    except FileNotFoundError:
        raise IntegrityError(f"{source}: the blob is missing") from None
    except OSError:
        # There is another file, which may be damaged, or the filesystem does not allow the link.
        target.put_blob(layout.read_blob(blob), blob.media_type)
