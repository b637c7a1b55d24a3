"""Metadata comes from the end of a wheel, without the rest of it."""

from __future__ import annotations

import io
import random
import zipfile

import pytest

from rtbuild.errors import ResolutionError
from rtbuild.resolve.python.wheel import PartialFile, PartsRefused, wheel_metadata
from tests.fakes.package_index import make_wheel

NOISE = random.Random(1).randbytes(300_000)


class Served:
    """A file on a server that gives parts, and counts what it gave."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.given = 0

    def part(self, offset: int, length: int) -> bytes:
        self.given += length
        return self.content[offset : offset + length]

    def open(self) -> PartialFile:
        return PartialFile(self.part, len(self.content))


def test_only_the_end_is_read() -> None:
    made = make_wheel("spam", "1.0", requires=["eggs"], files={"spam.py": NOISE})
    served = Served(made.content)
    assert wheel_metadata(made.filename, served.open()) == made.metadata
    assert served.given == 64 << 10


def test_metadata_at_the_front_is_found_too() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("Spam-1.0.dist-info/METADATA", "Name: spam\n")
        archive.writestr("spam.py", NOISE)
    served = Served(buffer.getvalue())
    assert wheel_metadata("spam-1.0-py3-none-any.whl", served.open()) == b"Name: spam\n"


@pytest.mark.parametrize("answer", [None, b"", NOISE])
def test_a_host_without_ranges_is_detected(answer: bytes | None) -> None:
    with pytest.raises(PartsRefused):
        PartialFile(lambda offset, length: answer, 200_000)


def zipped(compression: int) -> bytes:
    """A wheel whose metadata are not what its directory says: everything before it is overwritten."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("spam-1.0.dist-info/METADATA", "Name: spam\n" * 100)
    content = bytearray(buffer.getvalue())
    start = 30 + len("spam-1.0.dist-info/METADATA")
    content[start : start + 20] = b"\xff" * 20
    return bytes(content)


def encrypted() -> bytes:
    content = bytearray(zipped(zipfile.ZIP_STORED))
    content[content.index(b"PK\1\2") + 8] |= 1
    content[6] |= 1
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html></html>",
        make_wheel("spam", "1.0").content[:200],
        zipped(zipfile.ZIP_STORED),
        zipped(zipfile.ZIP_DEFLATED),
        zipped(zipfile.ZIP_LZMA),
        encrypted(),
    ],
)
def test_a_damaged_wheel_is_named(content: bytes) -> None:
    with pytest.raises(ResolutionError, match=r"spam-1\.0-py3-none-any\.whl: not a readable wheel"):
        wheel_metadata("spam-1.0-py3-none-any.whl", io.BytesIO(content))


def test_a_wheel_without_metadata_is_named() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("spam.py", "")
    with pytest.raises(ResolutionError, match="not a readable wheel"):
        wheel_metadata("spam-1.0-py3-none-any.whl", buffer)
