"""The tree of a wheel: what pip would install for it, and nothing but its inputs changes it."""

from __future__ import annotations

import csv
import fnmatch
import io
import random
import tarfile
import tracemalloc
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from rtbuild.digest import Key, canonical_json, sha256_bytes
from rtbuild.errors import IntegrityError
from rtbuild.formats.frames import open_uncompressed
from rtbuild.formats.tar import END
from rtbuild.recipe.model import Removal
from rtbuild.wheels.cache import TreeCache
from rtbuild.wheels.scheme import debian_scheme
from rtbuild.wheels.tree import TreeIndex, TreeInputs, TreeWriter, compose_tree, excluded_paths
from rtbuild.wheels.wheel import open_wheel
from tests.fakes.wheels import EXECUTABLE, make_wheel

SCHEME = debian_scheme("3.9")
LIBRARY = SCHEME.library
UPLOADED = 1_680_000_000


def composed(
    wheel: Path, compiled: Mapping[str, bytes] | None = None, excluded: frozenset[str] = frozenset()
) -> tuple[bytes, TreeIndex]:
    out = io.BytesIO()
    with open_wheel(wheel, SCHEME) as opened:
        index = compose_tree(opened, compiled, uploaded=UPLOADED, scheme=SCHEME, excluded=excluded, out=out)
    return out.getvalue(), index


def members(tree: bytes) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(tree + END)) as archive:
        files = {}
        for entry in archive:
            stream = archive.extractfile(entry)
            assert stream is not None, f"{entry.name} is not a regular file"
            files[entry.name] = (entry, stream.read())
        return files


def contents(tree: bytes) -> dict[str, bytes]:
    return {f"/{path}": content for path, (_, content) in members(tree).items()}


def record(tree: bytes, info: str = "demo-1.0.dist-info") -> list[tuple[str, ...]]:
    text = contents(tree)[f"{LIBRARY}/{info}/RECORD"].decode()
    return [tuple(row) for row in csv.reader(io.StringIO(text, newline=""))]


def test_every_part_of_a_wheel_is_installed_where_debians_pip_puts_it(tmp_path: Path) -> None:
    wheel = make_wheel(
        tmp_path / "demo-1.0-py3-none-any.whl",
        {
            "demo/__init__.py": "x = 1\n",
            "demo/_native.so": b"\x7fELF",
            "demo-1.0.data/purelib/more.py": "y = 2\n",
            "demo-1.0.data/platlib/native.so": b"so",
            "demo-1.0.data/scripts/tool": "#!python\nprint(1)\n",
            "demo-1.0.data/scripts/shell": "#!/bin/sh\n",
            "demo-1.0.data/data/share/demo/readme": "hello",
            "demo-1.0.data/headers/demo.h": "int x;",
        },
        modes={"demo-1.0.data/scripts/tool": EXECUTABLE, "demo/_native.so": EXECUTABLE},
    )
    tree, _ = composed(wheel)
    files = contents(tree)
    assert files[f"{LIBRARY}/demo/__init__.py"] == b"x = 1\n"
    assert files[f"{LIBRARY}/more.py"] == b"y = 2\n"
    assert files[f"{LIBRARY}/native.so"] == b"so"
    assert files["/usr/local/bin/tool"] == b"#!/usr/bin/python3\nprint(1)\n"
    assert files["/usr/local/bin/shell"] == b"#!/bin/sh\n"
    assert files["/usr/local/share/demo/readme"] == b"hello"
    assert files["/usr/local/include/python3.9/demo/demo.h"] == b"int x;"
    assert files[f"{LIBRARY}/demo-1.0.dist-info/INSTALLER"] == b"pip\n"
    modes = {f"/{path}": entry.mode for path, (entry, _) in members(tree).items()}
    assert modes["/usr/local/bin/tool"] == 0o755
    assert modes["/usr/local/bin/shell"] == 0o644
    assert modes[f"{LIBRARY}/demo/_native.so"] == 0o755
    assert modes[f"{LIBRARY}/demo/__init__.py"] == 0o644


def test_members_have_the_time_of_the_upload_and_no_owner(tmp_path: Path) -> None:
    tree, _ = composed(make_wheel(tmp_path / "demo.whl", {"demo.py": ""}))
    for entry, _ in members(tree).values():
        assert (entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname) == (UPLOADED, 0, 0, "", "")


def test_members_are_sorted_and_record_comes_last(tmp_path: Path) -> None:
    tree, _ = composed(make_wheel(tmp_path / "demo.whl", {"zoo.py": "", "a/b.py": "", "a.py": ""}, backwards=True))
    names = list(members(tree))
    assert names[:-1] == sorted(names[:-1])
    assert names[-1].endswith("/RECORD")


