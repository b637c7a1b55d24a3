"""Podman, which applies layers by code of its own: it shows the tree that the layers describe."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rtbuild.formats.frames import open_uncompressed
from rtbuild.formats.tar_entry import BLOCK, CHARACTER, DIRECTORY, FIFO, REGULAR, SYMLINK
from rtbuild.oci.layout import Layout, read_stored_image
from rtbuild.oci.merge import LayerMerge
from rtbuild.oci.transfer import copy_image
from tests.integration.conftest import BuiltImage

Shown = tuple[str, int, int, int, int, int, str, bytes]
"""Type, mode, owner, group, mtime, size, target, capabilities."""

_KINDS = {
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFREG: REGULAR,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFCHR: CHARACTER,
    stat.S_IFBLK: BLOCK,
    stat.S_IFIFO: FIFO,
}
_CAPABILITY = "security.capability"


def described(layout: Layout) -> Iterator[tuple[str, Shown]]:
    """Yield every path of the image in `layout` as its layers have it."""
    merge = LayerMerge()
    with ExitStack() as opened:
        for layer in read_stored_image(layout).layers:
            plain = opened.enter_context(tempfile.TemporaryFile())
            with open_uncompressed(layout.blob_path(layer.digest)) as source:
                shutil.copyfileobj(source, plain, 1 << 20)
            plain.seek(0)
            merge.add_layer(plain, layer.digest)
    for path, member in merge.members.items():
        entry = member.origin.entry
        capability = (entry.xattrs or {}).get(_CAPABILITY, b"")
        yield (
            path,
            (entry.type, entry.mode, entry.uid, entry.gid, entry.mtime, entry.size, entry.link, capability),
        )


def mounted(root: Path) -> Iterator[tuple[str, Shown]]:
    """Yield every path below `root` as the kernel has it."""
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            status = path.lstat()
            kind = _KINDS[stat.S_IFMT(status.st_mode)]
            size = status.st_size if kind == REGULAR else 0
            target = str(path.readlink()) if kind == SYMLINK else ""
            attributes = os.listxattr(path, follow_symlinks=False)
            capability = os.getxattr(path, _CAPABILITY, follow_symlinks=False) if _CAPABILITY in attributes else b""
            mode = stat.S_IMODE(status.st_mode)
            yield (
                str(path.relative_to(root)),
                (kind, mode, status.st_uid, status.st_gid, int(status.st_mtime), size, target, capability),
            )


@pytest.fixture
def runroot() -> Iterator[Path]:
    """Podman's folder for what runs, whose path must not be longer than 50 characters."""
    with tempfile.TemporaryDirectory(prefix="podman-", dir="/tmp") as folder:
        yield Path(folder)


def test_podman_shows_the_tree_that_the_layers_describe(image: BuiltImage, room: Path, runroot: Path) -> None:
    source = Layout.open(Path(image.result.location))
    layout = room / "layout"
    stored = read_stored_image(source, image.result.manifest_digest)
    copy_image(source, stored.manifest, layout, ["rtbuild-tests/podman:8.0.0"])
    podman = ["podman", "--root", str(room / "root"), "--runroot", str(runroot), "--storage-driver", "overlay"]

    def run(*words: str) -> str:
        return subprocess.run([*podman, *words], capture_output=True, text=True, check=True).stdout.strip()

    identity = run("pull", "--quiet", f"oci:{layout}:8.0.0")
    try:
        # Podman names an image by its config digest, as Docker's classic store does.
        assert f"sha256:{identity}" == image.result.image_id
        shown = dict(mounted(Path(run("image", "mount", identity))))
        expected = dict(described(Layout.open(layout)))
        assert len(expected) > 50_000
        assert {path: (shown.get(path), entry) for path, entry in expected.items() if shown.get(path) != entry} == {}
        assert set(shown) == set(expected)
    finally:
        run("image", "unmount", "--force", identity)
        run("image", "rm", "--force", identity)
