"""Read and write tar members. `tarfile` is several times slower, and an Airflow image has 60,000 members.

The writer has a single spelling, that of canonical layers: POSIX ustar, a PAX record only for what ustar cannot
express, numeric owners without names, no atime, ctime or fractions of a second, device numbers 0 except for devices.
The reader accepts what BuildKit, Go, GNU tar and Python write (POSIX.1-2001, `pax`, "ustar Interchange Format"; GNU tar
manual, "Basic Tar Format").
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO
from zlib import adler32

from rtbuild.errors import IntegrityError
from rtbuild.formats.tar_entry import BLOCK, CHARACTER, DIRECTORY, FIFO, HARDLINK, REGULAR, SYMLINK, Entry

BLOCK_SIZE = 512
END = bytes(2 * BLOCK_SIZE)
"""The end of an archive: two blocks of zeros."""

_NAME_LIMIT, _PREFIX_LIMIT, _LINK_LIMIT = 100, 155, 100
_MAX_SEVEN_DIGITS = 0o7777777
_MAX_ELEVEN_DIGITS = 0o77777777777
_XATTR = "SCHILY.xattr."
# The longest extension headers of one member: Linux has paths of 4 KiB and attributes of 64 KiB each.
_EXTENSION_LIMIT = 1 << 20
# All global headers together; git writes one of 52 bytes. Their records are applied to each member.
_SHARED_LIMIT = 4096
_SIZE_LIMIT = 1 << 44
"""Bytes of one member (16 TiB). A file of ext4 can have no more."""
_OWNER_LIMIT = 1 << 32
_TIME_LIMIT = 1 << 62

_FLAGS = {REGULAR: b"0", HARDLINK: b"1", SYMLINK: b"2", CHARACTER: b"3", BLOCK: b"4", DIRECTORY: b"5", FIFO: b"6"}
_TYPES = {flag[0]: kind for kind, flag in _FLAGS.items()} | {0: REGULAR, ord("7"): REGULAR}

# name, mode+uid+gid+size+mtime, checksum, type, link, magic and version, owner names, devices, prefix, filler
_LAYOUT = struct.Struct("100s48s8sc100s8s64x16s155s12x")
_MAGIC = b"ustar\x0000"
_NO_CHECKSUM = b" " * 8
_NO_DEVICE = b"0000000\x000000000\x00"
_FILLERS = tuple(bytes(length) for length in range(BLOCK_SIZE))


def member_header(entry: Entry) -> bytes:
    """Return the header of `entry`: one block, or three and more if it needs a PAX header.

    Raises:
        ValueError: if no tar can hold the entry: an empty path, a NUL in a name, a device number over 21 bits.
    """
    kind = entry.type
    name = entry.path.encode("utf-8", "surrogateescape")
    if not name or b"\0" in name:
        raise ValueError(f"not a valid path for a tar member: {entry.path!r}")
    if kind == DIRECTORY:
        name += b"/"
    prefix = b""
    extension: dict[str, bytes] = {}
    # The checksum by adler32 in `_block` is exact for ASCII only, so nothing else may get into the block.
    if len(name) > _NAME_LIMIT or not name.isascii():
        split = _split(name)
        if split is None:
            extension["path"] = name
            name = _ascii(name)[:_NAME_LIMIT]
        else:
            prefix, name = split
    link = b""
    if entry.link:
        link = entry.link.encode("utf-8", "surrogateescape")
        if b"\0" in link:
            raise ValueError(f"not a valid link target for a tar member: {entry.link!r}")
        if len(link) > _LINK_LIMIT or not link.isascii():
            extension["linkpath"] = link
            link = _ascii(link)[:_LINK_LIMIT]
    uid, gid, size, mtime = entry.uid, entry.gid, entry.size, entry.mtime
    if kind != REGULAR:
        size = 0
    if not 0 <= uid <= _MAX_SEVEN_DIGITS:
        uid = _overflow(extension, "uid", uid)
    if not 0 <= gid <= _MAX_SEVEN_DIGITS:
        gid = _overflow(extension, "gid", gid)
    if not 0 <= size <= _MAX_ELEVEN_DIGITS:
        size = _overflow(extension, "size", size)
    if not 0 <= mtime <= _MAX_ELEVEN_DIGITS:
        mtime = _overflow(extension, "mtime", mtime)
    if entry.xattrs:
        for key, value in entry.xattrs.items():
            if "=" in key or "\0" in key:
                raise ValueError(f"{entry.path}: not a valid name for a PAX record: {key!r}")
            extension[_XATTR + key] = value
    devices = _NO_DEVICE
    if kind in (CHARACTER, BLOCK):
        if not all(0 <= number <= _MAX_SEVEN_DIGITS for number in entry.device):
            raise ValueError(f"{entry.path}: device number {entry.device} does not fit into a tar header")
        devices = b"%07o\0%07o\0" % entry.device
    numbers = b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (entry.mode & 0o7777, uid, gid, size, mtime)
    block = _block(name, numbers, _FLAGS[kind], link, devices, prefix)
    return _extension_blocks(extension) + block if extension else block


def padding(size: int) -> bytes:
    """Return the zeros that fill the last block after `size` bytes of content."""
    return _FILLERS[-size % BLOCK_SIZE]


def read_members(file: BinaryIO) -> Iterator[tuple[Entry, int]]:
    """Yield the members of the tar that starts at the position of `file`, in order.

    Paths and targets of hard links are relative and normalised (`./a//b/` becomes `a/b`, the root folder is the empty
    path); bytes that are not UTF-8 become surrogate escapes. Only regular files have content.

    Args:
        file: Needs `read`, `tell` and a `seek` that goes forward at least. The caller may read content between members.

    Yields:
        The member, and the position of its content in `file`.

    Raises:
        IntegrityError: if the archive is truncated or malformed, or has a path with `..`, a sparse file or a member of
            an unknown type.
    """
    read, seek = file.read, file.seek
    position = file.tell()
    shared: dict[str, bytes] = {}
    own: dict[str, bytes] = {}
    shared_size = own_size = 0
    while True:
        block = read(BLOCK_SIZE)
        here = position
        position += BLOCK_SIZE
        if len(block) != BLOCK_SIZE:
            raise _malformed(here, "ends without two blocks of zeros" if not block else "ends within a header")
        if not block[0] and not any(block):
            if any(read(BLOCK_SIZE)):
                raise _malformed(here, "has a block of zeros between members")
            if own:
                raise _malformed(here, "ends with an extension header without a member")
            return
        flag = block[156]
        # The lower half of adler32 is one plus the sum of the bytes, modulo 65521: ten times as fast as sum().
        stored = _number(block[148:156], here)
        if adler32(block[156:], adler32(_NO_CHECKSUM, adler32(block[:148]))) & 0xFFFF != (stored + 1) % 65521:
            _check_sum(block, stored, here)
        size = _number(block[124:136], here)
        if flag in b"xgLK":
            if flag == 0x67:
                shared_size += size
            else:
                own_size += size
            if size < 0 or own_size > _EXTENSION_LIMIT or shared_size > _SHARED_LIMIT:
                raise _malformed(here, f"has an extension header of {size} bytes")
            content = read(size)
            if len(content) != size:
                raise _malformed(here, "ends within an extension header")
            if flag == 0x78:
                own.update(_records(content, here))
            elif flag == 0x67:
                shared.update(_records(content, here))
            else:
                own["path" if flag == 0x4C else "linkpath"] = content.rstrip(b"\0")
            position += size + -size % BLOCK_SIZE
            seek(position)
            continue
        entry = _entry(block, flag, size, here)
        if own or shared:
            _apply(entry, shared | own, here)
            own = {}
            own_size = 0
        if entry.type == REGULAR and entry.path.endswith("/"):
            entry.type = DIRECTORY  # tars from before POSIX have no type for it
        entry.path = _tidy(entry.path, here)
        if entry.type == HARDLINK:
            entry.link = _tidy(entry.link, here)
        size = entry.size
        if entry.type != REGULAR:
            # Old GNU and Go writers give hard links the size of their target, but no content follows.
            entry.size = 0
            size = 0
        if size < 0 or entry.uid < 0 or entry.gid < 0:
            raise _malformed(here, "has a negative size or owner")
        if size > _SIZE_LIMIT or entry.uid >= _OWNER_LIMIT or entry.gid >= _OWNER_LIMIT:
            raise _malformed(here, "has a size or owner that is out of range")
        if not -_TIME_LIMIT < entry.mtime < _TIME_LIMIT:
            raise _malformed(here, "has a time that is out of range")
        yield entry, position
        position += size + -size % BLOCK_SIZE
        seek(position)


# --- writing ---------------------------------------------------------------------------------------------------------


def _block(name: bytes, numbers: bytes, flag: bytes, link: bytes, devices: bytes, prefix: bytes) -> bytes:
    block = _LAYOUT.pack(name, numbers, _NO_CHECKSUM, flag, link, _MAGIC, devices, prefix)
    # Exact, because 512 bytes below 128 sum up to less than adler32's modulus of 65521.
    checksum = b"%06o\0 " % ((adler32(block) & 0xFFFF) - 1)
    return _LAYOUT.pack(name, numbers, checksum, flag, link, _MAGIC, devices, prefix)


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """Split `name` into ustar's prefix and name, with the longest prefix; None if ustar cannot express it."""
    if not name.isascii():
        return None
    slash = name.rfind(b"/", 0, min(_PREFIX_LIMIT + 1, len(name) - 1))
    if slash <= 0 or len(name) - slash - 1 > _NAME_LIMIT:
        return None
    return name[:slash], name[slash + 1 :]


