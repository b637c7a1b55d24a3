"""The entries of a lock must match their Debian packages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.digest import Sha256, sha256_bytes
from rtbuild.errors import LockError
from rtbuild.layers.declared import require_declared
from rtbuild.lockfile.model import Lock
from tests.fakes.debian_archive import FakeDeb
from tests.fakes.locks import deb, lock

FILE = "runtime.lock/8.0.0/linux-amd64.toml"


class Shelf:
    """A folder of packages, named by digest, and a lock of them."""

    def __init__(self, folder: Path, *packages: FakeDeb) -> None:
        self.folder = folder
        debs = []
        for package in packages:
            content = package.build()
            sha256 = sha256_bytes(content)
            (folder / sha256).write_bytes(content)
            debs.append(replace(deb(package.name, package.version), architecture="amd64", sha256=sha256))
        self.lock = lock(debs=tuple(debs))

    def path(self, sha256: Sha256) -> Path:
        return self.folder / sha256

    def edited(self, number: int, **fields: object) -> Lock:
        debs = list(self.lock.debs)
        debs[number] = replace(debs[number], **fields)  # type: ignore[arg-type]
        return replace(self.lock, debs=tuple(debs))

    def check(self, edited: Lock | None = None) -> None:
        wanted = {locked.sha256 for locked in self.lock.debs}
        require_declared(edited or self.lock, wanted, self.path, file=FILE)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(
        tmp_path,
        FakeDeb(name="alpha", version="1:2.0-1", architecture="amd64"),
        FakeDeb(name="beta", version="1.0", architecture="amd64"),
    )


def test_a_matching_lock_passes(shelf: Shelf) -> None:
    shelf.check()


@pytest.mark.parametrize(
    ("field", "locked", "actual"),
    [
        ("name", "betta", "beta"),
        ("version", "1.00", "1.0"),
        ("architecture", "all", "amd64"),
        ("essential", True, False),
        ("built", 1_600_000_001, 1_600_000_000),
        ("source", "alpha", ""),
        ("source_version", "2", ""),
    ],
)
def test_an_entry_that_does_not_match(shelf: Shelf, field: str, locked: object, actual: object) -> None:
    filename = shelf.lock.debs[1].filename
    with pytest.raises(LockError) as caught:
        shelf.check(shelf.edited(1, **{field: locked}))
    assert caught.value.brief == f"{FILE}: deb[1].{field}: is {locked!r}, but {filename} says {actual!r}"
    assert "rtbuild lock 8.0.0 --platform linux/amd64 --refresh" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("written", "locked", "version"),
    [("gamma (1.0)", "gamma", ""), ("gamma (3.0-1)", "gamma", "3.0-1"), ("beta (0.9)", "", "0.9"), ("beta", "", "")],
)
def test_the_source_package(tmp_path: Path, written: str, locked: str, version: str) -> None:
    shelf = Shelf(tmp_path, FakeDeb(name="beta", version="1.0", architecture="amd64", fields={"Source": written}))
    shelf.check(shelf.edited(0, source=locked, source_version=version))
    wrong = shelf.edited(0, source="delta", source_version="7")
    with pytest.raises(LockError) as caught:
        shelf.check(wrong)
    assert f"deb[0].source: is 'delta', but beta_1.0_amd64.deb says {locked!r}" in str(caught.value.details)
    assert f"deb[0].source_version: is '7', but beta_1.0_amd64.deb says {version!r}" in str(caught.value.details)
    if locked or version:
        with pytest.raises(LockError):
            shelf.check()
    shelf.check(replace(shelf.lock, suites=(), version=1))


def test_a_malformed_source_field(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, FakeDeb(name="beta", architecture="amd64", fields={"Source": "a b c"}))
    with pytest.raises(LockError, match="its Source 'a b c' is not a name with an optional version"):
        shelf.check()


def test_every_entry_is_reported(shelf: Shelf) -> None:
    first, second = shelf.lock.debs
    swapped = replace(shelf.lock, debs=(replace(first, sha256=second.sha256), replace(second, sha256=first.sha256)))
    with pytest.raises(LockError, match=r"deb\[0\]\.name: is 'alpha', .* \(and 3 more\)"):
        shelf.check(swapped)


def test_only_the_packages_that_the_build_needs_are_read(shelf: Shelf) -> None:
    shelf.path(shelf.lock.debs[0].sha256).unlink()
    require_declared(shelf.edited(0, name="other"), {shelf.lock.debs[1].sha256}, shelf.path, file=FILE)


@pytest.mark.parametrize("content", [b"", b"!<arch>\n", b"#!/bin/sh\n", b"PK\3\4" + b"\0" * 400])
def test_a_file_that_is_not_a_package(shelf: Shelf, content: bytes) -> None:
    shelf.path(shelf.lock.debs[0].sha256).write_bytes(content)
    with pytest.raises(LockError, match=r"deb\[0\]: alpha_2\.0-1_amd64\.deb is not a Debian package"):
        shelf.check()
