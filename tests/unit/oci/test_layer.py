from __future__ import annotations

import contextlib
import hashlib
import io
import tarfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtbuild.errors import IntegrityError, StoreError
from rtbuild.formats import frames
from rtbuild.formats.tar import member_header
from rtbuild.formats.tar_entry import CHARACTER, DIRECTORY, HARDLINK, SYMLINK, Entry
from rtbuild.oci.layer import LayerDigest, LayerWriter, canonical_layer
from rtbuild.oci.layout import Layout
from rtbuild.recipe.model import Removal
from tests.fakes.layers import compressed, contents, file, folder, link, opaque, raw_layer, symlink, whiteout

_EPOCH = 1000
_Member = tuple[Entry, bytes]


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return Layout.create(tmp_path_factory.mktemp("layout"))


def _plain(layout: Layout, digest: LayerDigest) -> bytes:
    return frames.open_uncompressed(layout.blob_path(digest.blob)).read()


def _merge(layout: Layout, *layers: bytes, **options: object) -> bytes:
    with LayerWriter(layout) as writer:
        digest = canonical_layer([io.BytesIO(layer) for layer in layers], writer, epoch=_EPOCH, **options)  # type: ignore[arg-type]
    raw = _plain(layout, digest)
    assert digest.diff_id == "sha256:" + hashlib.sha256(raw).hexdigest()
    assert digest.size == len(raw)
    blob = layout.blob_path(digest.blob).read_bytes()
    assert digest.blob == "sha256:" + hashlib.sha256(blob).hexdigest()
    assert digest.blob_size == len(blob)
    return raw


def _paths(layout: Layout, *layers: bytes, **options: object) -> list[str]:
    return list(contents(_merge(layout, *layers, **options)))


def _remove(*patterns: str) -> list[Removal]:
    return [Removal(pattern=pattern, reason="test") for pattern in patterns]


# --- one layer -------------------------------------------------------------------------------------------------------


def test_order_times_and_owners_names_do_not_matter(layout: Layout) -> None:
    members = [
        folder("d"),
        folder("d/e"),
        file("d/e/f", b"1"),
        file("d-x", b"2"),
        symlink("d/s", "e"),
        link("d/h", "d-x"),
    ]
    tidy = raw_layer(*members)
    noisy = raw_layer(*[members[i] for i in (3, 0, 1, 4, 2, 5)], noise=True)
    assert tidy != noisy
    assert _merge(layout, tidy) == _merge(layout, noisy)
    assert _paths(layout, tidy) == ["d", "d-x", "d/e", "d/e/f", "d/h", "d/s"]


def test_times_are_clamped_to_the_epoch(layout: Layout) -> None:
    raw = raw_layer(
        folder("d", mtime=5000), file("d/new", mtime=1001), file("d/old", mtime=999), symlink("s", "d", mtime=2000)
    )
    times = {path: info.mtime for path, (info, _) in contents(_merge(layout, raw)).items()}
    assert times == {"d": 1000, "d/new": 1000, "d/old": 999, "s": 1000}


def test_everything_else_is_kept(layout: Layout) -> None:
    entries = [
        Entry(path="device", type=CHARACTER, device=(1, 3), mode=0o666, gid=5),
        Entry(path="ping", mode=0o4755, uid=12, gid=34, xattrs={"security.capability": b"\1\0\0\2\xff\0"}),
        Entry(path="tmp", type=DIRECTORY, mode=0o1777),
    ]
    raw = b"".join(member_header(entry) for entry in entries) + bytes(1024)
    assert _merge(layout, raw) == raw


def test_the_root_folder_is_no_member(layout: Layout) -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        info = tarfile.TarInfo("./")
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
        archive.addfile(tarfile.TarInfo("./f"))
    assert _paths(layout, target.getvalue()) == ["f"]


