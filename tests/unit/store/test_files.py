"""Locks, removals and errors of the store's files."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from rtbuild.errors import StoreError
from rtbuild.store.files import entries, lock_file, remove_tree, store_error, store_errors


def test_a_file_is_locked_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    first = lock_file(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert first is not None
    assert lock_file(path, fcntl.LOCK_EX | fcntl.LOCK_NB) is None
    path.unlink()
    second = lock_file(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert second is not None, "the path now leads to another file"
    os.close(first)
    os.close(second)


def test_a_file_that_must_exist_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        lock_file(tmp_path / "file", fcntl.LOCK_SH, create=False)
    assert entries(tmp_path) == []


def test_a_missing_folder_has_no_entries(tmp_path: Path) -> None:
    assert entries(tmp_path / "missing") == []


def test_a_tree_is_removed_whatever_its_permissions(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "folder").mkdir(parents=True)
    (tree / "folder" / "file").touch()
    (tree / "link").symlink_to(tmp_path)
    (tree / "folder").chmod(0)
    remove_tree(tree)
    remove_tree(tree)
    assert entries(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "rtbuild store gc"),
        (errno.EDQUOT, "rtbuild store gc"),
        (errno.EFBIG, "rtbuild store gc"),
        (errno.EACCES, "make the store writable"),
        (errno.EROFS, "make the store writable"),
        (errno.ENOTDIR, "choose a folder that only rtbuild uses"),
        (errno.EIO, None),
    ],
)
def test_an_error_has_a_hint_that_fits(number: int, hint: str | None) -> None:
    error = store_error("write /store/file", OSError(number, os.strerror(number), "/store/file"))
    assert error.brief == f"cannot write /store/file: {os.strerror(number)}"
    assert error.details is None
    if hint is None:
        assert error.hint is None
    else:
        assert hint in (error.hint or "")


def test_an_error_names_the_file_if_the_sentence_does_not() -> None:
    with pytest.raises(StoreError) as caught, store_errors("verify /store"):
        raise OSError(errno.EIO, "Input/output error", "/disk/blob")
    assert caught.value.details == "/disk/blob"
