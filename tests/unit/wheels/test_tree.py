"""A tree is what pip would install for a wheel, and depends on nothing but its inputs."""

from __future__ import annotations

import csv
import fnmatch
import io
import tarfile
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from rtbuild.digest import sha256_bytes
from rtbuild.errors import BuildError, IntegrityError, RtbuildError
from rtbuild.formats.tar import END
from rtbuild.recipe.model import Removal
from rtbuild.wheels.scheme import debian_scheme
from rtbuild.wheels.tree import TreeIndex, compose_tree, excluded_paths, tree_key
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
        found = {}
        for entry in archive:
            stream = archive.extractfile(entry)
            assert stream is not None, f"{entry.name} is no regular file"
            found[entry.name] = (entry, stream.read())
        return found


def contents(tree: bytes) -> dict[str, bytes]:
    return {f"/{path}": content for path, (_, content) in members(tree).items()}


def record(tree: bytes, info: str = "demo-1.0.dist-info") -> list[tuple[str, ...]]:
    text = contents(tree)[f"{LIBRARY}/{info}/RECORD"].decode()
    return [tuple(row) for row in csv.reader(io.StringIO(text, newline=""))]


def test_every_part_of_a_wheel_goes_where_debians_pip_puts_it(tmp_path: Path) -> None:
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
    found = contents(tree)
    assert found[f"{LIBRARY}/demo/__init__.py"] == b"x = 1\n"
    assert found[f"{LIBRARY}/more.py"] == b"y = 2\n"
    assert found[f"{LIBRARY}/native.so"] == b"so"
    assert found["/usr/local/bin/tool"] == b"#!/usr/bin/python3\nprint(1)\n"
    assert found["/usr/local/bin/shell"] == b"#!/bin/sh\n"
    assert found["/usr/local/share/demo/readme"] == b"hello"
    assert found["/usr/local/include/python3.9/demo/demo.h"] == b"int x;"
    assert found[f"{LIBRARY}/demo-1.0.dist-info/INSTALLER"] == b"pip\n"
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


def test_a_script_in_the_wheel_yields_to_the_entry_point_of_its_name(tmp_path: Path) -> None:
    tree, _ = composed(
        make_wheel(
            tmp_path / "demo.whl",
            {"demo-1.0.data/scripts/demo": "old wrapper"},
            entry_points="[console_scripts]\ndemo = demo:main\n",
        )
    )
    assert b"from demo import main" in contents(tree)["/usr/local/bin/demo"]


def test_pip_is_called_after_the_python_it_is_for(tmp_path: Path) -> None:
    points = "[console_scripts]\npip = pip:main\npip3 = pip:main\npip3.12 = pip:main\n"
    tree, _ = composed(make_wheel(tmp_path / "pip.whl", {"pip.py": ""}, name="pip", entry_points=points))
    assert {path for path in contents(tree) if "/bin/" in path} == {
        f"/usr/local/bin/{n}" for n in ("pip", "pip3", "pip3.9")
    }


def test_record_tells_what_is_there_in_pips_form(tmp_path: Path) -> None:
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


def test_the_index_tells_every_member(tmp_path: Path) -> None:
    tree, index = composed(
        make_wheel(tmp_path / "demo.whl", {"demo/sub/a.py": "1"}), {f"{LIBRARY}/demo/sub/a.py": b"p"}
    )
    expected = [
        (path, entry.mode, entry.size, sha256(content).hexdigest()) for path, (entry, content) in members(tree).items()
    ]
    assert [(file.path, file.mode, file.size, file.sha256) for file in index.files] == expected
    library = LIBRARY[1:]
    assert index.directories >= {"usr", "usr/local", library, f"{library}/demo/sub", f"{library}/demo/sub/__pycache__"}


def test_compiled_modules_lie_beside_their_sources(tmp_path: Path) -> None:
    tree, _ = composed(make_wheel(tmp_path / "demo.whl", {"demo/a.py": ""}), {f"{LIBRARY}/demo/a.py": b"pyc"})
    assert contents(tree)[f"{LIBRARY}/demo/__pycache__/a.cpython-39.pyc"] == b"pyc"


def test_what_is_excluded_leaves_neither_file_nor_compiled_form_nor_record(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "demo.whl", {"demo/a.py": "", "demo/b.py": ""})
    compiled = {f"{LIBRARY}/demo/{name}.py": b"pyc" for name in "ab"}
    tree, _ = composed(wheel, compiled, frozenset({f"{LIBRARY}/demo/a.py"}))
    assert not [path for path in contents(tree) if "/a." in path]
    assert [row[0] for row in record(tree) if row[0].startswith("demo/")] == [
        "demo/__pycache__/b.cpython-39.pyc",
        "demo/b.py",
    ]


def test_removals_reach_folders_files_and_compiled_modules(tmp_path: Path) -> None:
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
    # Python 3.14 writes \z where older ones write \Z; what stands here means the same and is neither.
    usual = fnmatch.translate
    monkeypatch.setattr(fnmatch, "translate", lambda pattern: usual(pattern)[:-2] + r"(?![\s\S])")
    wheel = make_wheel(tmp_path / "demo.whl", {"demo/tests/deep/t.py": "", "demo/tests.py": "", "demo/c.py": ""})
    removals = [Removal(pattern="*/tests/", reason=""), Removal(pattern="*/c.py", reason="")]
    with open_wheel(wheel, SCHEME) as opened:
        found = excluded_paths(opened, removals, SCHEME)
    assert found == {f"{LIBRARY}/demo/tests/deep/t.py", f"{LIBRARY}/demo/c.py"}