def test_hard_links_lead_to_the_first_name(layout: Layout) -> None:
    raw = raw_layer(file("z", b"content", mode=0o751), link("m", "z"), link("a", "m"), file("b", b"other"))
    found = contents(_merge(layout, raw))
    assert list(found) == ["a", "b", "m", "z"]
    assert found["a"][0].isreg()
    assert found["a"][1] == b"content"
    for name in ("m", "z"):
        assert found[name][0].islnk()
        assert found[name][0].linkname == "a"
        assert found[name][0].mode == 0o751


def test_hard_links_repeat_the_attributes(layout: Layout) -> None:
    # An engine that sets a link's owner thereby drops the file's capabilities.
    attributes = {"security.capability": b"\1"}
    raw = member_header(Entry(path="b", xattrs=attributes)) + member_header(Entry(path="a", type=HARDLINK, link="b"))
    merged = contents(_merge(layout, raw + bytes(1024)))
    assert [info.pax_headers for info, _ in merged.values()] == [{"SCHILY.xattr.security.capability": "\1"}] * 2


def test_a_hard_link_whose_file_is_removed_becomes_the_file(layout: Layout) -> None:
    raw = raw_layer(file("a", b"content"), link("b", "a"), link("c", "a"))
    found = contents(_merge(layout, raw, removals=_remove("/a")))
    assert found["b"][1] == b"content"
    assert found["c"][0].linkname == "b"


def test_missing_parents_are_made_at_the_bottom_only(layout: Layout) -> None:
    raw = raw_layer(file("a/b/c"))
    found = contents(_merge(layout, raw))
    assert [(path, info.mode, info.mtime) for path, (info, _) in found.items()][:2] == [
        ("a", 0o755, 1000),
        ("a/b", 0o755, 1000),
    ]
    assert _paths(layout, raw, keep_whiteouts=True) == ["a/b/c"]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([file("a"), file("a")], "has /a twice"),
        ([link("b", "a"), file("a")], "hard link /b to /a"),
        ([folder("a"), link("b", "a")], "hard link /b to /a"),
        ([file("a"), file("a/b")], "/a/b lies in a file"),
        ([file("d/.wh.")], "whiteout that names nothing"),
        ([file("d/.wh...")], "whiteout that names nothing"),
    ],
)
def test_contradictions_are_refused(layout: Layout, members: list[_Member], words: str) -> None:
    with pytest.raises(IntegrityError, match=words):
        _merge(layout, raw_layer(*members))


def test_nothing_half_written_stays(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path)
    raw = raw_layer(file("a", b"x" * 10_000_000))
    with pytest.raises(IntegrityError, match="ends"):
        _merge(layout, raw[:6_000_000])
    with contextlib.suppress(KeyboardInterrupt), LayerWriter(layout) as writer:
        writer.write(bytes(10_000_000))
        raise KeyboardInterrupt
    assert list((tmp_path / "blobs" / "sha256").iterdir()) == []


