"""Archives of compiled modules: reading them, and refusing damaged ones."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from rtbuild.errors import BuildError
from rtbuild.wheels.compiled import open_compiled


def archive(path: Path, modules: dict[str, bytes]) -> Path:
    """Write an archive as the table at the head of `rtbuild.wheels.compiled` describes it."""
    index = json.dumps([[name, len(content)] for name, content in modules.items()]).encode()
    path.write_bytes(b"rtbuild compiled 1\n" + struct.pack("<Q", len(index)) + index + b"".join(modules.values()))
    return path


def test_the_archives_of_a_wheel_are_read_as_one(tmp_path: Path) -> None:
    first = archive(tmp_path / "0", {"/lib/a.py": b"compiled a", "/lib/b.py": b""})
    second = archive(tmp_path / "1", {"/lib/c.py": b"compiled c"})
    with open_compiled([first, second]) as modules:
        assert len(modules) == 3
        assert dict(modules) == {"/lib/a.py": b"compiled a", "/lib/b.py": b"", "/lib/c.py": b"compiled c"}


def test_a_wheel_without_modules_has_no_archives() -> None:
    with open_compiled([]) as modules:
        assert dict(modules) == {}


WHOLE = b"rtbuild compiled 1\n" + struct.pack("<Q", 11) + b'[["a", 10]]' + b"0123456789"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"other" + WHOLE,
        WHOLE[:-1],
        WHOLE + b"x",
        WHOLE[:22],
        WHOLE[:30],
        WHOLE.replace(b'"a", 10', b'"a", {}'),
        WHOLE.replace(b'["a", 10]', b"12345678 "),
    ],
)
def test_a_damaged_archive_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "000001").write_bytes(content)
    with (
        pytest.raises(BuildError, match="000001: not an archive of compiled modules"),
        open_compiled([tmp_path / "000001"]),
    ):
        pass
