"""Writing canonical layers: sorted members, clamped times, hard links, compressed frames."""

from __future__ import annotations

import contextlib
import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from rtbuild.errors import IntegrityError, StoreError
from rtbuild.formats import frames
from rtbuild.formats.tar import member_header
from rtbuild.formats.tar_entry import CHARACTER, DIRECTORY, HARDLINK, Entry
from rtbuild.oci.layer import LayerDigest, LayerWriter, canonical_layer
from rtbuild.oci.layout import Layout
from rtbuild.recipe.model import Removal
from tests.fakes.layers import Member, compressed, contents, file, folder, link, opaque, raw_layer, symlink, whiteout
from tests.fakes.memory_writer import MemoryWriter

_EPOCH = 1000


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return Layout.create(tmp_path_factory.mktemp("layout"))


def _canonical(*layers: bytes, **options: object) -> bytes:
    writer = MemoryWriter()
    canonical_layer([io.BytesIO(layer) for layer in layers], writer, epoch=_EPOCH, **options)  # type: ignore[arg-type]
    return writer.tar


def _paths(*layers: bytes, **options: object) -> list[str]:
    return list(contents(_canonical(*layers, **options)))


def _on(below: bytes, *layers: bytes) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    """The members of the layer that `layers` make on an image with the layer `below`."""
    return contents(_canonical(*layers, below=[io.BytesIO(below)]))


def _plain(layout: Layout, digest: LayerDigest) -> bytes:
    return frames.open_uncompressed(layout.blob_path(digest.blob)).read()


# --- canonical layers ------------------------------------------------------------------------------------------------


def test_bytes_do_not_depend_on_order_fractions_of_times_and_owner_names() -> None:
    members = [
        folder("d"),
        folder("d/e"),
        file("d/e/f", b"1"),
        file("d-x", b"2"),
        symlink("d/s", "e"),
        link("d/h", "d-x"),
    ]
    tidy = raw_layer(*members)
    noisy = raw_layer(*[members[index] for index in (3, 0, 1, 4, 2, 5)], noise=True)
    assert tidy != noisy
    assert _canonical(tidy) == _canonical(noisy)
    assert _paths(tidy) == ["d", "d-x", "d/e", "d/e/f", "d/h", "d/s"]


def test_clamps_times_to_the_epoch() -> None:
    raw = raw_layer(
        folder("d", mtime=5000), file("d/new", mtime=1001), file("d/old", mtime=999), symlink("s", "d", mtime=2000)
    )
    times = {path: info.mtime for path, (info, _) in contents(_canonical(raw)).items()}
    assert times == {"d": 1000, "d/new": 1000, "d/old": 999, "s": 1000}


def test_keeps_everything_else() -> None:
    entries = [
        Entry(path="device", type=CHARACTER, device=(1, 3), mode=0o666, gid=5),
        Entry(path="ping", mode=0o4755, uid=12, gid=34, xattrs={"security.capability": b"\1\0\0\2\xff\0"}),
        Entry(path="tmp", type=DIRECTORY, mode=0o1777, mtime=_EPOCH),
    ]
    raw = b"".join(member_header(entry) for entry in entries) + bytes(1024)
    assert _canonical(raw) == raw


def test_hard_links_lead_to_the_first_name() -> None:
    raw = raw_layer(file("z", b"content", mode=0o751), link("m", "z"), link("a", "m"), file("b", b"other"))
    members = contents(_canonical(raw))
    assert list(members) == ["a", "b", "m", "z"]
    assert members["a"][0].isreg()
    assert members["a"][1] == b"content"
    for name in ("m", "z"):
        assert members[name][0].islnk()
        assert members[name][0].linkname == "a"
        assert members[name][0].mode == 0o751


def test_hard_links_repeat_the_attributes() -> None:
    # An engine that sets the owner of a link drops the file's capabilities.
    attributes = {"security.capability": b"\1"}
    raw = member_header(Entry(path="b", xattrs=attributes)) + member_header(Entry(path="a", type=HARDLINK, link="b"))
    members = contents(_canonical(raw + bytes(1024)))
    assert [info.pax_headers for info, _ in members.values()] == [{"SCHILY.xattr.security.capability": "\1"}] * 2


def test_every_layer_has_an_entry_for_each_folder_above_its_members() -> None:
    raw = raw_layer(file("a/b/c"))
    below = raw_layer(folder("a", mode=0o2775, uid=50000, mtime=5))
    found = [(path, info.mode, info.uid, info.mtime) for path, (info, _) in contents(_canonical(raw)).items()]
    assert found == [("a", 0o755, 0, 1000), ("a/b", 0o755, 0, 1000), ("a/b/c", 0o644, 0, 100)]
    found = [(path, info.mode, info.uid, info.mtime) for path, (info, _) in _on(below, raw).items()]
    assert found == [("a", 0o2775, 50000, 1000), ("a/b", 0o755, 0, 1000), ("a/b/c", 0o644, 0, 100)]


