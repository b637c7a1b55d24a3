"""Reading and writing tars, compared with `tarfile`."""

from __future__ import annotations

import io
import random
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbuild.errors import IntegrityError
from rtbuild.formats.tar import END, member_header, padding, read_members
from rtbuild.formats.tar_entry import BLOCK, CHARACTER, DIRECTORY, FIFO, HARDLINK, REGULAR, SYMLINK, Entry
from tests.fakes.layers import tar_info


def _read(raw: bytes) -> list[Entry]:
    return [entry for entry, _ in read_members(io.BytesIO(raw))]


def _write(*entries: Entry) -> bytes:
    return b"".join(member_header(entry) + bytes(entry.size) + padding(entry.size) for entry in entries) + END


def _by_tarfile(raw: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        return archive.getmembers()


_parts = st.one_of(
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40),
    st.sampled_from(["x" * 99, "x" * 100, "x" * 101, "y" * 50, "y" * 54, "y" * 155, "z" * 156, "ü" * 60, " ", "a "]),
).filter(lambda part: part not in (".", ".."))
_paths = st.lists(_parts, min_size=1, max_size=5).map("/".join)
_numbers = st.one_of(st.integers(0, 3_000_000), st.just(0o7777777), st.just(0o10000000), st.just(2**31))


@st.composite
def _entries(draw: st.DrawFn) -> Entry:
    kind = draw(st.sampled_from([REGULAR, DIRECTORY, SYMLINK, HARDLINK, CHARACTER, BLOCK, FIFO]))
    entry = Entry(
        path=draw(_paths),
        type=kind,
        mode=draw(st.integers(0, 0o7777)),
        uid=draw(_numbers),
        gid=draw(_numbers),
        mtime=draw(st.one_of(st.integers(0, 2**33), st.integers(-(2**31), 2**36))),
    )
    if kind == REGULAR:
        entry.size = draw(st.integers(0, 2000))
    if kind in (SYMLINK, HARDLINK):
        entry.link = draw(_paths)
    if kind in (CHARACTER, BLOCK):
        entry.device = (draw(st.integers(0, 4095)), draw(st.integers(0, 0o7777777)))
    if kind != HARDLINK:
        names = st.sampled_from(["security.capability", "user.ä", "user.x y"])
        entry.xattrs = draw(st.one_of(st.none(), st.dictionaries(names, st.binary(max_size=200), min_size=1)))
    return entry


@given(st.lists(_entries(), max_size=4))
def test_reads_what_it_writes(entries: list[Entry]) -> None:
    assert _read(_write(*entries)) == entries


@given(_entries())
def test_tarfile_reads_what_is_written(entry: Entry) -> None:
    (info,) = _by_tarfile(_write(entry))
    expected = tar_info(entry)
    for name in ("name", "type", "mode", "uid", "gid", "size", "mtime", "linkname", "devmajor", "devminor"):
        assert getattr(info, name) == getattr(expected, name), name
    assert (info.uname, info.gname) == ("", "")
    assert not {"atime", "ctime", "uname", "gname"} & set(info.pax_headers)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@given(entries=st.lists(_entries(), max_size=4))
@settings(deadline=None)
def test_reads_what_tarfile_writes(form: int, entries: list[Entry]) -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=form, encoding="utf-8") as archive:
        for entry in entries:
            if form == tarfile.GNU_FORMAT:
                entry.xattrs = None
            if entry.xattrs:
                # tarfile's PAX values are text; bytes are compared in the round trip above
                entry.xattrs = {name: value.hex().encode() for name, value in entry.xattrs.items()}
            archive.addfile(tar_info(entry), io.BytesIO(bytes(entry.size)))
    assert _read(target.getvalue()) == entries


