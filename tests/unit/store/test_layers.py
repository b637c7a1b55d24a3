"""Layers in the store are looked at before they are used: by size for a plan, byte by byte for an image."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbuild.digest import DiffId, Digest, Key, sha256_bytes
from rtbuild.store.realisation import Realisation
from rtbuild.store.store import Store

CONTENT = b"the bytes of a layer"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


@pytest.fixture
def layer(store: Store) -> Realisation:
    """A layer that the store holds."""
    digest = Digest("sha256:" + sha256_bytes(CONTENT))
    blob_path(store).parent.mkdir(parents=True)
    blob_path(store).write_bytes(CONTENT)
    return Realisation(
        key=Key("1" * 64),
        release="8.0.0",
        platform="linux/amd64",
        layer="airflow",
        diff_id=DiffId(digest),
        size=10,
        blob=digest,
        blob_size=len(CONTENT),
        media_type="application/vnd.oci.image.layer.v1.tar+zstd",
        compressor="zstd",
        inputs=(),
    )


def blob_path(store: Store) -> Path:
    return store.layout / "blobs" / "sha256" / sha256_bytes(CONTENT)


def test_a_whole_layer_is_right(store: Store, layer: Realisation) -> None:
    assert store.has_layer(layer)
    assert store.verify_layer(layer)
    assert blob_path(store).read_bytes() == CONTENT


def test_one_wrong_byte_is_found_and_the_layer_is_gone(store: Store, layer: Realisation) -> None:
    blob_path(store).write_bytes(CONTENT.replace(b"layer", b"lawyr"))
    assert store.has_layer(layer)  # the size is right
    assert not store.verify_layer(layer)
    assert not store.has_layer(layer)
    assert not blob_path(store).exists()


@pytest.mark.parametrize("length", [0, 1, len(CONTENT) - 1])
def test_a_truncated_layer_is_seen_at_once(store: Store, layer: Realisation, length: int) -> None:
    blob_path(store).write_bytes(CONTENT[:length])
    assert not store.has_layer(layer)
    assert not store.verify_layer(layer)


def test_a_layer_that_is_not_there_is_not_right(store: Store, layer: Realisation) -> None:
    blob_path(store).unlink()
    assert not store.verify_layer(layer)
