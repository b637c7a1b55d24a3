"""Comparing two layers."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace

import pytest

from rtbuild.errors import IntegrityError
from rtbuild.formats import frames
from rtbuild.formats.tar import END, member_header
from rtbuild.formats.tar_entry import CHARACTER, Entry
from rtbuild.oci.compare import compare_layers
from tests.fakes.layers import compressed, file, folder, link, raw_layer, symlink


def _compare(a: bytes, b: bytes) -> list[tuple[str, str, str, str]]:
    differences = compare_layers(io.BytesIO(a), io.BytesIO(b))
    return [(difference.path, difference.what, difference.before, difference.after) for difference in differences]


def _single(**changes: object) -> bytes:
    entry = Entry(path="x", type=CHARACTER, device=(1, 2), mode=0o600, mtime=5, xattrs={"user.a": b"\1"})
    return member_header(replace(entry, **changes)) + END  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"mode": 0o4600}, ("mode", "0600", "4600")),
        ({"uid": 7}, ("owner", "0:0", "7:0")),
        ({"gid": 7}, ("owner", "0:0", "0:7")),
        ({"mtime": 6}, ("mtime", "5", "6")),
        ({"device": (1, 3)}, ("device", "1:2", "1:3")),
        ({"xattrs": {"user.a": b"\2"}}, ("xattrs", "user.a=0x01", "user.a=0x02")),
        ({"xattrs": None}, ("xattrs", "user.a=0x01", "")),
    ],
)
def test_reports_each_field(changes: dict[str, object], difference: tuple[str, str, str]) -> None:
    assert _compare(_single(), _single(**changes)) == [("/x", *difference)]
    assert _compare(_single(**changes), _single(**changes)) == []


def test_names_and_links_cannot_forge_lines() -> None:
    a, b = raw_layer(symlink("l", "a")), raw_layer(symlink("l", "\x1b[8m"), file("x\nreproducible"))
    assert _compare(a, b) == [("/l", "link", "a", r"\x1b[8m"), (r"/x\nreproducible", "added", "", "file")]


def test_reports_content_by_both_digests() -> None:
    a, b = raw_layer(file("f", b"abc"), file("g")), raw_layer(file("f", b"abd"), file("g"))
    digests = [hashlib.sha256(content).hexdigest() for content in (b"abc", b"abd")]
    assert _compare(a, b) == [("/f", "content", *digests)]


def test_reports_members_of_one_layer_only() -> None:
    a = raw_layer(folder("d"), file("d/a"), file("d/c"), file("d/e"))
    b = raw_layer(folder("d"), file("d/b"), file("d/c"), file("d/f"))
    assert _compare(a, b) == [
        ("/d/a", "missing", "file", ""),
        ("/d/b", "added", "", "file"),
        ("/d/e", "missing", "file", ""),
        ("/d/f", "added", "", "file"),
    ]


def test_reports_links_and_types() -> None:
    a, b = raw_layer(symlink("l", "a"), file("f"), file("g")), raw_layer(symlink("l", "b"), file("f"), link("g", "f"))
    assert [(path, what) for path, what, _, _ in _compare(a, b)] == [
        ("/g", "content"),
        ("/g", "link"),
        ("/g", "type"),
        ("/l", "link"),
    ]


def test_another_order_is_a_single_difference() -> None:
    a, b = raw_layer(file("a"), file("b"), file("c")), raw_layer(file("a"), file("c"), file("b"))
    assert _compare(a, b) == [("/b", "order", "", "")]
    c = raw_layer(file("a"), file("x"), file("c"))
    assert [what for _, what, _, _ in _compare(a, c)] == ["missing", "added"]


def test_reports_a_path_that_is_there_twice() -> None:
    single, double = raw_layer(file("a")), raw_layer(file("a"), file("a"))
    assert _compare(single, double) == [("/a", "duplicate", "", "twice")]
    assert _compare(double, single) == [("/a", "duplicate", "twice", "")]


def test_compression_makes_no_difference() -> None:
    raw = raw_layer(*[file(f"f{index}", bytes(50_000)) for index in range(100)])
    other = raw_layer(*[file(f"f{index}", bytes(50_000 - (index == 70))) for index in range(100)])
    for layer in (raw, compressed(raw, frames.zstd()), compressed(raw, frames.gzip(1))):
        assert _compare(layer, raw) == []
        assert {(path, what) for path, what, _, _ in _compare(layer, other)} == {
            ("/f70", "content"),
            ("/f70", "size"),
        }


def test_rejects_a_truncated_layer() -> None:
    raw = raw_layer(file("a", b"x" * 5000))
    with pytest.raises(IntegrityError):
        _compare(raw, raw[:2048])
    with pytest.raises(IntegrityError):
        _compare(frames.zstd().frame(raw)[:-5], raw)