@pytest.mark.parametrize("length", range(90, 270))
def test_names_of_every_length_around_the_limits_of_ustar(length: int) -> None:
    for path in ("a" * length, "d/" * (length // 2) + "f", ("p" * 60 + "/") * (length // 61) + "f" * (length % 61 + 1)):
        for kind in (REGULAR, DIRECTORY):
            raw = _write(Entry(path=path, type=kind))
            assert [info.name for info in _by_tarfile(raw)] == [path]
            assert [entry.path for entry in _read(raw)] == [path]


def test_writes_a_pax_header_only_if_ustar_cannot_express_the_entry() -> None:
    assert len(member_header(Entry(path="p" * 155 + "/" + "n" * 100))) == 512
    assert len(member_header(Entry(path="p" * 155 + "/" + "n" * 99, type=DIRECTORY))) == 512
    assert len(member_header(Entry(path="p" * 155 + "/" + "n" * 100, type=DIRECTORY))) == 1536
    assert len(member_header(Entry(path="n" * 101))) == 1536
    assert len(member_header(Entry(path="x", type=SYMLINK, link="l" * 100))) == 512
    assert len(member_header(Entry(path="x", type=SYMLINK, link="l" * 101))) == 1536
    assert len(member_header(Entry(path="x", size=8**11 - 1))) == 512
    assert len(member_header(Entry(path="x", size=8**11))) == 1536
    assert len(member_header(Entry(path="ü"))) == 1536


def test_sizes_over_eight_gibibytes() -> None:
    header = member_header(Entry(path="big", size=9 << 30))

    class Sparse(io.BytesIO):
        """A header, nine gibibytes that are never read, and the end."""

        def seek(self, offset: int, whence: int = 0) -> int:
            return super().seek(offset - (9 << 30) if offset >= 9 << 30 else offset, whence)

    ((entry, offset),) = read_members(Sparse(header + END))
    assert (entry.size, offset) == (9 << 30, len(header))


def test_keeps_names_that_are_not_utf8() -> None:
    path = b"caf\xe9/\xff".decode("utf-8", "surrogateescape")
    raw = _write(Entry(path=path, type=SYMLINK, link=path))
    assert _read(raw) == [Entry(path=path, type=SYMLINK, link=path)]
    assert _by_tarfile(raw)[0].name == path


def test_the_length_of_a_pax_record_counts_its_own_digits() -> None:
    for length in [*range(101, 130), *range(970, 1010), *range(9970, 10010)]:
        raw = _write(Entry(path="x" * length))
        assert [info.name for info in _by_tarfile(raw)] == ["x" * length]


def test_equal_entries_have_equal_headers() -> None:
    a = Entry(path="f", xattrs={"user.b": b"1", "user.a": b"2"})
    b = Entry(path="f", xattrs={"user.a": b"2", "user.b": b"1"})
    assert member_header(a) == member_header(b)


def test_rounds_times_down_to_seconds() -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, mtime in (("a", 1683000000.999999), ("b", -1.5)):
            info = tarfile.TarInfo(name)
            info.mtime = mtime
            archive.addfile(info)
    assert [entry.mtime for entry in _read(target.getvalue())] == [1683000000, -2]


def test_global_headers_apply_unless_a_member_overrides_them() -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"mtime": "77"}) as archive:
        archive.addfile(tarfile.TarInfo("a"))
        info = tarfile.TarInfo("b")
        info.pax_headers = {"mtime": "88"}
        archive.addfile(info)
    assert [entry.mtime for entry in _read(target.getvalue())] == [77, 88]


def test_reads_old_archives_without_magic_and_types() -> None:
    block = bytearray(member_header(Entry(path="folder", type=DIRECTORY)))
    block[156:157] = b"\0"
    block[257:265] = bytes(8)
    block[329:345] = bytes(16)
    _seal(block)
    assert _read(bytes(block) + END) == [Entry(path="folder", type=DIRECTORY)]


@pytest.mark.parametrize("name", ["./a/b", "/a/b", "a//b", "./a/./b", "a/b/."])
def test_normalises_paths(name: str) -> None:
    block = bytearray(member_header(Entry(path="x", type=HARDLINK, link="x")))
    block[0 : len(name)] = name.encode()
    block[157 : 157 + len(name)] = name.encode()
    _seal(block)
    assert [(entry.path, entry.link) for entry in _read(bytes(block) + END)] == [("a/b", "a/b")]


def test_the_root_folder_is_the_empty_path() -> None:
    block = bytearray(member_header(Entry(path=".", type=DIRECTORY)))
    assert _read(bytes(block) + END)[0].path == ""


def test_content_may_be_read_between_members() -> None:
    raw = member_header(Entry(path="a", size=3)) + b"abc" + padding(3) + member_header(Entry(path="b")) + END
    file = io.BytesIO(b"before" + raw)
    file.seek(6)
    contents = []
    for entry, offset in read_members(file):
        file.seek(offset)
        contents.append((entry.path, file.read(entry.size)))
    assert contents == [("a", b"abc"), ("b", b"")]


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_does_not_write_invalid_paths(path: str) -> None:
    with pytest.raises(ValueError, match="not a valid path"):
        member_header(Entry(path=path))


