"""Logins in `~/.netrc`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rtbuild.mirror.logins import netrc_logins

TEXT = "machine a.invalid login robot password hunter2\ndefault login x password y\nmachine b.invalid\n login me\n"
LOGINS = {"a.invalid": ("robot", "hunter2"), "b.invalid": ("me", "")}


@pytest.mark.parametrize("name", [".netrc", "_netrc"])
def test_logins_are_read_by_host_without_the_default(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(TEXT)
    assert netrc_logins({"HOME": str(tmp_path)}) == LOGINS


def test_another_file_may_be_named(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine c.invalid login x password y\n")
    (tmp_path / "other").write_text(TEXT)
    assert netrc_logins({"HOME": str(tmp_path), "NETRC": str(tmp_path / "other")}) == LOGINS


@pytest.mark.parametrize("content", [b"machine", b"nonsense here", b"\xff\xfe"])
def test_a_broken_file_counts_as_empty(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".netrc").write_bytes(content)
    assert netrc_logins({"HOME": str(tmp_path)}) == {}
    assert netrc_logins({}) == {}


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".netrc")
    assert netrc_logins({"HOME": str(tmp_path)}) == {}
