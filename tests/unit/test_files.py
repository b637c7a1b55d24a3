"""Writing files atomically, and linking them where the filesystem allows it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rtbuild.files import (
    create_unfinished,
    link_file,
    open_regular,
    read_regular,
    remove_unfinished,
    replacing,
    require_inside,
    sync_folder,
    write_atomically,
)


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_written_with_its_folder(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomically(path, b"old", durable=durable)
    write_atomically(path, b"new", durable=durable)
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


KILLED = """
import os, signal, sys
from pathlib import Path
from rtbuild.files import replacing
with replacing(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_write_removes_what_a_killed_process_left(tmp_path: Path) -> None:
    path = tmp_path / "file"
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert [entry.name.startswith(".file.") for entry in tmp_path.iterdir()] == [True]
    write_atomically(path, b"whole")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"whole"


def test_what_another_process_writes_or_a_user_keeps_stays(tmp_path: Path) -> None:
    unfinished, file = create_unfinished(tmp_path, ".file.")
    others = {tmp_path / name for name in (".file.bak", ".file.0123456789abcdef.", "file.0123456789ab", ".filename")}
    for other in others:
        other.touch()
    with file:
        remove_unfinished(tmp_path)
        assert set(tmp_path.iterdir()) == {*others, unfinished}
    remove_unfinished(tmp_path)
    assert set(tmp_path.iterdir()) == others


def test_a_planted_link_or_pipe_is_no_leftover(tmp_path: Path) -> None:
    (tmp_path / "target").touch()
    (tmp_path / ".file.000000000000").symlink_to("target")
    os.mkfifo(tmp_path / ".file.000000000001")  # would wait for a writer
    write_atomically(tmp_path / "file", b"")
    assert (tmp_path / "target").exists()
    assert (tmp_path / ".file.000000000000").is_symlink()


def test_many_writers_of_one_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: write_atomically(path, b"%d" % number, durable=False), range(400)))
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_raises_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        write_atomically(tmp_path / "file" / "below", b"")


def test_a_file_is_linked(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("content")
    link_file(source, target)
    assert source.samefile(target)


@pytest.mark.parametrize("reason", [errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_is_copied_if_the_filesystem_refuses_the_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(reason, os.strerror(reason))

    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("content")
    source.chmod(0o444)
    monkeypatch.setattr(os, "link", refuse)
    link_file(source, target)
    assert target.read_text() == "content"
    assert not source.samefile(target)


def test_any_other_failure_of_a_link_is_raised(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("new")
    target.write_text("old")
    with pytest.raises(FileExistsError):
        link_file(source, target)
    assert target.read_text() == "old"
    with pytest.raises(FileNotFoundError):
        link_file(tmp_path / "missing", tmp_path / "third")


def test_syncing_a_file_instead_of_a_folder_fails(tmp_path: Path) -> None:
    sync_folder(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        sync_folder(tmp_path / "file")


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    with open_regular(path) as file:
        assert file.read() == b"content"
    assert read_regular(path, 7) == b"content"


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    with pytest.raises(OSError, match="more than 6 bytes"):
        read_regular(path, 6)


@pytest.mark.parametrize("name", ["/dev/zero", "pipe", "."])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"not a regular file|Is a directory"):
        read_regular(tmp_path / name, 100)


def test_a_path_that_leads_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "file").write_text("")
    (folder / "inside").symlink_to("below/file")
    require_inside(folder / "inside", folder)
    (tmp_path / "secret").write_text("")
    (folder / "out").symlink_to("../secret")
    (folder / "up").symlink_to("..")
    (folder / "loop").symlink_to("loop")
    for path in ("out", "up/secret"):
        with pytest.raises(OSError, match="a link leads out of folder/"):
            require_inside(folder / path, folder)
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        require_inside(folder / "loop", folder)