def test_a_missing_layer_is_named(layout: Layout, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot read the layer"), LayerWriter(layout) as writer:
        canonical_layer([tmp_path / "gone.tar"], writer, epoch=1)


# --- several layers --------------------------------------------------------------------------------------------------


def test_the_upper_layer_wins(layout: Layout) -> None:
    lower = raw_layer(folder("d", mode=0o700), file("d/f", b"lower"), file("d/g", b"stays"))
    upper = raw_layer(folder("d", mode=0o755), file("d/f", b"upper"))
    found = contents(_merge(layout, lower, upper))
    assert {path: content for path, (_, content) in found.items()} == {"d": b"", "d/f": b"upper", "d/g": b"stays"}
    assert found["d"][0].mode == 0o755


def test_a_replaced_file_keeps_its_other_names(layout: Layout) -> None:
    lower = raw_layer(file("a", b"old"), link("b", "a"), link("c", "a"))
    upper = raw_layer(file("a", b"new"))
    found = contents(_merge(layout, lower, upper))
    assert found["a"][1] == b"new"
    assert found["b"][1] == b"old"
    assert found["c"][0].linkname == "b"


def test_whiteouts_hide_what_is_below(layout: Layout) -> None:
    lower = raw_layer(folder("d"), file("d/f"), folder("d/e"), file("d/e/g"), file("d-e"))
    upper = raw_layer(folder("d"), whiteout("d/f"), whiteout("d/e"))
    assert _paths(layout, lower, upper) == ["d", "d-e"]
    assert _paths(layout, lower, upper, keep_whiteouts=True) == ["d", "d-e", "d/.wh.e", "d/.wh.f"]


def test_opaque_folders_hide_their_content(layout: Layout) -> None:
    lower = raw_layer(folder("d"), file("d/f"), folder("d/e"), file("d/e/g"), file("d0"))
    upper = raw_layer(folder("d"), opaque("d"), file("d/new"))
    assert _paths(layout, lower, upper) == ["d", "d/new", "d0"]
    assert _paths(layout, lower, upper, keep_whiteouts=True) == ["d", "d/.wh..wh..opq", "d/new", "d0"]


def test_a_folder_in_place_of_something_hides_the_parents_folder(layout: Layout) -> None:
    removed = raw_layer(whiteout("d"))
    replaced = raw_layer(file("d"))
    again = raw_layer(folder("d"), file("d/new"))
    for lower in (removed, replaced):
        assert _paths(layout, lower, again, keep_whiteouts=True) == ["d", "d/.wh..wh..opq", "d/new"]
        assert _paths(layout, lower, again) == ["d", "d/new"]
    assert _paths(layout, removed, raw_layer(file("d")), keep_whiteouts=True) == ["d"]


def test_a_file_in_place_of_a_folder_takes_the_content_away(layout: Layout) -> None:
    lower = raw_layer(folder("d"), file("d/f"), whiteout("d/g"))
    assert _paths(layout, lower, raw_layer(symlink("d", "e")), keep_whiteouts=True) == ["d"]


def test_whiteouts_within_opaque_folders_are_left_out(layout: Layout) -> None:
    raw = raw_layer(folder("d"), opaque("d"), folder("d/e"), whiteout("d/e/f"), opaque("d/e"))
    assert _paths(layout, raw, keep_whiteouts=True) == ["d", "d/.wh..wh..opq", "d/e"]


def test_a_whiteout_applies_to_lower_layers_only(layout: Layout) -> None:
    raw = raw_layer(whiteout("f"), file("f", b"here"))
    assert contents(_merge(layout, raw, keep_whiteouts=True))["f"][1] == b"here"
    assert _paths(layout, raw, keep_whiteouts=True) == ["f"]


def test_what_aufs_kept_for_itself_is_left_out(layout: Layout) -> None:
    assert _paths(layout, raw_layer(file(".wh..wh.plnk"), file(".wh..wh.aufs"), file("f")), keep_whiteouts=True) == [
        "f"
    ]


# --- removals, transforms, extras ------------------------------------------------------------------------------------


def test_removals_match_absolute_paths_and_take_content_along(layout: Layout) -> None:
    raw = raw_layer(
        folder("a"), file("a/x.log"), folder("a/b"), file("a/b/y.log"), file("a-b"), folder("c"), file("c/f")
    )
    assert _paths(layout, raw, removals=_remove("/a")) == ["a-b", "c", "c/f"]
    assert _paths(layout, raw, removals=_remove("*.log", "/c/*")) == ["a", "a-b", "a/b", "c"]
    assert _paths(layout, raw, removals=_remove("a", "/A", "/a/?")) == ["a", "a-b", "a/x.log", "c", "c/f"]


def test_whiteouts_of_removed_paths_still_hide_the_parents(layout: Layout) -> None:
    raw = raw_layer(folder("a"), whiteout("a/f"), folder("b"), whiteout("b/f"), opaque("b"))
    assert _paths(layout, raw, removals=_remove("/a/f", "/b"), keep_whiteouts=True) == ["a", "a/.wh.f"]


def test_transforms_rewrite_content(layout: Layout) -> None:
    raw = raw_layer(folder("etc"), file("etc/shadow", b"root:*:19000:"), link("etc/shadow-link", "etc/shadow"))
    rewrite = {"etc/shadow": lambda content: content.replace(b"19000", b"1"), "etc/none": lambda _: b""}
    found = contents(_merge(layout, raw, transforms=rewrite))
    assert found["etc/shadow"][1] == b"root:*:1:"
    assert found["etc/shadow-link"][0].linkname == "etc/shadow"
    with pytest.raises(IntegrityError, match="/etc is a directory"):
        _merge(layout, raw, transforms={"etc": lambda content: content})


def test_extras_are_added_and_replace(layout: Layout, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 3_000_000)
    raw = raw_layer(folder("d"), file("d/f", b"old"), link("d/h", "d/f"))
    extra: list[tuple[Entry, bytes | Path]] = [
        (Entry(path="d/f", mode=0o755, mtime=5000), b"new"),
        (Entry(path="e", type=DIRECTORY, mode=0o750, uid=50000), b""),
        (Entry(path="e/big"), source),
        (Entry(path="e/link", type=SYMLINK, link="big"), b""),
        (Entry(path="e/hard", type=HARDLINK, link="d/h"), b""),
    ]
    before = repr(extra)
    found = contents(_merge(layout, raw, extra=extra))
    assert repr(extra) == before
    assert found["d/f"][1] == b"new"
    assert (found["d/f"][0].mode, found["d/f"][0].mtime) == (0o755, 1000)
    assert found["d/h"][1] == b"old"
    assert found["e/hard"][0].linkname == "d/h"
    assert found["e/big"][1] == source.read_bytes()
    assert (found["e"][0].mode, found["e"][0].uid) == (0o750, 50000)


def test_extras_come_after_removals(layout: Layout) -> None:
    raw = raw_layer(file("f", b"old"))
    found = contents(_merge(layout, raw, removals=_remove("*"), extra=[(Entry(path="f"), b"new")]))
    assert found["f"][1] == b"new"


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ([(Entry(path="x"), b""), (Entry(path="x"), b"")], "/x is installed twice"),
        ([(Entry(path="d"), b"")], "/d is a folder with content"),
        ([(Entry(path="d/f/g"), b"")], "/d/f/g lies in a file"),
        ([(Entry(path="x", type=HARDLINK, link="none"), b"")], "/none, which is not there"),
        ([(Entry(path="x"), Path("/does/not/exist"))], "cannot be installed from"),
    ],
)
def test_extras_that_contradict_are_refused(
    layout: Layout, extra: list[tuple[Entry, bytes | Path]], words: str
) -> None:
    with pytest.raises(IntegrityError, match=words):
        _merge(layout, raw_layer(folder("d"), file("d/f")), extra=extra)


