"""Hashes that begin before a build asks for them: each is of the whole file, and is used once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rtbuild.digest import Digest, digest_of, hex_of, sha256_bytes
from rtbuild.oci.descriptor import CONFIG, MANIFEST, Descriptor
from rtbuild.oci.image import manifest
from rtbuild.oci.layout import Layout
from rtbuild.store.early import begin_hashing, hash_guessed, keep_guess, take_hash

LAYER = "application/vnd.oci.image.layer.v1.tar"
PLATFORM = "linux/amd64"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / str(number) for number in range(5)]
    for number, path in enumerate(paths):
        path.write_bytes(os.urandom(100_000 * number))
    return paths


def image(root: Path, *layers: bytes) -> Digest:
    """Put an image of these layers into the store at `root`; return the digest of its manifest."""
    layout = Layout.create(root / "layout")
    descriptors = [layout.put_blob(layer, LAYER) for layer in layers]
    config = Descriptor(media_type=CONFIG, digest=digest_of(sha256_bytes(b"{}")), size=2)
    return layout.put_blob(manifest(config, descriptors), MANIFEST).digest


def blob(root: Path, layer: bytes) -> Path:
    return Layout(root / "layout").blob_path(digest_of(sha256_bytes(layer)))


def test_a_hash_that_was_begun_is_that_of_the_whole_file_and_is_taken_once(files: list[Path]) -> None:
    begin_hashing(files)
    assert [take_hash(path) for path in files] == [sha256_bytes(path.read_bytes()) for path in files]
    assert [take_hash(path) for path in files] == [None] * len(files)


def test_a_file_that_was_replaced_or_written_meanwhile_has_no_hash(files: list[Path], tmp_path: Path) -> None:
    begin_hashing(files)
    size = files[3].stat().st_size
    (tmp_path / "new").write_bytes(bytes(size))
    (tmp_path / "new").replace(files[3])
    with files[2].open("r+b") as stream:
        stream.write(b"x")
    files[1].unlink()
    assert [take_hash(path) is not None for path in files] == [True, False, False, False, True]


def test_a_missing_file_is_left_out(files: list[Path], tmp_path: Path) -> None:
    begin_hashing([tmp_path / "missing", files[1]])
    assert take_hash(tmp_path / "missing") is None
    assert take_hash(files[1]) is not None


def test_what_the_last_build_used_is_hashed(tmp_path: Path) -> None:
    keep_guess(tmp_path, "8.0", PLATFORM, image(tmp_path, b"old"))
    keep_guess(tmp_path, "8.0", PLATFORM, image(tmp_path, b"lower", b"upper"))
    hash_guessed(tmp_path, "8.0.0", PLATFORM)
    hash_guessed(tmp_path, "8.0", "linux/arm64")
    assert take_hash(blob(tmp_path, b"lower")) is None
    hash_guessed(tmp_path, "8.0", PLATFORM)
    for layer in (b"lower", b"upper"):
        assert take_hash(blob(tmp_path, layer)) == sha256_bytes(layer)
    assert take_hash(blob(tmp_path, b"old")) is None


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"layers": 5}', b'{"layers": [5]}', b'{"layers": [{"digest": "sha256:../x"}]}']
)
def test_a_damaged_manifest_is_no_problem(tmp_path: Path, content: bytes) -> None:
    digest = image(tmp_path, b"layer")
    keep_guess(tmp_path, "8.0", PLATFORM, digest)
    (tmp_path / "layout/blobs/sha256" / hex_of(digest)).write_bytes(content)
    hash_guessed(tmp_path, "8.0", PLATFORM)
    assert take_hash(blob(tmp_path, b"layer")) is None


def test_a_damaged_guess_is_no_problem_and_replaced(tmp_path: Path) -> None:
    digest = image(tmp_path, b"layer")
    keep_guess(tmp_path, "8.0", PLATFORM, digest)
    (guess,) = (tmp_path / "cache/guesses").iterdir()
    for content in (b"\xff", b"sha256:..", b""):
        guess.write_bytes(content)
        hash_guessed(tmp_path, "8.0", PLATFORM)
        assert take_hash(blob(tmp_path, b"layer")) is None
    keep_guess(tmp_path, "8.0", PLATFORM, digest)
    hash_guessed(tmp_path, "8.0", PLATFORM)
    assert take_hash(blob(tmp_path, b"layer")) is not None


def test_a_store_that_cannot_be_written_is_no_problem(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"a file")
    keep_guess(tmp_path, "8.0", PLATFORM, digest_of(sha256_bytes(b"")))
    hash_guessed(tmp_path, "8.0", PLATFORM)
