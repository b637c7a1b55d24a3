"""The tar of the tools: kept in the store, checked before each use, and made again if it is damaged."""

from __future__ import annotations

import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.digest import sha256_file
from rtbuild.errors import BuildError, IntegrityError
from rtbuild.lockfile.model import Lock
from rtbuild.store.collect import Roots
from rtbuild.store.store import Store
from rtbuild.wheels.tools import place_tools
from tests.fakes import locks
from tests.fakes.wheels import folder, make_deb

DOCS = ("doc/p/copyright", "man/man1/p.1.gz", "locale/de/p.mo", "info/p", "lintian/overrides/p")


class Bench:
    def __init__(self, tmp_path: Path) -> None:
        self.store = Store.open(tmp_path / "store")
        self.kept = self.store.root / "cache" / "tools"
        self.deb = make_deb(
            tmp_path / "python.deb",
            [
                folder("./usr/"),
                folder("./usr/share/"),
                ("./usr/share/python3/x", b"x"),
                ("./usr/lib/x86_64-linux-gnu/gconv/UTF-7.so", b"program"),
                *((f"./usr/share/{path}", b"text") for path in DOCS),
                ("./usr/bin/python3.11", b"program"),
            ],
        )
        self.sha256 = sha256_file(self.deb)
        self.store.artifact_path(self.sha256).write_bytes(self.deb.read_bytes())
        self.out = tmp_path / "out"
        self.out.mkdir()
        self.placed = 0

    def lock(self, *others: str) -> Lock:
        debs = (replace(locks.deb("python3.11-minimal"), sha256=self.sha256), *map(locks.deb, others))
        return locks.lock(debs=debs)

    def place(self, lock: Lock | None = None) -> Path:
        """Return the placed tar."""
        self.placed += 1
        target = self.out / f"{self.placed}.tar"
        place_tools(lock or self.lock(), target, self.store)
        return target

    def spoil_deb(self) -> None:
        """Make the package one that cannot be unpacked."""
        self.store.artifact_path(self.sha256).write_bytes(b"")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_documentation_and_translations_are_left_out(bench: Bench) -> None:
    with tarfile.open(bench.place()) as archive:
        names = [name.removeprefix("./") for name in archive.getnames()]
    assert names == ["usr", "usr/share", "usr/share/python3/x", "usr/bin/python3.11"]


def test_a_kept_tar_is_used_again(bench: Bench) -> None:
    first = bench.place().read_bytes()
    bench.spoil_deb()
    assert bench.place().read_bytes() == first


@pytest.mark.parametrize("suffix", [".tar", ".sha256"])
@pytest.mark.parametrize("content", [None, b"", b"0" * 64])
def test_a_damaged_one_is_made_again(bench: Bench, suffix: str, content: bytes | None) -> None:
    first = bench.place()
    whole = first.read_bytes()
    first.unlink()  # a hard link of what is damaged now
    (path,) = bench.kept.glob(f"*{suffix}")
    path.unlink() if content is None else path.write_bytes(content)
    assert bench.place().read_bytes() == whole
    bench.spoil_deb()
    assert bench.place().read_bytes() == whole


def test_what_a_killed_process_left_is_removed(bench: Bench) -> None:
    bench.place()
    (kept,) = bench.kept.glob("*.tar")
    kept.rename(kept.with_name(f".{kept.name}.0123456789ab"))
    bench.place()
    assert sorted(path.suffix for path in bench.kept.iterdir()) == [".sha256", ".tar"]


def test_other_packages_give_another_tar(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.place()
    bench.place(bench.lock("bash"))  # not one of the tools
    assert len(list(bench.kept.glob("*.tar"))) == 1
    monkeypatch.setattr("rtbuild.wheels.tools.SCHEMA", 0)
    bench.place()
    assert len(list(bench.kept.glob("*.tar"))) == 2
    bench.spoil_deb()
    monkeypatch.setattr("rtbuild.wheels.tools.SCHEMA", -1)
    with pytest.raises(IntegrityError):
        bench.place()


def test_a_lock_without_python_is_an_error(bench: Bench) -> None:
    with pytest.raises(BuildError, match="no Python to compile wheels with"):
        bench.place(locks.lock(debs=(locks.deb("bash"),)))


def test_a_store_in_which_nothing_can_be_kept_is_no_problem(bench: Bench) -> None:
    first = bench.place().read_bytes()
    for path in bench.kept.iterdir():
        path.unlink()
        path.mkdir()
        (path / "file").touch()
    assert bench.place().read_bytes() == first


def test_garbage_collection_removes_what_was_not_used_for_long(bench: Bench) -> None:
    bench.place()
    for path in bench.kept.iterdir():
        os.utime(path, (0, 0))
    assert dict(bench.store.gc(Roots).removed)["cached answer"] == 2
    assert list(bench.kept.iterdir()) == []