# --- against a second implementation ---------------------------------------------------------------------------------

_names = st.sampled_from(["a", "b", "a/a", "a/b", "a/b/a", "a/b/c", "b/a", "a-b", "a/a.d"])


@st.composite
def _changes(draw: st.DrawFn) -> list[tuple[str, str]]:
    return draw(st.lists(st.tuples(st.sampled_from(["file", "folder", "remove"]), _names), max_size=8))


def _apply(tree: dict[str, bytes | None], changes: list[tuple[str, str]], salt: bytes) -> None:
    """Change a tree (None is a folder) as commands in a container would."""
    for what, path in changes:
        parents = [path[:at] for at, letter in enumerate(path) if letter == "/"]
        if what == "remove" or tree.get(path, b"") is None or what == "folder":
            for inner in [name for name in tree if name == path or name.startswith(path + "/")]:
                del tree[inner]
        if what != "remove":
            for parent in parents:
                if tree.get(parent) is not None:
                    del tree[parent]
                tree.setdefault(parent, None)
            tree[path] = salt + path.encode() if what == "file" else None


def _difference(before: dict[str, bytes | None], after: dict[str, bytes | None]) -> bytes:
    """The layer between two trees, as an engine's walk over both finds it."""
    members: list[_Member] = []
    for path in sorted(after):
        if after[path] is None:
            members.append(folder(path))
        elif before.get(path) != after[path]:
            members.append(file(path, after[path] or b""))
    for path in sorted(before):
        parent = path.rpartition("/")[0]
        if path not in after and (not parent or after.get(parent, b"") is None):
            members.append(whiteout(path))
    return raw_layer(*members)