def test_does_not_write_device_numbers_that_are_too_large() -> None:
    with pytest.raises(ValueError, match="device number"):
        member_header(Entry(path="x", type=CHARACTER, device=(0, 1 << 21)))


_VALID = _write(Entry(path="first", size=5), Entry(path="ü" * 70, size=600), Entry(path="last"))


@pytest.mark.parametrize("length", [*range(0, len(_VALID) - 1024, 100), 511, 512, len(_VALID) - 1024])
def test_rejects_a_truncated_archive(length: int) -> None:
    with pytest.raises(IntegrityError, match="malformed tar: byte"):
        _read(_VALID[:length])


def test_detects_a_changed_byte_anywhere_in_a_header() -> None:
    valid = member_header(Entry(path="some/path", size=0, mtime=5))
    dice = random.Random(1)
    for position in range(512):
        block = bytearray(valid)
        block[position] ^= dice.randrange(1, 128)
        if position == 155:
            continue  # the byte after the checksum's NUL has no meaning
        with pytest.raises(IntegrityError):
            _read(bytes(block) + END)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"type": b"S"}, "sparse"),
        ({"type": b"V"}, "unknown type"),
        ({"name": b"../etc/passwd"}, "outside of its root"),
        ({"name": b"a/../../b"}, "outside of its root"),
        ({"size": b"-0000000001\0"}, "negative"),
        ({"size": b"\xff" * 12}, "negative"),
        ({"size": b"0000000000x\0"}, "instead of a number"),
    ],
)
def test_rejects_malformed_members(change: dict[str, bytes], words: str) -> None:
    block = bytearray(member_header(Entry(path="x")))
    offsets = {"type": 156, "name": 0, "size": 124}
    for name, value in change.items():
        block[offsets[name] : offsets[name] + len(value)] = value
    _seal(block)
    with pytest.raises(IntegrityError, match=words):
        _read(bytes(block) + END)


@pytest.mark.parametrize(
    "records",
    [
        b"9 path=x",
        b"999 path=x\n",
        b"path=x\n",
        b"9 pathxxx\n",
        b"x path=x\n",
        b"0 a=b\n",
        b"11 path=abc\n" + b"x" * 35,  # a second record without a space was read for ever
    ],
)
def test_rejects_malformed_pax_records(records: bytes) -> None:
    block = bytearray(member_header(Entry(path="header", size=len(records))))
    block[156:157] = b"x"
    _seal(block)
    raw = bytes(block) + records + padding(len(records)) + member_header(Entry(path="x")) + END
    with pytest.raises(IntegrityError, match="malformed PAX record"):
        _read(raw)


@pytest.mark.parametrize("record", ["size=12a", "mtime=now", "mtime=1.x", "uid=-4", "path=a\0b", "size=-1"])
def test_rejects_invalid_pax_values(record: str) -> None:
    key, _, value = record.partition("=")
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("x")
        info.pax_headers = {key: value}
        archive.addfile(info)
    with pytest.raises(IntegrityError, match="invalid PAX"):
        _read(target.getvalue())


@given(st.binary(max_size=3000))
def test_rejects_noise(noise: bytes) -> None:
    try:
        assert _read(noise) == []
    except IntegrityError:
        return
    assert not any(noise)


def _seal(block: bytearray) -> None:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)


def test_numbers_out_of_range_are_refused() -> None:
    huge = b"\x80" + b"\xff" * 11
    for offset, size, words in ((124, 12, "size or owner"), (108, 8, "size or owner"), (136, 12, "time")):
        block = bytearray(member_header(Entry(path="x")))
        block[offset : offset + size] = huge[:size]
        _seal(block)
        with pytest.raises(IntegrityError, match=f"byte 0: has a {words} that is out of range"):
            _read(bytes(block) + END)


@pytest.mark.parametrize(("flag", "count"), [(b"x", 3), (b"L", 3), (b"g", 300)])
def test_extension_headers_are_limited_together(flag: bytes, count: int) -> None:
    size = (1 << 20) // 2 if flag != b"g" else 20
    block = bytearray(member_header(Entry(path="x", size=size)))
    block[156:157] = flag
    _seal(block)
    content = b"20 comment=12345678\n" if flag == b"g" else b"%d path=" % size
    one = bytes(block) + content.ljust(size - 1, b"x") + (b"\n" if flag != b"g" else b"") + padding(size)
    if flag == b"g":
        one = bytes(block) + content + padding(size)
    with pytest.raises(IntegrityError, match=f"has an extension header of {size} bytes"):
        _read(one * count + member_header(Entry(path="x")) + END)