def _ascii(name: bytes) -> bytes:
    return name if name.isascii() else bytes(byte if byte < 128 else 0x3F for byte in name)


def _overflow(extension: dict[str, bytes], key: str, value: int) -> int:
    extension[key] = b"%d" % value
    return 0


def _extension_blocks(extension: dict[str, bytes]) -> bytes:
    content = b"".join(_record(key, extension[key]) for key in sorted(extension))
    numbers = b"0000000\0" * 3 + b"%011o\0%011o\0" % (len(content), 0)
    return _block(b"././@PaxHeader", numbers, b"x", b"", _NO_DEVICE, b"") + content + padding(len(content))


def _record(key: str, value: bytes) -> bytes:
    body = b" %s=%s\n" % (key.encode("utf-8", "surrogateescape"), value)
    length = len(body)
    # The length counts its own digits.
    while len(b"%d" % length) + len(body) != length:
        length = len(b"%d" % length) + len(body)
    return b"%d%s" % (length, body)


# --- reading ---------------------------------------------------------------------------------------------------------


def _entry(block: bytes, flag: int, size: int, position: int) -> Entry:
    try:
        kind = _TYPES[flag]
    except KeyError:
        what = "a sparse file" if flag == 0x53 else f"a member of unknown type {bytes((flag,))!r}"
        raise _malformed(position, f"has {what}") from None
    name = block[:100].partition(b"\0")[0]
    # GNU's old format has times in place of the prefix; its magic is `ustar` and two spaces.
    if block[345] and block[257:263] == b"ustar\0":
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    entry = Entry(
        path=name.decode("utf-8", "surrogateescape"),
        type=kind,
        mode=_number(block[100:108], position) & 0o7777,
        uid=_number(block[108:116], position),
        gid=_number(block[116:124], position),
        size=size,
        mtime=_number(block[136:148], position),
    )
    if block[157]:
        entry.link = block[157:257].partition(b"\0")[0].decode("utf-8", "surrogateescape")
    if kind in (CHARACTER, BLOCK):
        entry.device = (_number(block[329:337], position), _number(block[337:345], position))
    return entry


