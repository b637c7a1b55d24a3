"""Built wheels in the store: complete or missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbuild.digest import Key, sha256_bytes
from rtbuild.store.store import Store
from rtbuild.wheels.built import BuiltWheel, find_wheel, store_wheel
from tests.fakes.environments import Notes

KEY = Key("ab" * 32)
FILENAME = "demo-1.0-py3-none-any.whl"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path)


@pytest.fixture
def wheel(store: Store) -> BuiltWheel:
    """A wheel that was put into the store."""
    file = store.root / "tmp" / "wheel"
    file.write_bytes(b"content of a wheel")
    return store_wheel("demo", KEY, file, FILENAME, store)


def test_a_stored_wheel_is_found(store: Store, wheel: BuiltWheel) -> None:
    notes = Notes()
    assert find_wheel("demo", KEY, store, notes) == wheel
    assert (wheel.filename, wheel.size, wheel.sha256) == (FILENAME, 18, sha256_bytes(b"content of a wheel"))
    assert wheel.path.read_bytes() == b"content of a wheel"
    assert list((store.root / "tmp").iterdir()) == []
    assert notes.texts == []


def test_a_missing_wheel_is_not_reported(store: Store) -> None:
    notes = Notes()
    assert find_wheel("demo", KEY, store, notes) is None
    assert notes.texts == []


@pytest.mark.parametrize("suffix", ["whl", "json"])
@pytest.mark.parametrize("content", [b"", b"other"])
def test_a_damaged_wheel_is_reported(store: Store, wheel: BuiltWheel, suffix: str, content: bytes) -> None:
    (store.trees / f"{KEY}.{suffix}").write_bytes(content)
    notes = Notes()
    assert find_wheel("demo", KEY, store, notes) is None
    assert notes.texts == ["the wheel of demo in the store is damaged and will be rebuilt"]
