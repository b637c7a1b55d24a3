"""Merging layers: whiteouts, opaque folders, hard links, removed and added members."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbuild.errors import IntegrityError
from rtbuild.formats.tar_entry import DIRECTORY, HARDLINK, SYMLINK, Entry
from rtbuild.oci import merge as merge_module
from rtbuild.oci.layer import canonical_layer
from rtbuild.oci.merge import LayerMerge
from rtbuild.recipe.model import Removal
from tests.fakes.layers import contents, file, folder, link, opaque, raw_layer, symlink, whiteout
from tests.fakes.memory_writer import MemoryWriter

Member = tuple[Entry, bytes]
Extra = tuple[Entry, bytes | Path]


def merge(*layers: bytes, removals: Sequence[Removal] = (), extra: Iterable[Extra] = ()) -> LayerMerge:
    merged = LayerMerge()
    for number, layer in enumerate(layers):
        merged.add_layer(io.BytesIO(layer), str(number))
    merged.remove(removals)
    merged.install(extra)
    return merged


def bottom(merged: LayerMerge) -> list[str]:
    """The paths of the result at the bottom of an image."""
    return merged.sorted_paths()


def on_parent(merged: LayerMerge) -> list[str]:
    """The paths of the result on a parent image."""
    return sorted([*merged.sorted_paths(), *merged.whiteout_paths()])


def content(merged: LayerMerge, path: str) -> bytes:
    origin = merged.members[path].origin
    if isinstance(origin.content, bytes):
        return origin.content
    assert origin.source is not None
    origin.source.seek(origin.offset)
    return origin.source.read(origin.entry.size)


def names(merged: LayerMerge, path: str) -> list[str]:
    """All names of the file at `path`."""
    origin = merged.members[path].origin
    return [name for name in merged.sorted_paths() if merged.members[name].origin is origin]


def remove(*patterns: str) -> list[Removal]:
    return [Removal(pattern=pattern, reason="test") for pattern in patterns]


def canonical(*layers: bytes, below: Sequence[bytes] | None = None) -> bytes:
    writer = MemoryWriter()
    parent = None if below is None else [io.BytesIO(layer) for layer in below]
    canonical_layer([io.BytesIO(layer) for layer in layers], writer, epoch=1000, below=parent)
    return writer.tar


# --- the example in the documentation --------------------------------------------------------------------------------

LOWER = raw_layer(
    file("a", b"1"), link("b", "a"), file("c", b"3"), folder("d"), file("d/old", b"5"), link("e", "a"), file("f", b"6")
)
UPPER = raw_layer(file("a", b"2"), whiteout("c"), folder("d"), opaque("d"), file("d/new", b"4"), folder("f"))


PARENT = raw_layer(file("c"), folder("d"), file("d/old"), folder("f"), file("f/old"))


def described(tar: bytes) -> dict[str, str]:
    """The members of a layer in the words of the table; whiteouts are named by what they hide."""
    cells: dict[str, str] = {}
    for path, (info, inside) in contents(tar).items():
        parent, _, name = path.rpartition("/")
        if name == ".wh..wh..opq":
            cells[parent] += f", `{name}`"
        elif name.startswith(".wh."):
            cells[path.replace(".wh.", "")] = f"`{name}`"
        elif info.isdir():
            cells[path] = "folder"
        elif info.islnk():
            cells[path] = f"link to `{info.linkname}`"
        else:
            cells[path] = f'file "{inside.decode()}"'
    return cells


def test_the_table_in_the_documentation_is_right() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in str(merge_module.__doc__).splitlines()
        if line.startswith("| `")
    ]
    columns = [
        {path.strip("`"): cells[column] for path, *cells in rows if cells[column]} for column in range(len(rows[0]) - 1)
    ]
    assert columns == [
        described(LOWER),
        described(UPPER),
        described(canonical(LOWER, UPPER)),
        described(canonical(LOWER, UPPER, below=[PARENT])),
    ]


# --- one layer -------------------------------------------------------------------------------------------------------


def test_the_root_folder_is_not_a_member() -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        info = tarfile.TarInfo("./")
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
        archive.addfile(tarfile.TarInfo("./f"))
    assert bottom(merge(target.getvalue())) == ["f"]


def test_adds_missing_folders() -> None:
    merged = merge(raw_layer(file("a/b/c"), folder("d", mode=0o700), file("d/e")))
    merged.add_folders(1000)
    assert bottom(merged) == ["a", "a/b", "a/b/c", "d", "d/e"]
    assert merged.members["a/b"].entry == Entry(path="a/b", type=DIRECTORY, mode=0o755, mtime=1000)
    assert merged.members["d"].entry.mode == 0o700


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([file("a"), file("a")], "layer 0: has /a twice"),
        ([link("b", "a"), file("a")], "layer 0: has a hard link /b without its file /a before it"),
        ([folder("a"), link("b", "a")], "layer 0: has a hard link /b without its file /a before it"),
        ([file("a"), file("a/b")], "/a/b is inside a file"),
        ([file("d/.wh.")], "layer 0: has a whiteout without a name"),
        ([file("d/.wh...")], "layer 0: has a whiteout without a name"),
    ],
)
def test_rejects_contradictions(members: list[Member], message: str) -> None:
    with pytest.raises(IntegrityError, match=message):
        merge(raw_layer(*members)).sorted_paths()


# --- several layers --------------------------------------------------------------------------------------------------


def test_the_upper_layer_wins() -> None:
    lower = raw_layer(folder("d", mode=0o700), file("d/f", b"lower"), file("d/g", b"stays"))
    upper = raw_layer(folder("d", mode=0o755), file("d/f", b"upper"))
    merged = merge(lower, upper)
    assert bottom(merged) == ["d", "d/f", "d/g"]
    assert (content(merged, "d/f"), content(merged, "d/g")) == (b"upper", b"stays")
    assert merged.members["d"].entry.mode == 0o755


def test_a_replaced_file_keeps_its_other_names() -> None:
    merged = merge(raw_layer(file("a", b"old"), link("b", "a"), link("c", "a")), raw_layer(file("a", b"new")))
    assert [content(merged, path) for path in "abc"] == [b"new", b"old", b"old"]
    assert (names(merged, "a"), names(merged, "b")) == (["a"], ["b", "c"])


def test_whiteouts_hide_paths() -> None:
    lower = raw_layer(folder("d"), file("d/f"), folder("d/e"), file("d/e/g"), file("d-e"))
    merged = merge(lower, raw_layer(folder("d"), whiteout("d/f"), whiteout("d/e")))
    assert bottom(merged) == ["d", "d-e"]
    assert on_parent(merged) == ["d", "d-e", "d/.wh.e", "d/.wh.f"]


def test_opaque_folders_hide_their_content() -> None:
    lower = raw_layer(folder("d"), file("d/f"), folder("d/e"), file("d/e/g"), file("d0"))
    merged = merge(lower, raw_layer(folder("d"), opaque("d"), file("d/new")))
    assert bottom(merged) == ["d", "d/new", "d0"]
    assert on_parent(merged) == ["d", "d/.wh..wh..opq", "d/new", "d0"]


@pytest.mark.parametrize("lower", [raw_layer(whiteout("d")), raw_layer(file("d"))], ids=["whiteout", "file"])
def test_a_folder_in_place_of_something_else_is_opaque(lower: bytes) -> None:
    merged = merge(lower, raw_layer(folder("d"), file("d/new")))
    assert bottom(merged) == ["d", "d/new"]
    assert on_parent(merged) == ["d", "d/.wh..wh..opq", "d/new"]


def test_a_file_replaces_a_whiteout() -> None:
    assert on_parent(merge(raw_layer(whiteout("d")), raw_layer(file("d")))) == ["d"]


def test_a_file_in_place_of_a_folder_hides_the_content() -> None:
    lower = raw_layer(folder("d"), file("d/f"), whiteout("d/g"))
    assert on_parent(merge(lower, raw_layer(symlink("d", "e")))) == ["d"]


def test_omits_whiteouts_in_opaque_folders() -> None:
    raw = raw_layer(folder("d"), opaque("d"), folder("d/e"), whiteout("d/e/f"), opaque("d/e"))
    assert on_parent(merge(raw)) == ["d", "d/.wh..wh..opq", "d/e"]


def test_a_whiteout_hides_only_lower_layers() -> None:
    merged = merge(raw_layer(whiteout("f"), file("f", b"here")))
    assert content(merged, "f") == b"here"
    assert on_parent(merged) == ["f"]


def test_omits_internal_files_of_aufs() -> None:
    assert on_parent(merge(raw_layer(file(".wh..wh.plnk"), file(".wh..wh.aufs"), file("f")))) == ["f"]


# --- removed and added members ---------------------------------------------------------------------------------------


def test_removals_match_absolute_paths_and_include_content() -> None:
    raw = raw_layer(
        folder("a"), file("a/x.log"), folder("a/b"), file("a/b/y.log"), file("a-b"), folder("c"), file("c/f")
    )
    assert bottom(merge(raw, removals=remove("/a"))) == ["a-b", "c", "c/f"]
    assert bottom(merge(raw, removals=remove("*.log", "/c/*"))) == ["a", "a-b", "a/b", "c"]
    assert bottom(merge(raw, removals=remove("a", "/A", "/a/?"))) == ["a", "a-b", "a/x.log", "c", "c/f"]


def test_removals_match_folders_without_an_entry() -> None:
    raw = raw_layer(file("a/b/c"), file("a/d"))
    assert bottom(merge(raw, removals=remove("/a/b"))) == ["a/d"]


def test_whiteouts_of_removed_paths_stay() -> None:
    raw = raw_layer(folder("a"), whiteout("a/f"), folder("b"), whiteout("b/f"), opaque("b"))
    assert on_parent(merge(raw, removals=remove("/a/f", "/b"))) == ["a", "a/.wh.f"]


def test_removing_a_file_keeps_its_other_names() -> None:
    raw = raw_layer(file("a", b"content"), link("b", "a"), link("c", "a"))
    merged = merge(raw, removals=remove("/a"))
    assert content(merged, "b") == b"content"
    assert names(merged, "b") == ["b", "c"]


def test_extra_members_are_added_or_replace_others(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 300)
    raw = raw_layer(folder("d"), file("d/f", b"old"), link("d/h", "d/f"))
    extra: list[Extra] = [
        (Entry(path="d/f", mode=0o755), b"new"),
        (Entry(path="e", type=DIRECTORY, mode=0o750, uid=50000), b""),
        (Entry(path="e/large"), source),
        (Entry(path="e/link", type=SYMLINK, link="large"), b""),
        (Entry(path="e/hard", type=HARDLINK, link="d/h"), b""),
    ]
    before = repr(extra)
    merged = merge(raw, extra=extra)
    assert repr(extra) == before
    assert (content(merged, "d/f"), merged.members["d/f"].entry.size) == (b"new", 3)
    assert content(merged, "d/h") == b"old"
    assert names(merged, "d/h") == ["d/h", "e/hard"]
    assert (merged.members["e/large"].content, merged.members["e/large"].entry.size) == (source, 300)
    assert (merged.members["e"].entry.mode, merged.members["e"].entry.uid) == (0o750, 50000)


def test_an_extra_folder_in_place_of_a_file_is_opaque() -> None:
    merged = merge(raw_layer(file("d")), extra=[(Entry(path="d", type=DIRECTORY), b"")])
    assert on_parent(merged) == ["d", "d/.wh..wh..opq"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ([(Entry(path="x"), b""), (Entry(path="x"), b"")], "/x is installed twice"),
        ([(Entry(path="d"), b"")], "cannot install a file at /d: a folder with content is there"),
        ([(Entry(path="d/f/g"), b"")], "/d/f/g is inside a file"),
        ([(Entry(path="x", type=HARDLINK, link="y"), b"")], "cannot install /x: there is no file /y to link to"),
        ([(Entry(path="x"), Path("/does/not/exist"))], "cannot install /x from /does/not/exist"),
    ],
)
def test_rejects_extra_members_that_contradict_the_layers(extra: list[Extra], message: str) -> None:
    with pytest.raises(IntegrityError, match=message):
        merge(raw_layer(folder("d"), file("d/f")), extra=extra).sorted_paths()


# --- against a second implementation ---------------------------------------------------------------------------------

Tree = dict[str, bytes | None]
"""The content of files by path; None stands for a folder."""

_PATHS = st.sampled_from(["a", "b", "a/a", "a/b", "a/b/a", "a/b/c", "b/a", "a-b", "a/a.d"])
_CHANGES = st.lists(st.tuples(st.sampled_from(["file", "folder", "remove"]), _PATHS), max_size=8)


def apply(tree: Tree, changes: list[tuple[str, str]], salt: bytes) -> None:
    """Change a tree as commands in a container would."""
    for action, path in changes:
        parents = [path[:position] for position, letter in enumerate(path) if letter == "/"]
        if action == "remove" or tree.get(path, b"") is None or action == "folder":
            for inner in [known for known in tree if known == path or known.startswith(path + "/")]:
                del tree[inner]
        if action != "remove":
            for parent in parents:
                if tree.get(parent) is not None:
                    del tree[parent]
                tree.setdefault(parent, None)
            tree[path] = salt + path.encode() if action == "file" else None


def layer_between(before: Tree, after: Tree) -> bytes:
    """The layer that an engine makes of the difference between two trees."""
    members: list[Member] = []
    for path in sorted(after):
        inside = after[path]
        if inside is None:
            members.append(folder(path))
        elif before.get(path) != inside:
            members.append(file(path, inside))
    for path in sorted(before):
        parent = path.rpartition("/")[0]
        if path not in after and (not parent or after.get(parent, b"") is None):
            members.append(whiteout(path))
    return raw_layer(*members)


def unpacked(parent: Tree, raw: bytes) -> Tree:
    """The tree after an engine applied a layer: whiteouts and opaque folders first, then the members."""
    tree = dict(parent)
    members = contents(raw)
    for path in members:
        folder_path, _, name = path.rpartition("/")
        if name == ".wh..wh..opq":
            for inner in [known for known in tree if known.startswith(folder_path + "/")]:
                del tree[inner]
        elif name.startswith(".wh."):
            hidden = f"{folder_path}/{name[4:]}".lstrip("/")
            for inner in [known for known in tree if known == hidden or known.startswith(hidden + "/")]:
                del tree[inner]
    for path, (info, inside) in members.items():
        if ".wh." in path:
            continue
        if not info.isdir():
            for inner in [known for known in tree if known.startswith(path + "/")]:
                del tree[inner]
        tree[path] = None if info.isdir() else inside
    return tree


@given(st.lists(_CHANGES, min_size=2, max_size=5))
@settings(max_examples=80, deadline=None)
def test_the_merge_shows_what_the_layers_show(steps: list[list[tuple[str, str]]]) -> None:
    states: list[Tree] = [{}]
    for number, changes in enumerate(steps):
        tree = dict(states[-1])
        apply(tree, changes, b"%d" % number)
        states.append(tree)
    layers = [layer_between(before, after) for before, after in pairwise(states)]
    assert unpacked({}, canonical(*layers)) == states[-1]
    assert unpacked(states[1], canonical(*layers[1:], below=layers[:1])) == states[-1]
    # Merging in two steps has the same result as merging in one.
    half = len(layers) // 2
    lower = canonical(*layers[:half])
    upper = canonical(*layers[half:], below=[lower])
    assert unpacked(unpacked({}, lower), upper) == states[-1]
    assert canonical(lower, upper) == canonical(*layers)
