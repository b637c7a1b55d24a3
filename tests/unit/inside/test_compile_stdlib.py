"""The script that compiles the standard library, on the Python that runs the tests."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import rtbuild

SCRIPT = Path(rtbuild.__file__).parent / "inside" / "compile_stdlib.py"
EPOCH = 1_700_000_000


def compile_folders(*folders: Path, seed: str = "0") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-s", "-S", "-B", str(SCRIPT), str(EPOCH), *map(str, folders)]
    return subprocess.run(command, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=False)


def compiled(source: Path) -> Path:
    return source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"


def test_modules_of_all_folders_are_compiled(tmp_path: Path) -> None:
    (tmp_path / "first/package").mkdir(parents=True)
    (tmp_path / "second").mkdir()
    sources = [tmp_path / path for path in ("first/a.py", "first/package/b.py", "second/c.py")]
    for source in sources:
        source.write_text("x = {None, 1, 'a'}\n")
    (tmp_path / "first/data.txt").write_text("")
    (tmp_path / "first/broken.py").write_text("print 'two'\n")
    done = compile_folders(tmp_path / "first", tmp_path / "second")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(compiled(source).is_file() for source in sources)
    assert not compiled(tmp_path / "first/broken.py").exists()


def stamp(source: Path) -> tuple[int, int, int]:
    """The flags of a compiled module, and the time and size of the source that it holds (PEP 552)."""
    flags, mtime, size = struct.unpack("<3I", compiled(source).read_bytes()[4:16])
    return flags, mtime, size


def test_modules_hold_the_time_that_their_source_has_in_the_layer(tmp_path: Path) -> None:
    """A package's own time, or that of the layer where it is later; a link has the time of what it leads to."""
    for name, mtime in (("old", EPOCH - 5), ("fraction", EPOCH - 0.5), ("made_now", EPOCH + 9)):
        (tmp_path / f"{name}.py").write_text("x = 1\n")
        os.utime(tmp_path / f"{name}.py", (mtime, mtime))
    (tmp_path / "link.py").symlink_to("old.py")
    assert compile_folders(tmp_path).returncode == 0
    assert stamp(tmp_path / "old.py") == stamp(tmp_path / "link.py") == (0, EPOCH - 5, 6)
    assert stamp(tmp_path / "fraction.py") == (0, EPOCH - 1, 6)
    assert stamp(tmp_path / "made_now.py") == (0, EPOCH, 6)


def test_links_to_modules_are_compiled_and_broken_links_are_not(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "link.py").symlink_to("a.py")
    (tmp_path / "broken.py").symlink_to("missing.py")
    assert compile_folders(tmp_path).returncode == 0
    assert compiled(tmp_path / "link.py").is_file()
    assert not compiled(tmp_path / "broken.py").exists()


def test_a_failure_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "__pycache__").write_text("a file in place of the folder")
    done = compile_folders(tmp_path)
    assert done.returncode == 1
    assert "compiling the standard library failed" in done.stderr
    assert str(tmp_path) in done.stderr


def test_a_random_hash_seed_is_refused(tmp_path: Path) -> None:
    done = compile_folders(tmp_path, seed="random")
    assert done.returncode == 1
    assert "PYTHONHASHSEED" in done.stderr
    assert os.listdir(tmp_path) == []
