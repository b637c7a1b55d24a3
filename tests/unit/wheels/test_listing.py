"""Listings of wheels: kept by everything that decides them, and made again if they are damaged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from rtbuild.digest import Sha256, sha256_file
from rtbuild.recipe.model import Removal
from rtbuild.wheels.listing import Listing, Listings
from rtbuild.wheels.scheme import Scheme, debian_scheme
from tests.fakes.wheels import make_wheel

SCHEME = debian_scheme("3.11")
LIBRARY = SCHEME.library
TESTS = Removal(pattern="*/tests", reason="not needed")


class Bench:
    def __init__(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "listings"
        files = {"demo/__init__.py": "", "demo/tests/t.py": "", "demo/é.txt": ""}
        self.wheel = make_wheel(tmp_path / "demo-1.0-py3-none-any.whl", files)
        self.sha256 = sha256_file(self.wheel)

    def listing(
        self, removals: Sequence[Removal] = (TESTS,), *, scheme: Scheme = SCHEME, sha256: Sha256 | None = None
    ) -> Listing:
        return Listings(self.folder, scheme).listing(self.wheel, sha256 or self.sha256, removals, label="demo")

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_what_a_wheel_installs_and_what_the_recipe_removes(bench: Bench) -> None:
    listing = bench.listing()
    info = {f"{LIBRARY}/demo-1.0.dist-info/{name}" for name in ("METADATA", "WHEEL", "INSTALLER")}
    assert listing.files == info | {f"{LIBRARY}/demo/__init__.py", f"{LIBRARY}/demo/é.txt"}
    assert listing.excluded == {f"{LIBRARY}/demo/tests/t.py"}
    names = listing.names
    assert (names.dist_info, names.name, names.version) == ("demo-1.0.dist-info", "demo", "1.0")


def test_a_kept_listing_is_the_same_and_the_wheel_is_not_opened(bench: Bench) -> None:
    listing = bench.listing()
    bench.wheel.write_bytes(b"not a wheel")
    assert bench.listing() == listing


def test_a_missing_wheel_is_noticed_although_its_listing_was_kept(bench: Bench) -> None:
    bench.listing()
    bench.wheel.unlink()
    with pytest.raises(FileNotFoundError):
        bench.listing()


def test_everything_that_decides_a_listing_is_in_its_name(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.listing()
    bench.listing(())
    bench.listing((TESTS, Removal(pattern="*/docs", reason="not needed")))
    bench.listing(scheme=debian_scheme("3.13"))
    bench.listing(sha256=Sha256("0" * 64))
    monkeypatch.setattr("rtbuild.wheels.listing.SCHEMA", 0)
    bench.listing()
    assert len(bench.files()) == 6


def test_a_damaged_listing_is_made_again(bench: Bench) -> None:
    listing = bench.listing()
    ((name, whole),) = bench.files().items()
    path = bench.folder / name
    for damaged in (b"", whole[:-1], whole.replace(b"t.py", b"u.py"), whole[65:], b"\xff" + whole):
        path.write_bytes(damaged)
        assert bench.listing() == listing
        assert bench.files() == {name: whole}


def test_a_listing_under_the_name_of_another_is_made_again(bench: Bench) -> None:
    bench.listing(())
    (name,) = bench.files()
    listing = bench.listing()
    (other,) = bench.files().keys() - {name}
    (bench.folder / other).write_bytes((bench.folder / name).read_bytes())
    assert bench.listing() == listing


def test_a_folder_that_cannot_be_written_is_no_problem(bench: Bench) -> None:
    bench.folder.write_bytes(b"a file")
    assert bench.listing().excluded == {f"{LIBRARY}/demo/tests/t.py"}