def _laid_on(parent: dict[str, bytes | None], raw: bytes) -> dict[str, bytes | None]:
    """The tree after an engine applied one layer: whiteouts and opaque folders first, then what is there."""
    tree = dict(parent)
    found = contents(raw)
    for path in found:
        folder_path, _, name = path.rpartition("/")
        if name == ".wh..wh..opq":
            for inner in [known for known in tree if known.startswith(folder_path + "/")]:
                del tree[inner]
        elif name.startswith(".wh."):
            hidden = f"{folder_path}/{name[4:]}".lstrip("/")
            for inner in [known for known in tree if known == hidden or known.startswith(hidden + "/")]:
                del tree[inner]
    for path, (info, content) in found.items():
        if ".wh." in path:
            continue
        if not info.isdir():
            for inner in [known for known in tree if known.startswith(path + "/")]:
                del tree[inner]
        tree[path] = None if info.isdir() else content
    return tree


@given(st.lists(_changes(), min_size=2, max_size=5))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_merge_shows_what_the_layers_show(layout: Layout, steps: list[list[tuple[str, str]]]) -> None:
    states: list[dict[str, bytes | None]] = [{}]
    for index, changes in enumerate(steps):
        tree = dict(states[-1])
        _apply(tree, changes, b"%d" % index)
        states.append(tree)
    layers = [_difference(a, b) for a, b in pairwise(states)]
    bottom = _merge(layout, *layers)
    assert _laid_on({}, bottom) == states[-1]
    on_parent = _merge(layout, *layers[1:], keep_whiteouts=True)
    assert _laid_on(states[1], on_parent) == states[-1]
    # Merging in two steps is merging in one.
    halves = [_merge(layout, *layers[: len(layers) // 2], keep_whiteouts=True), *layers[len(layers) // 2 :]]
    assert _laid_on({}, _merge(layout, *halves)) == states[-1]


# --- the writer ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compressor", [frames.zstd(), frames.gzip(1)], ids=["zstd", "gzip"])
def test_cached_frames_go_in_as_they_are(layout: Layout, tmp_path: Path, compressor: frames.Compressor) -> None:
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
        found = writer.finish()
    assert (found.diff_id, found.size, found.media_type) == (expected.diff_id, expected.size, expected.media_type)
    assert list(contents(_plain(layout, found))) == ["x", "x/f", "y", "y/f"]


def test_frames_that_do_not_fit_are_refused(layout: Layout) -> None:
    member = member_header(Entry(path="x"))
    for cached, words in (
        (frames.zstd().frame(member + b"x"), "within a block"),
        (frames.gzip().frame(member), "expected zstd"),
        (member, "expected zstd"),
        (frames.zstd().frame(member)[:-1], "truncated"),
    ):
        with pytest.raises(IntegrityError, match=words), LayerWriter(layout) as writer:
            writer.add_frames(io.BytesIO(cached))


def test_members_that_are_not_whole_are_refused(layout: Layout) -> None:
    with LayerWriter(layout) as writer:
        with pytest.raises(ValueError, match="3 bytes instead of 4"):
            writer.add(Entry(path="x", size=4), b"abc")
        writer.write(b"x")
        with pytest.raises(ValueError, match="not whole"):
            writer.finish()


def test_a_layer_may_be_empty(layout: Layout) -> None:
    with LayerWriter(layout) as writer:
        digest = writer.finish()
    assert digest.diff_id == "sha256:" + hashlib.sha256(bytes(1024)).hexdigest()


def test_the_number_of_workers_has_no_effect(layout: Layout) -> None:
    raw = io.BytesIO(raw_layer(*[file(f"f{index:03}", bytes([index]) * 100_000) for index in range(150)]))
    found = set()
    for workers in (1, 2, 5):
        with LayerWriter(layout, workers=workers) as writer:
            found.add(canonical_layer([raw], writer, epoch=1))
        raw.seek(0)
    assert len(found) == 1
