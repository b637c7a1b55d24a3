"""Whether an environment can reproduce the compressed bytes that a lock records."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtbuild.digest import Digest
from rtbuild.formats.frames import COMPRESSORS
from rtbuild.lockfile.compressor import compressor_mismatch
from rtbuild.lockfile.model import ImageResult
from tests.fakes import locks

RECORDED = "zstandard 0.25.0 (libzstd 1.5.7) level 3 frames 4 MiB"
RESULT = ImageResult(id=Digest("sha256:" + "3" * 64), manifest=Digest("sha256:" + "4" * 64), compressor=RECORDED)


@pytest.mark.parametrize(
    "compressor", [RECORDED, "deflate 0.9.0 level 4 frames 4 MiB"], ids=["equal", "another method"]
)
def test_what_reproduces_the_bytes_or_is_not_meant_to(compressor: str) -> None:
    assert compressor_mismatch(locks.lock(image=RESULT, image_base=RESULT), compressor) is None


def test_a_lock_without_results_can_be_built_with_anything() -> None:
    assert compressor_mismatch(locks.lock(image=None, layers=()), "zstandard 1.0.0") is None


@pytest.mark.parametrize(
    "compressor",
    [
        "zstandard 0.24.0 (libzstd 1.5.7) level 3 frames 4 MiB",
        "zstandard 0.25.0 (libzstd 1.5.6) level 3 frames 4 MiB",
        "zstandard 0.25.0 (libzstd 1.5.7) level 9 frames 4 MiB",
        "zstandard 0.25.0 (libzstd 1.5.7) level 3 frames 8 MiB",
    ],
)
def test_the_same_method_in_another_version_or_with_other_settings(compressor: str) -> None:
    expected = f"recorded with {RECORDED}, this environment has {compressor}"
    assert compressor_mismatch(locks.lock(image=RESULT), compressor) == expected


def test_the_base_image_counts_too() -> None:
    image = replace(RESULT, compressor="zstandard 1.0.0")
    assert compressor_mismatch(locks.lock(image=image, image_base=RESULT), "zstandard 1.0.0") is not None


def test_the_names_of_compressors_begin_with_their_method() -> None:
    zstd, gzip = COMPRESSORS["zstd"]().name, COMPRESSORS["gzip"]().name
    assert (zstd.split()[0], gzip.split()[0]) == ("zstandard", "deflate")