def _number(field: bytes, position: int) -> int:
    try:
        return int(field.rstrip(b" \0") or b"0", 8)
    except ValueError:
        pass
    if field[0] in (0x80, 0xFF):  # GNU's base 256: the sign, then the number, most significant byte first
        return int.from_bytes(field[1:], "big") - (0 if field[0] == 0x80 else 1 << 8 * (len(field) - 1))
    try:
        return int(field.partition(b"\0")[0].strip() or b"0", 8)
    except ValueError:
        raise _malformed(position, f"has a header with {field!r} instead of a number") from None


def _check_sum(block: bytes, stored: int, position: int) -> None:
    bare = block[:148] + _NO_CHECKSUM + block[156:]
    signed = sum(byte - 256 if byte > 127 else byte for byte in bare)  # as some old tars compute it
    if stored not in (sum(bare), signed):
        raise _malformed(position, "has a header whose checksum is wrong")


def _records(content: bytes, position: int) -> dict[str, bytes]:
    records: dict[str, bytes] = {}
    start = 0
    while start < len(content):
        space = content.find(b" ", start, start + 12)
        digits = content[start:space]
        length = int(digits) if digits.isdigit() else 0
        record = content[space + 1 : start + length]
        key, equals, value = record.partition(b"=")
        # Without the first condition a record of length 0 would be read for ever.
        if space < 0 or not space < start + length <= len(content) or not key or not equals or value[-1:] != b"\n":
            raise _malformed(position, "has a malformed PAX record")
        records[key.decode("utf-8", "surrogateescape")] = value[:-1]
        start += length
    return records