def test_folders_have_one_time() -> None:
    members = contents(_canonical(raw_layer(folder("old", mtime=3), folder("new", mtime=5000), file("old/f", mtime=3))))
    assert {path: info.mtime for path, (info, _) in members.items()} == {"new": 1000, "old": 1000, "old/f": 3}


def test_a_path_inside_a_link_of_the_layers_below_is_refused() -> None:
    with pytest.raises(IntegrityError, match="/a contains files, but is a symlink in the layers below"):
        _on(raw_layer(symlink("a", "b")), raw_layer(file("a/c")))


def test_writes_whiteouts_as_empty_files() -> None:
    info, content = _on(raw_layer(folder("d"), file("d/f")), raw_layer(folder("d"), whiteout("d/f")))["d/.wh.f"]
    assert (info.isreg(), info.mode, info.uid, info.mtime, content) == (True, 0, 0, 1000, b"")


def test_what_changes_nothing_on_the_layers_below_is_dropped() -> None:
    below = raw_layer(folder("d"), file("d/f", b"1"), file("d/g", b"1"), symlink("d/s", "f"), folder("e"))
    touched = raw_layer(folder("d", mtime=9), folder("e", mtime=9), whiteout("e/made-and-removed"), opaque("e"))
    assert _on(below, touched) == {}
    again = raw_layer(folder("d"), file("d/f", b"1"), file("d/g", b"2"), symlink("d/s", "f"), file("d/new"))
    assert list(_on(below, again)) == ["d", "d/g", "d/new"]


@pytest.mark.parametrize(
    "changed",
    [
        file("f", b"2"),
        file("f", b"1", mode=0o600),
        file("f", b"1", uid=7),
        file("f", b"1", mtime=900),
        symlink("f", "g"),
    ],
)
def test_what_differs_from_the_layers_below_stays(changed: Member) -> None:
    assert list(_on(raw_layer(file("f", b"1")), raw_layer(changed))) == ["f"]


def test_times_after_the_epoch_do_not_differ() -> None:
    assert _on(raw_layer(file("f", b"1", mtime=1000)), raw_layer(file("f", b"1", mtime=2000))) == {}


def test_what_an_opaque_folder_has_again_stays() -> None:
    below = raw_layer(folder("d"), file("d/f", b"1"), file("d/g", b"1"))
    upper = raw_layer(folder("d"), opaque("d"), file("d/f", b"1"))
    assert list(_on(below, upper)) == ["d", "d/.wh..wh..opq", "d/f"]


def test_one_step_and_two_give_one_layer() -> None:
    # The builder lists folders with the times of its steps, and whiteouts of what only the first step made.
    below = raw_layer(folder("etc"), file("etc/a", b"1"), file("etc/old"), folder("var"))
    one = raw_layer(folder("etc", mtime=10), file("etc/a", b"2", mtime=5), whiteout("etc/old"))
    first = raw_layer(folder("etc", mtime=10), file("etc/a", b"2", mtime=5), file("etc/tmp"), folder("var", mtime=10))
    second = raw_layer(folder("etc", mtime=20), whiteout("etc/tmp"), whiteout("etc/old"))
    assert _canonical(one, below=[io.BytesIO(below)]) == _canonical(first, second, below=[io.BytesIO(below)])


def test_transforms_rewrite_content() -> None:
    raw = raw_layer(folder("etc"), file("etc/shadow", b"root:*:19000:"), link("etc/shadow-link", "etc/shadow"))
    rewrite = {"etc/shadow": lambda content: content.replace(b"19000", b"1"), "etc/none": lambda _: b""}
    members = contents(_canonical(raw, transforms=rewrite))
    assert members["etc/shadow"][1] == b"root:*:1:"
    assert members["etc/shadow-link"][0].linkname == "etc/shadow"
    with pytest.raises(IntegrityError, match="cannot rewrite /etc: it is a directory, not a file"):
        _canonical(raw, transforms={"etc": lambda content: content})


def test_extra_members_come_from_bytes_and_files(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 3_000_000)
    raw = raw_layer(folder("d"), file("d/f", b"old"), link("d/h", "d/f"))
    extra: list[tuple[Entry, bytes | Path]] = [
        (Entry(path="d/f", mode=0o755, mtime=5000), b"new"),
        (Entry(path="large"), source),
        (Entry(path="link", type=HARDLINK, link="d/h"), b""),
    ]
    members = contents(_canonical(raw, extra=extra))
    assert members["d/f"][1] == b"new"
    assert (members["d/f"][0].mode, members["d/f"][0].mtime) == (0o755, 1000)
    assert members["d/h"][1] == b"old"
    assert members["link"][0].linkname == "d/h"
    assert members["large"][1] == source.read_bytes()


def test_removals_come_before_transforms_and_extra_members() -> None:
    removals = [Removal(pattern="*", reason="test")]
    raw = raw_layer(file("f", b"old"), file("g", b"old"))
    members = contents(
        _canonical(raw, removals=removals, transforms={"g": lambda content: content}, extra=[(Entry(path="f"), b"new")])
    )
    assert {path: content for path, (_, content) in members.items()} == {"f": b"new"}