def test_entry_points_become_scripts(tmp_path: Path) -> None:
    points = "[console_scripts]\ndemo = demo.cli:main\n[gui_scripts]\nshow = demo:Window.run\n[other]\nx = y:z\n"
    tree, _ = composed(make_wheel(tmp_path / "demo.whl", {"demo/__init__.py": ""}, entry_points=points))
    entry, script = members(tree)["usr/local/bin/demo"]
    assert entry.mode == 0o755
    assert script.startswith(b"#!/usr/bin/python3\n")
    assert b"from demo.cli import main" in script
    assert b"Window.run()" in contents(tree)["/usr/local/bin/show"]
    assert "/usr/local/bin/x" not in contents(tree)


def test_an_entry_point_replaces_a_script_of_the_same_name(tmp_path: Path) -> None:
    tree, _ = composed(
        make_wheel(
            tmp_path / "demo.whl",
            {"demo-1.0.data/scripts/demo": "old wrapper"},
            entry_points="[console_scripts]\ndemo = demo:main\n",
        )
    )
    assert b"from demo import main" in contents(tree)["/usr/local/bin/demo"]


def test_record_lists_the_files_of_the_tree_as_pip_does(tmp_path: Path) -> None:
    wheel = make_wheel(
        tmp_path / "demo.whl",
        {"demo.py": "x\n", "demo-1.0.data/data/etc/conf": "c"},
        entry_points="[console_scripts]\ndemo = demo:main\n",
        metadata={"RECORD": "demo.py,sha256=wrong,99\ngone.py,,\n"},
    )
    tree, _ = composed(wheel, {f"{LIBRARY}/demo.py": b"compiled"})
    rows = record(tree)
    hashed = urlsafe_b64encode(sha256(b"x\n").digest()).decode().rstrip("=")
    assert ("demo.py", f"sha256={hashed}", "2") in rows
    assert ("__pycache__/demo.cpython-39.pyc", "", "") in rows
    assert ("demo-1.0.dist-info/RECORD", "", "") in rows
    assert {row[0] for row in rows} >= {"../../../bin/demo", "../../../etc/conf", "demo-1.0.dist-info/INSTALLER"}
    assert "gone.py" not in {row[0] for row in rows}
    assert rows == sorted(rows)
    assert len(rows) == len(members(tree))
    assert contents(tree)[f"{LIBRARY}/demo-1.0.dist-info/RECORD"].count(b"\r\n") == len(rows)


def test_the_index_lists_every_member(tmp_path: Path) -> None:
    tree, index = composed(
        make_wheel(tmp_path / "demo.whl", {"demo/sub/a.py": "1"}), {f"{LIBRARY}/demo/sub/a.py": b"p"}
    )
    expected = [(path, entry.mode, entry.size) for path, (entry, _) in members(tree).items()]
    assert [(file.path, file.mode, file.size) for file in index.files] == expected
    library = LIBRARY[1:]
    assert index.directories >= {"usr", "usr/local", library, f"{library}/demo/sub", f"{library}/demo/sub/__pycache__"}


def test_compiled_modules_are_next_to_their_sources(tmp_path: Path) -> None:
    tree, _ = composed(make_wheel(tmp_path / "demo.whl", {"demo/a.py": ""}), {f"{LIBRARY}/demo/a.py": b"pyc"})
    assert contents(tree)[f"{LIBRARY}/demo/__pycache__/a.cpython-39.pyc"] == b"pyc"


def test_excluded_files_have_no_compiled_form_and_no_line_in_record(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "demo.whl", {"demo/a.py": "", "demo/b.py": ""})
    compiled = {f"{LIBRARY}/demo/{name}.py": b"pyc" for name in "ab"}
    tree, _ = composed(wheel, compiled, frozenset({f"{LIBRARY}/demo/a.py"}))
    assert not [path for path in contents(tree) if "/a." in path]
    assert [row[0] for row in record(tree) if row[0].startswith("demo/")] == [
        "demo/__pycache__/b.cpython-39.pyc",
        "demo/b.py",
    ]


def test_removals_match_folders_files_and_compiled_modules(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "demo.whl", {"demo/tests/deep/t.py": "", "demo/testsuite.py": "", "demo/c.py": ""})
    removals = [Removal(pattern=f"{LIBRARY}/*/tests", reason=""), Removal(pattern="*/c.cpython-39.pyc", reason="")]
    with open_wheel(wheel, SCHEME) as opened:
        assert excluded_paths(opened, removals, SCHEME) == {
            f"{LIBRARY}/demo/tests/deep/t.py",
            f"{LIBRARY}/demo/__pycache__/c.cpython-39.pyc",
        }
        assert excluded_paths(opened, [], SCHEME) == frozenset()