def test_bytes_do_not_depend_on_the_zips_order_or_compression(tmp_path: Path) -> None:
    files = {"demo/__init__.py": "x = 1\n" * 50, "demo/data.json": "{}"}
    one, _ = composed(make_wheel(tmp_path / "one.whl", files))
    two, _ = composed(make_wheel(tmp_path / "two.whl", files, compression=zipfile.ZIP_STORED, backwards=True))
    assert one == two


def test_modules_that_the_builder_of_the_wheel_compiled_are_left_out(tmp_path: Path) -> None:
    tree, _ = composed(make_wheel(tmp_path / "demo.whl", {"demo.py": "", "__pycache__/demo.cpython-39.pyc": b"stale"}))
    assert not [path for path in contents(tree) if path.endswith(".pyc")]


@pytest.mark.parametrize("path", ["../evil.py", "/etc/passwd", "demo/../../evil", "demo//a.py", "demo\\a.py", "./a.py"])
def test_paths_that_lead_elsewhere_are_refused(tmp_path: Path, path: str) -> None:
    wheel = make_wheel(tmp_path / "demo.whl", {path: "x"})
    with pytest.raises(BuildError, match="not a path for a file in a wheel") as caught:
        composed(wheel)
    assert "demo.whl" in caught.value.brief


@pytest.mark.parametrize("path", ["demo-1.0.data/scripts/../../../evil", "demo-1.0.data/../x"])
def test_data_that_leads_elsewhere_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(BuildError):
        composed(make_wheel(tmp_path / "demo.whl", {path: "x"}))


@pytest.mark.parametrize("name", ["../evil", "a/b", ".."])
def test_script_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    wheel = make_wheel(tmp_path / "demo.whl", {}, entry_points=f"[console_scripts]\n{name} = demo:main\n")
    with pytest.raises(BuildError, match="not a name for a script"):
        composed(wheel)


@pytest.mark.parametrize(
    ("metadata", "files", "points"),
    [
        ({"WHEEL": None}, {}, ""),
        ({"WHEEL": "Wheel-Version: 2.0\nRoot-Is-Purelib: true\n"}, {}, ""),
        ({"WHEEL": b"\xff\xfe"}, {}, ""),
        ({}, {"other-2.dist-info/METADATA": "x"}, ""),
        ({}, {"demo-1.0.data/nowhere/x": "x"}, ""),
        ({}, {}, "[console_scripts]\ndemo = not an entry point\n"),
        ({}, {}, "no section\n"),
    ],
)
def test_what_is_no_installable_wheel_is_an_error_that_names_it(
    tmp_path: Path, metadata: dict[str, bytes | str | None], files: dict[str, str], points: str
) -> None:
    wheel = make_wheel(tmp_path / "demo.whl", files, metadata=metadata, entry_points=points)
    with pytest.raises(BuildError, match=r"^demo\.whl: "):
        composed(wheel)


def test_a_file_that_is_no_zip_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "demo.whl").write_bytes(b"<html>not found</html>")
    with pytest.raises(IntegrityError, match="not a wheel"):
        composed(tmp_path / "demo.whl")


def test_a_damaged_member_is_found(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "demo.whl", {"demo.py": "abcdefgh" * 9}, compression=zipfile.ZIP_STORED)
    wheel.write_bytes(wheel.read_bytes().replace(b"abcdefgh", b"abcdefgX", 1))
    with pytest.raises(IntegrityError, match=r"demo\.py is damaged"):
        composed(wheel)


def test_truncated_deflate_data_is_found(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "demo.whl", {"demo.py": "".join(map(str, range(999)))})
    content = bytearray(wheel.read_bytes())
    start = content.index(b"demo.py") + len("demo.py")
    content[start + 20 : start + 60] = bytes(40)
    wheel.write_bytes(content)
    with pytest.raises(IntegrityError, match="damaged"):
        composed(wheel)


def test_compiled_modules_of_another_wheel_are_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="not the wheel's"):
        composed(make_wheel(tmp_path / "demo.whl", {"demo.py": ""}), {f"{LIBRARY}/other.py": b"pyc"})


def test_the_key_moves_with_every_input_and_with_nothing_else() -> None:
    inputs = {
        "wheel": sha256_bytes(b"w"),
        "uploaded": 1,
        "python": "3.9.2-1",
        "scheme": SCHEME,
        "excluded": ["/b", "/a"],
        "compile_script": sha256_bytes(b"s"),
        "compressor": "zstd 1",
    }
    changes = {
        "wheel": sha256_bytes(b"W"),
        "uploaded": 2,
        "python": "3.9.2-2",
        "scheme": debian_scheme("3.10"),
        "excluded": ["/a"],
        "compile_script": sha256_bytes(b"S"),
        "compressor": "zstd 2",
    }
    keys = {tree_key(**inputs)} | {tree_key(**(inputs | {name: value})) for name, value in changes.items()}  # type: ignore[arg-type]
    assert len(keys) == len(changes) + 1
    assert tree_key(**(inputs | {"excluded": {"/a", "/b"}})) == tree_key(**inputs)  # type: ignore[arg-type]


def test_errors_are_of_rtbuild(tmp_path: Path) -> None:
    (tmp_path / "empty.whl").write_bytes(b"")
    with pytest.raises(RtbuildError):
        composed(tmp_path / "empty.whl")
