"""Our tars, layers and layouts, read by GNU tar, zstd, skopeo and umoci (all in Debian under these names)."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from rtbuild.digest import DiffId
from rtbuild.formats.compression import PLAIN
from rtbuild.formats.frames import Compressor, gzip, zstd
from rtbuild.formats.tar import END, member_header, padding
from rtbuild.formats.tar_entry import DIRECTORY, SYMLINK, Entry
from rtbuild.oci.descriptor import CONFIG, MANIFEST, Descriptor
from rtbuild.oci.folders import LayerFolders
from rtbuild.oci.image import image_config, manifest
from rtbuild.oci.layer import LayerDigest, LayerWriter, canonical_layer
from rtbuild.oci.layout import Layout
from rtbuild.oci.names import named
from rtbuild.platform import PLATFORMS
from rtbuild.recipe.model import ImageSettings
from tests.fakes.layers import compressed, contents, file, folder, link, opaque, raw_layer, symlink, whiteout

pytestmark = pytest.mark.integration

_CLEAN = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
_LONG = "/".join(["directory-with-a-rather-long-name"] * 6)
_UNICODE = "ünï/ç-" + "ö" * 60


@pytest.fixture(autouse=True)
def root() -> None:
    assert os.geteuid() == 0, "unpacking with owners and devices needs root"


def _need(tool: str) -> str:
    path = shutil.which(tool)
    assert path, f"{tool} is missing: apt-get install {tool}"
    return path


def _run(*command: str | Path) -> bytes:
    return subprocess.run(command, check=True, capture_output=True, env=_CLEAN).stdout


def _state(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything that a layer records of the files below `root`; hard links by all names of the file."""
    state: dict[str, tuple[object, ...]] = {}
    names: dict[int, list[str]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content = ""
        if path.is_symlink():
            content = str(path.readlink())
        elif stat.S_ISREG(status.st_mode):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        shared = names.setdefault(status.st_ino, [])
        shared.append(str(path.relative_to(root)))
        attributes = {
            name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)
        }
        attributes = {
            name: value for name, value in attributes.items() if not name.startswith("user.rootlesscontainers")
        }
        time = 0 if stat.S_ISDIR(status.st_mode) else int(status.st_mtime)
        state[str(path.relative_to(root))] = (
            oct(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_rdev,
            time,
            content,
            tuple(sorted(attributes.items())),
            shared,
        )
    return state


def _rich_tree(root: Path) -> None:
    for name in ("bin", _LONG, _UNICODE, "empty"):
        (root / name).mkdir(parents=True)
    (root / "bin/tool").write_bytes(b"tool" * 100_000)
    (root / "bin/tool").chmod(0o4755)
    os.link(root / "bin/tool", root / "bin/a-link")
    (root / _LONG / ("f" * 101)).write_text("long")
    (root / _UNICODE / "déjà").write_text("unicode")
    (root / "owned").write_text("")
    os.chown(root / "owned", 50000, 3_000_000)
    (root / "capable").write_text("x")
    os.setxattr(root / "capable", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    (root / "link").symlink_to("bin/" + "t" * 120)
    os.mkfifo(root / "pipe")
    os.mknod(root / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    for path in root.rglob("*"):
        os.utime(path, (1_600_000_000, 1_600_000_000), follow_symlinks=False)


def _canonical(layout: Layout, *raw: bytes, below: bytes | None = None) -> LayerDigest:
    with LayerWriter(layout, compressor=gzip()) as writer:  # umoci 0.4 does not support zstd
        layers = [io.BytesIO(layer) for layer in raw]
        parent = None if below is None else [io.BytesIO(below)]
        return canonical_layer(layers, writer, epoch=1_700_000_000, below=parent)


def _put_image(layout: Layout, name: str, layers: Sequence[Descriptor], digests: Sequence[LayerDigest]) -> None:
    named_layers = [(name, digest.diff_id) for digest in digests]
    content = image_config(ImageSettings(), platform=PLATFORMS["linux/amd64"], epoch=1, layers=named_layers)
    config = layout.put_blob(content, CONFIG)
    image = layout.put_blob(manifest(config, layers), MANIFEST)
    layout.write_index(named(image, [f"x:{name}"]))


def _unpacked(
    tmp_path: Path, name: str, layers: Sequence[Descriptor], digests: Sequence[LayerDigest], layout: Layout
) -> Path:
    _put_image(layout, name, layers, digests)
    _run(_need("umoci"), "unpack", "--image", f"{layout.root}:{name}", tmp_path / name)
    return tmp_path / name / "rootfs"


def test_gnu_tar_extracts_what_it_packed(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    _rich_tree(source)
    _run("tar", "--xattrs", "--xattrs-include=*", "--format=pax", "-C", source, "-cf", tmp_path / "raw.tar", ".")
    layout = Layout.create(tmp_path / "layout")
    with LayerWriter(layout) as writer:
        digest = canonical_layer([tmp_path / "raw.tar"], writer, epoch=1_700_000_000)
    plain = tmp_path / "plain.tar"
    plain.write_bytes(_run(_need("zstd"), "-dc", layout.blob_path(digest.blob)))
    assert "sha256:" + hashlib.sha256(plain.read_bytes()).hexdigest() == digest.diff_id
    target = tmp_path / "target"
    target.mkdir()
    _run("tar", "--xattrs", "--xattrs-include=*", "-C", target, "-xpf", plain)
    assert _state(target) == _state(source)
    listed = _run("tar", "--quoting-style=literal", "-tf", plain).decode().splitlines()
    assert [name.rstrip("/") for name in listed] == list(contents(plain.read_bytes()))


@pytest.mark.parametrize("form", ["gnu", "pax", "ustar", "v7", "oldgnu"])
def test_reads_every_format_of_gnu_tar_alike(tmp_path: Path, form: str) -> None:
    source = tmp_path / "source"
    (source / "d").mkdir(parents=True)
    (source / "d/f").write_text("content")
    os.link(source / "d/f", source / "d/hard")
    (source / "d/s").symlink_to("f")
    if form in ("gnu", "pax", "oldgnu"):
        (source / _LONG).mkdir(parents=True)
        (source / _LONG / ("n" * 150)).symlink_to("t" * 150)
    for path in source.rglob("*"):
        os.utime(path, (1_600_000_000.5, 1_600_000_000.5), follow_symlinks=False)
    layers = []
    for chosen in (form, "pax"):
        raw = tmp_path / f"{chosen}.tar"
        _run("tar", f"--format={chosen}", "-C", source, "-cf", raw, ".")
        layers.append(_canonical(Layout.create(tmp_path / "layout"), raw.read_bytes()))
    assert layers[0] == layers[1]


def test_unpacking_a_merge_is_unpacking_its_layers(tmp_path: Path) -> None:
    parent = raw_layer(
        folder("d"), file("d/gone", b"1"), file("d/kept", b"2"), folder("d/e"), file("d/e/x", b"3"),
        folder("o"), file("o/hidden", b"4"), file("kind", b"5"), folder("kind2"), file("kind2/inside"),
        folder("again"), file("again/old"),
    )  # fmt: skip
    lower = raw_layer(
        folder("d"), whiteout("d/gone"), folder("o"), opaque("o"), file("o/new", b"6"), whiteout("kind2"),
        whiteout("again"), file("a", b"linked"), link("b", "a"), link("c", "a"), folder("tmp", mode=0o1777),
        file("tmp/t"), file("kind3"),
    )  # fmt: skip
    upper = raw_layer(
        folder("d"), folder("d/e"), whiteout("d/e/x"), whiteout("kind"), symlink("kind2", "d"),
        folder("again"), file("again/new"), file("a", b"alone"), folder("tmp", mode=0o1777), whiteout("tmp/t"),
        folder("kind3"), file("kind3/x"),
    )  # fmt: skip
    layout = Layout.create(tmp_path / "layout")
    raw = [layout.put_blob(layer, PLAIN.media_type) for layer in (parent, lower, upper)]
    digests = [
        LayerDigest(
            diff_id=DiffId(blob.digest),
            size=blob.size, blob=blob.digest, blob_size=blob.size, media_type=blob.media_type, compressor="",
            folders=LayerFolders(folders={}, links={}),
        )
        for blob in raw
    ]  # fmt: skip
    expected = _state(_unpacked(tmp_path, "raw", raw, digests, layout))
    on_parent = _canonical(layout, lower, upper, below=parent)
    both = [raw[0], on_parent.descriptor]
    assert _state(_unpacked(tmp_path, "merged", both, [digests[0], on_parent], layout)) == expected
    flat = _canonical(layout, parent, lower, upper)
    assert _state(_unpacked(tmp_path, "flat", [flat.descriptor], [flat], layout)) == expected
    assert {"a", "b", "c", "again/new", "kind3/x", "o/new"} <= set(expected)
    assert not {"again/old", "d/gone", "kind", "kind2/inside", "o/hidden", "tmp/t"} & set(expected)


@pytest.mark.parametrize(("compressor", "tool"), [(zstd(), "zstd"), (gzip(), "gzip")], ids=["zstd", "gzip"])
def test_others_read_layers_of_cached_frames(tmp_path: Path, compressor: Compressor, tool: str) -> None:
    layout = Layout.create(tmp_path / "layout")
    with LayerWriter(layout, compressor=compressor) as writer:
        for name in ("one", "two", "three"):
            content = os.urandom(3_000_000)
            tree = [
                member_header(Entry(path=name, type=DIRECTORY, mode=0o755)),
                member_header(Entry(path=f"{name}/f", size=len(content))) + content + padding(len(content)),
                member_header(Entry(path=f"{name}/s", type=SYMLINK, link="f", mode=0o777)),
            ]
            writer.add_frames(io.BytesIO(compressed(b"".join(tree), compressor)))
        writer.add(Entry(path="last", size=1), b"x")
        digest = writer.finish()
    with layout.blob_path(digest.blob).open("rb") as blob:
        raw = subprocess.run([_need(tool), "-dc"], check=True, capture_output=True, stdin=blob).stdout
    assert "sha256:" + hashlib.sha256(raw).hexdigest() == digest.diff_id
    assert raw.endswith(END)
    _put_image(layout, "frames", [digest.descriptor], [digest])
    inspected = json.loads(_run(_need("skopeo"), "inspect", f"oci:{layout.root}:frames"))
    assert inspected["Layers"] == [digest.blob]
    _run("skopeo", "copy", "--dest-decompress", f"oci:{layout.root}:frames", f"dir:{tmp_path / 'dir'}")
    assert (tmp_path / "dir" / digest.diff_id.removeprefix("sha256:")).read_bytes() == raw
    if tool == "gzip":  # umoci 0.4 does not support zstd
        root = _unpacked(tmp_path, "frames", [digest.descriptor], [digest], layout)
        assert (root / "three/f").stat().st_size == 3_000_000
        assert (root / "last").read_text() == "x"