def _apply(entry: Entry, records: dict[str, bytes], position: int) -> None:
    for key, value in records.items():
        if not value and not key.startswith(_XATTR):
            continue  # an empty value cancels the one of a global header
        try:
            if key == "path":
                entry.path = _text(value)
            elif key == "linkpath":
                entry.link = _text(value)
            elif key == "size":
                entry.size = _natural(value)
            elif key == "uid":
                entry.uid = _natural(value)
            elif key == "gid":
                entry.gid = _natural(value)
            elif key == "mtime":
                entry.mtime = _whole_seconds(value)
            elif key.startswith(_XATTR):
                if entry.xattrs is None:
                    entry.xattrs = {}
                entry.xattrs[key.removeprefix(_XATTR)] = value
            elif key.startswith("GNU.sparse."):
                raise _malformed(position, "has a sparse file")
        except ValueError:
            raise _malformed(position, f"has an invalid PAX {key}: {value!r}") from None


def _text(value: bytes) -> str:
    if b"\0" in value:
        raise ValueError("NUL in a name")
    return value.decode("utf-8", "surrogateescape")


def _natural(value: bytes) -> int:
    if not value.isdigit():
        raise ValueError("not a natural number")
    return int(value)


def _whole_seconds(value: bytes) -> int:
    """Round a time down, as the kernel does before 1970 too; floats are too coarse for it."""
    whole, _, fraction = value.partition(b".")
    if fraction and not fraction.isdigit():
        raise ValueError("not a time")
    seconds = int(whole)
    return seconds - 1 if whole.startswith(b"-") and fraction.strip(b"0") else seconds


def _tidy(path: str, position: int) -> str:
    path = path.removesuffix("/").removeprefix("./")
    if path and "//" not in path and "./" not in path and path[0] != "/" and path[-1] not in "./":
        return path
    parts = [part for part in path.split("/") if part and part != "."]
    if ".." in parts:
        raise _malformed(position, f"has a path outside of its root: {path!r}")
    return "/".join(parts)


def _malformed(position: int, what: str) -> IntegrityError:
    return IntegrityError(f"malformed tar: byte {position}: {what}")
