"""Reading the files of a layer and their owners."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbuild.errors import IntegrityError
from rtbuild.inventory.contents import NOBODY, Owner, owner_of, read_contents
from tests.fakes.layers import compressed, file, folder, link, raw_layer, symlink

STATUS = b"""Package: libc6
Status: install ok installed
Version: 2.31-13

Package: python3.9-minimal
Version: 3.9.2-1
Description: one
 Version: not this one
"""
LIBC6 = Owner("debian", "libc6", "2.31-13")
PYTHON = Owner("debian", "python3.9-minimal", "3.9.2-1")
LIBRARY = "usr/local/lib/python3.9/dist-packages"


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """A compressed layer with two Debian packages and a wheel."""
    record = (
        "flask_app/__init__.py,sha256=x,3\n"
        '"flask_app/a, b.txt",sha256=y,1\n'
        "Flask_App-1.0.dist-info/RECORD,,\n"
        "../../../bin/flask-app,,\n"
    )
    raw = raw_layer(
        folder("usr"),
        file("usr/lib/libc.so", b"12345"),
        link("usr/lib/libc.so.6", "usr/lib/libc.so"),
        symlink("usr/lib/alias", "libc.so"),
        file("usr/lib/python3.9/abc.py", b"x"),
        file("usr/lib/python3.9/__pycache__/abc.cpython-39.pyc", b"xyz"),
        file("usr/lib/python3.9/__pycache__/abc.cpython-39.opt-1.pyc", b"xyz"),
        file("usr/lib/python3.9/__pycache__/stray.cpython-39.pyc", b"xyz"),
        file(f"{LIBRARY}/flask_app/__init__.py", b"abc"),
        file(f"{LIBRARY}/flask_app/a, b.txt", b"1"),
        file(f"{LIBRARY}/Flask_App-1.0.dist-info/RECORD", record.encode()),
        file("usr/local/bin/flask-app", b"#!"),
        file("var/lib/dpkg/info/libc6:amd64.list", b"/.\n/usr\n/usr/lib\n/usr/lib/libc.so\n"),
        file("var/lib/dpkg/info/libc6:amd64.postinst", b"#!/bin/sh"),
        file("var/lib/dpkg/info/python3.9-minimal.list", b"/usr/lib/python3.9/abc.py\n"),
        file("var/lib/dpkg/status", STATUS),
    )
    path = tmp_path / "layer"
    path.write_bytes(compressed(raw))
    return path


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("usr/lib/libc.so", LIBC6),
        ("var/lib/dpkg/info/libc6:amd64.list", LIBC6),
        ("var/lib/dpkg/info/libc6:amd64.postinst", LIBC6),
        ("usr/lib/python3.9/abc.py", PYTHON),
        ("usr/lib/python3.9/__pycache__/abc.cpython-39.pyc", PYTHON),
        ("usr/lib/python3.9/__pycache__/abc.cpython-39.opt-1.pyc", PYTHON),
        ("usr/lib/python3.9/__pycache__/stray.cpython-39.pyc", NOBODY),
        ("var/lib/dpkg/status", NOBODY),
        (f"{LIBRARY}/flask_app/a, b.txt", Owner("python", "flask-app", "1.0")),
        (f"{LIBRARY}/Flask_App-1.0.dist-info/RECORD", Owner("python", "flask-app", "1.0")),
        ("usr/local/bin/flask-app", Owner("python", "flask-app", "1.0")),
        ("nowhere", NOBODY),
    ],
)
def test_finds_the_owner_of_a_path(layer: Path, path: str, owner: Owner) -> None:
    assert owner_of(path, [read_contents(layer).owners]) == owner


def test_lists_regular_files_and_each_hard_linked_file_once(layer: Path) -> None:
    sizes = dict(read_contents(layer).files)
    assert sizes["usr/lib/libc.so"] == 5
    assert not {"usr", "usr/lib/alias", "usr/lib/libc.so.6"} & set(sizes)


def test_the_first_map_with_the_path_decides() -> None:
    lower, upper = {"a": LIBC6, "b": LIBC6}, {"a": PYTHON}
    assert [owner_of(path, [upper, lower]) for path in "abc"] == [PYTHON, LIBC6, NOBODY]


def test_reads_a_plain_tar(tmp_path: Path) -> None:
    path = tmp_path / "layer"
    path.write_bytes(raw_layer(file("a", b"1")))
    assert dict(read_contents(path).files) == {"a": 1}


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_rejects_a_truncated_layer(layer: Path, share: float) -> None:
    content = layer.read_bytes()
    layer.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(IntegrityError):
        read_contents(layer)


def test_rejects_a_layer_that_ends_within_a_list(tmp_path: Path) -> None:
    raw = raw_layer(file("var/lib/dpkg/info/a.list", b"/x\n" * 1000))
    path = tmp_path / "layer"
    path.write_bytes(raw[:1024])
    with pytest.raises(IntegrityError, match=r"/var/lib/dpkg/info/a\.list: its content is truncated"):
        read_contents(path)
