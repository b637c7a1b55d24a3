"""Comparing what came out with what a lock records."""

from __future__ import annotations

from dataclasses import replace

from rtbuild.build.result import BuiltLayer, compare_with_lock
from rtbuild.digest import DiffId, Digest, Key
from rtbuild.lock.model import ImageResult

IMAGE = ImageResult(id=Digest("sha256:1"), manifest=Digest("sha256:2"), compressor="zstd 1")
LAYER = BuiltLayer(name="base-os", key=Key("k"), diff_id=DiffId(Digest("sha256:3")), size=1, state="built")


def test_the_same_is_a_match() -> None:
    assert compare_with_lock((LAYER,), IMAGE, (LAYER.result(),), IMAGE) == (True, ())


def test_nothing_recorded_is_neither_match_nor_mismatch() -> None:
    assert compare_with_lock((LAYER,), IMAGE, (), None) == (None, ())


def test_a_layer_that_differs_is_named_and_whether_its_inputs_did() -> None:
    other = replace(LAYER, diff_id=DiffId(Digest("sha256:9")))
    matches, lines = compare_with_lock((other,), replace(IMAGE, id=Digest("sha256:8")), (LAYER.result(),), IMAGE)
    assert matches is False
    assert lines == (
        "layer base-os (of the same inputs): sha256:9, the lock says sha256:3",
        "image ID: sha256:8, the lock says sha256:1",
    )


def test_layers_that_one_side_lacks_are_named() -> None:
    matches, lines = compare_with_lock((LAYER,), IMAGE, (replace(LAYER, name="python").result(),), IMAGE)
    assert matches is False
    assert lines == (
        "layer base-os: the lock does not record it",
        "layer python: the lock records it, the image has none",
    )


def test_manifests_count_where_the_same_compressor_wrote_them() -> None:
    other = replace(IMAGE, manifest=Digest("sha256:7"))
    assert compare_with_lock((LAYER,), other, (LAYER.result(),), IMAGE) == (
        False,
        ("manifest digest: sha256:7, the lock says sha256:2",),
    )
    assert compare_with_lock((LAYER,), replace(other, compressor="gzip 1"), (LAYER.result(),), IMAGE) == (True, ())