def test_removals_do_not_depend_on_how_fnmatch_ends_its_patterns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Python 3.14 writes \z where older versions write \Z; this pattern is neither and means the same.
    usual = fnmatch.translate
    monkeypatch.setattr(fnmatch, "translate", lambda pattern: usual(pattern)[:-2] + r"(?![\s\S])")
    wheel = make_wheel(tmp_path / "demo.whl", {"demo/tests/deep/t.py": "", "demo/tests.py": "", "demo/c.py": ""})
    removals = [Removal(pattern="*/tests/", reason=""), Removal(pattern="*/c.py", reason="")]
    with open_wheel(wheel, SCHEME) as opened:
        found = excluded_paths(opened, removals, SCHEME)
    assert found == {f"{LIBRARY}/demo/tests/deep/t.py", f"{LIBRARY}/demo/c.py"}


def test_bytes_do_not_depend_on_the_zips_order_or_compression(tmp_path: Path) -> None:
    files = {"demo/__init__.py": "x = 1\n" * 50, "demo/data.json": "{}"}
    deflated, _ = composed(make_wheel(tmp_path / "deflated.whl", files))
    stored, _ = composed(make_wheel(tmp_path / "stored.whl", files, compression=zipfile.ZIP_STORED, backwards=True))
    assert deflated == stored


def test_modules_compiled_by_the_publisher_are_left_out(tmp_path: Path) -> None:
    tree, _ = composed(make_wheel(tmp_path / "demo.whl", {"demo.py": "", "__pycache__/demo.cpython-39.pyc": b"stale"}))
    assert not [path for path in contents(tree) if path.endswith(".pyc")]


def test_compiled_modules_of_another_wheel_are_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="compiled modules without a source in the wheel"):
        composed(make_wheel(tmp_path / "demo.whl", {"demo.py": ""}), {f"{LIBRARY}/other.py": b"pyc"})


INPUTS = TreeInputs(
    wheel=sha256_bytes(b"w"),
    uploaded=1,
    python="3.9.2-1",
    scheme=SCHEME,
    excluded=["/b", "/a"],
    compile_script=sha256_bytes(b"s"),
    compressor="zstd 1",
)


def test_the_key_depends_on_every_input() -> None:
    others = [
        replace(INPUTS, wheel=sha256_bytes(b"W")),
        replace(INPUTS, uploaded=2),
        replace(INPUTS, python="3.9.2-2"),
        replace(INPUTS, scheme=debian_scheme("3.10")),
        replace(INPUTS, excluded=["/a"]),
        replace(INPUTS, compile_script=sha256_bytes(b"S")),
        replace(INPUTS, compressor="zstd 2"),
    ]
    assert len({INPUTS.key, *(inputs.key for inputs in others)}) == len(others) + 1


def test_the_key_does_not_depend_on_the_order_of_exclusions() -> None:
    assert replace(INPUTS, excluded={"/a", "/b"}).key == INPUTS.key


def test_the_key_is_the_hash_of_the_same_text_as_ever() -> None:
    """Stores are full of trees with such keys."""
    scheme = {
        "library": "/usr/local/lib/python3.9/dist-packages",
        "scripts": "/usr/local/bin",
        "data": "/usr/local",
        "headers": "/usr/local/include/python3.9",
        "interpreter": "/usr/bin/python3",
        "python": "3.9",
        "links": [
            ["/usr/local/man", "/usr/local/share/man"],
            ["/usr/local/lib/python3.9/site-packages", "/usr/local/lib/python3.9/dist-packages"],
        ],
    }
    text = {
        "schema": 3,
        "wheel": sha256_bytes(b"w"),
        "uploaded": 1,
        "python": "3.9.2-1",
        "scheme": scheme,
        "excluded": ["/a", "/b"],
        "compile-script": sha256_bytes(b"s"),
        "compressor": "zstd 1",
    }
    assert INPUTS.key == Key(sha256_bytes(canonical_json(text)))


def test_a_large_member_takes_little_memory(tmp_path: Path) -> None:
    content = random.Random(8).randbytes(8_000_001) + bytes(16_000_000)
    wheel = make_wheel(tmp_path / "demo.whl", {"library.so": content}, compression=zipfile.ZIP_STORED)

    def compose(out: TreeWriter) -> TreeIndex:
        with open_wheel(wheel, SCHEME) as opened:
            return compose_tree(opened, None, uploaded=UPLOADED, scheme=SCHEME, out=out)

    tracemalloc.start()
    try:
        tree = TreeCache(tmp_path / "trees").add(INPUTS.key, compose)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < len(content)
    with open_uncompressed(tree.frames) as plain:
        assert content in plain.read()
