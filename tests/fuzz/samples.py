"""Small samples of the formats that several targets read, and how to repair them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import zstandard

from rtbuild.formats.tar import END, member_header, padding
from rtbuild.formats.tar_entry import DIRECTORY, HARDLINK, SYMLINK, Entry
from tests.fakes.engine_packages import ar, plain_tar
from tests.fakes.package_index import make_wheel

CONTROL = b"Package: hello\nVersion: 1.0-1\nArchitecture: amd64\nDepends: libc6 (>= 2.31) | musl:any, base\nSize: 5\n"


def small_tar(*, pax: bool) -> bytes:
    files = [
        Entry(path="usr", type=DIRECTORY, mode=0o755),
        Entry(path="usr/a", size=5, mtime=100, xattrs={"user.x": b"y"} if pax else None),
        Entry(path="usr/" + "long" * 60 if pax else "usr/b", type=SYMLINK, link="a"),
        Entry(path="usr/c", type=HARDLINK, link="usr/a"),
    ]
    parts = [member_header(entry) + (b"hello" + padding(5) if entry.size else b"") for entry in files]
    return b"".join(parts) + END


def gnu_tar() -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in ("a" * 150, "b"):
            info = tarfile.TarInfo(name)
            info.size = 3
            info.uid = 1 << 24
            tar.addfile(info, io.BytesIO(b"abc"))
    return target.getvalue()


def debs() -> list[bytes]:
    control = plain_tar({"./control": CONTROL, "./postinst": b"#!/bin/sh\n"})
    data = plain_tar({"./usr/bin/hello": b"#!/bin/sh\n", "./usr/share/doc": b"text" * 20})
    packed = (
        (".xz", lzma.compress),
        (".gz", gzip.compress),
        ("", bytes),
        (".zst", zstandard.ZstdCompressor().compress),
        (".bz2", bz2.compress),
    )
    return [
        ar({"debian-binary": b"2.0\n", f"control.tar{suffix}": pack(control), f"data.tar{suffix}": pack(data)})
        for suffix, pack in packed
    ] + [ar({"debian-binary": b"2.0\n", "control.tar": control, "data.tar": small_tar(pax=True)})]


def wheels() -> list[bytes]:
    entry_points = {
        "spam.py": b"x = 1\n",
        "spam-1.0.dist-info/entry_points.txt": b"[console_scripts]\nspam = spam:main\n",
    }
    data = {"spam-1.0.data/scripts/go": b"#!python\n", "spam-1.0.data/headers/a.h": b"", "spam/grüße.txt": b""}
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as archive, zipfile.ZipFile(io.BytesIO(make_wheel("spam", "1.0").content)) as old:
        for name in old.namelist():
            archive.writestr(name, old.read(name))
        archive.comment = b"comment"
    return [
        make_wheel("spam", "1.0").content,
        make_wheel("spam", "1.0", files=entry_points).content,
        make_wheel("spam", "1.0", files=data).content,
        stored.getvalue(),
    ]


def large_wheel() -> bytes:
    """Return a wheel with a file that is read in pieces."""
    return make_wheel("spam", "1.0", files={"spam.so": bytes(5 << 20), "spam.py": b""}).content


def zipped_sdist() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("spam-1.0/PKG-INFO", "Metadata-Version: 2.2\nName: spam\nVersion: 1.0\nRequires-Dist: eggs\n")
    return target.getvalue()


def repaired_tar(content: bytes) -> bytes:
    """Return a tar in which the checksum of each header is right."""
    blocks = bytearray(content)
    for start in range(0, len(blocks) - 511, 512):
        block = blocks[start : start + 512]
        if block[257:262] == b"ustar" or block[148:156].strip(b" \0").isdigit():
            block[148:156] = b" " * 8
            blocks[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    return bytes(blocks)


def repaired_deb(content: bytes) -> bytes:
    """Return a .deb whose stored data.tar has the right checksums."""
    start = content.find(b"data.tar ")
    return content if start < 0 else content[: start + 60] + repaired_tar(content[start + 60 :])
