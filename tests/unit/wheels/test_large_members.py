"""Large files of wheels go through in pieces: the same bytes, the same checks, and no more memory than a few pieces."""

from __future__ import annotations

import io
import random
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from rtbuild.digest import Key, Sha256
from rtbuild.errors import IntegrityError
from rtbuild.formats.frames import open_uncompressed
from rtbuild.wheels.cache import TreeCache
from rtbuild.wheels.scheme import debian_scheme
from rtbuild.wheels.tree import TreeIndex, TreeWriter, compose_tree
from rtbuild.wheels.wheel import open_wheel
from tests.fakes.wheels import make_wheel

SCHEME = debian_scheme("3.9")
KEY = Key(Sha256("0" * 64))
LIBRARY = "demo/library.so"
# Not a multiple of any piece, half of it compressible, so that one stored piece gives many and many give one.
CONTENT = random.Random(8).randbytes(9_000_001) + bytes(21_000_000)


def compose(wheel: Path, out: TreeWriter) -> TreeIndex:
    with open_wheel(wheel, SCHEME) as opened:
        return compose_tree(opened, None, uploaded=1_600_000_000, scheme=SCHEME, out=out)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_the_content_is_the_wheels(tmp_path: Path, compression: int) -> None:
    wheel = make_wheel(tmp_path / "demo.whl", {LIBRARY: CONTENT}, compression=compression)
    with open_wheel(wheel, SCHEME) as opened:
        pieces = list(opened.pieces(opened.parts[f"{SCHEME.library}/{LIBRARY}"]))
    assert len(pieces) > 1
    assert b"".join(pieces) == CONTENT


def test_the_tree_holds_it_and_takes_little_memory(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "demo.whl", {LIBRARY: CONTENT})
    cache = TreeCache(tmp_path / "trees")
    tracemalloc.start()
    try:
        tree = cache.add(KEY, lambda out: compose(wheel, out))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < len(CONTENT)
    with open_uncompressed(tree.frames) as plain:
        assert CONTENT in plain.read()
    assert cache.find(KEY) == tree


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
@pytest.mark.parametrize("place", [0.3, 0.9])
def test_a_wrong_byte_is_found(tmp_path: Path, compression: int, place: float) -> None:
    wheel = make_wheel(tmp_path / "demo.whl", {LIBRARY: CONTENT}, compression=compression)
    with zipfile.ZipFile(wheel) as archive:
        info = archive.getinfo(LIBRARY)
    content = bytearray(wheel.read_bytes())
    content[info.header_offset + int(info.compress_size * place)] ^= 1
    wheel.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"demo/library\.so is damaged"):
        compose(wheel, io.BytesIO())