def test_names_a_missing_layer(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot read layer .*gone\.tar"):
        canonical_layer([tmp_path / "gone.tar"], MemoryWriter(), epoch=1)


def test_names_a_malformed_layer(tmp_path: Path) -> None:
    valid, path = raw_layer(file("a")), tmp_path / "layer.tar"
    path.write_bytes(valid[:600])
    with pytest.raises(IntegrityError, match=r"layer .*layer\.tar: malformed tar"):
        canonical_layer([path], MemoryWriter(), epoch=1)
    with pytest.raises(IntegrityError, match="layer 2 of 2: malformed tar"):
        _canonical(valid, valid[:600])


# --- the writer ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compressor", [frames.zstd(), frames.gzip(1)], ids=["zstd", "gzip"])
def test_the_digests_are_those_of_the_tar_and_the_blob(layout: Layout, compressor: frames.Compressor) -> None:
    raw = raw_layer(folder("d"), file("d/f", bytes(range(256)) * 30_000), whiteout("d/g"))
    with LayerWriter(layout, compressor=compressor) as writer:
        digest = canonical_layer([io.BytesIO(raw)], writer, epoch=_EPOCH)
    plain, blob = _plain(layout, digest), layout.blob_path(digest.blob).read_bytes()
    assert plain == _canonical(raw)
    assert (digest.diff_id, digest.size) == ("sha256:" + hashlib.sha256(plain).hexdigest(), len(plain))
    assert (digest.blob, digest.blob_size) == ("sha256:" + hashlib.sha256(blob).hexdigest(), len(blob))
    assert (digest.media_type, digest.compressor) == (compressor.compression.media_type, compressor.name)
    descriptor = digest.descriptor
    assert (descriptor.media_type, descriptor.digest, descriptor.size) == (digest.media_type, digest.blob, len(blob))


def test_a_failure_leaves_no_files(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path)
    raw = raw_layer(file("a", b"x" * 10_000_000))
    with pytest.raises(IntegrityError, match="ends"), LayerWriter(layout) as writer:
        canonical_layer([io.BytesIO(raw[:6_000_000])], writer, epoch=_EPOCH)
    with contextlib.suppress(KeyboardInterrupt), LayerWriter(layout) as writer:
        writer.write(bytes(10_000_000))
        raise KeyboardInterrupt
    assert list((tmp_path / "blobs" / "sha256").iterdir()) == []


@pytest.mark.parametrize("compressor", [frames.zstd(), frames.gzip(1)], ids=["zstd", "gzip"])
def test_takes_frames_that_were_compressed_earlier(
    layout: Layout, tmp_path: Path, compressor: frames.Compressor
) -> None:
    trees = [raw_layer(folder(name), file(f"{name}/f", name.encode() * 100_000))[:-1024].rstrip(b"\0") for name in "xy"]
    trees = [tree + bytes(-len(tree) % 512) for tree in trees]
    with LayerWriter(layout, compressor=compressor) as writer:
        for tree in trees:
            writer.write(tree)
        expected = writer.finish()
    with LayerWriter(layout, compressor=compressor) as writer:
        for tree in trees:
            cached = tmp_path / "frames"
            cached.write_bytes(compressed(tree, compressor))
            writer.add_frames(cached)
        digest = writer.finish()
    assert (digest.diff_id, digest.size, digest.media_type) == (expected.diff_id, expected.size, expected.media_type)
    assert list(contents(_plain(layout, digest))) == ["x", "x/f", "y", "y/f"]


def test_rejects_other_frames(layout: Layout) -> None:
    member = member_header(Entry(path="x"))
    for cached, message in (
        (frames.zstd().frame(member + b"x"), "within a block"),
        (frames.gzip().frame(member), "expected zstd"),
        (member, "expected zstd"),
        (frames.zstd().frame(member)[:-1], "truncated"),
    ):
        with pytest.raises(IntegrityError, match=message), LayerWriter(layout) as writer:
            writer.add_frames(io.BytesIO(cached))


def test_rejects_incomplete_members(layout: Layout) -> None:
    with LayerWriter(layout) as writer:
        with pytest.raises(ValueError, match="content is 3 bytes, expected 4"):
            writer.add(Entry(path="x", size=4), b"abc")
        writer.write(b"x")
        with pytest.raises(ValueError, match="incomplete"):
            writer.finish()


def test_a_layer_may_be_empty(layout: Layout) -> None:
    with LayerWriter(layout) as writer:
        digest = writer.finish()
    assert digest.diff_id == "sha256:" + hashlib.sha256(bytes(1024)).hexdigest()


def test_the_number_of_workers_does_not_change_the_bytes(layout: Layout) -> None:
    raw = io.BytesIO(raw_layer(*[file(f"f{index:03}", bytes([index]) * 100_000) for index in range(150)]))
    digests = set()
    for workers in (1, 2, 5):
        with LayerWriter(layout, workers=workers) as writer:
            digests.add(canonical_layer([raw], writer, epoch=1).blob)
        raw.seek(0)
    assert len(digests) == 1
