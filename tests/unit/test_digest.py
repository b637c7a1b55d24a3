"""Digests and the canonical JSON that keys are made from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from rtbuild.digest import canonical_json, digest_of, hex_of, parse_digest, parse_sha256, sha256_bytes, sha256_file

HEX = "0123456789abcdef" * 4


def test_good_digests() -> None:
    assert parse_sha256(HEX) == HEX
    assert parse_digest(f"sha256:{HEX}") == digest_of(parse_sha256(HEX)) == f"sha256:{HEX}"
    assert hex_of(parse_digest(f"sha256:{HEX}")) == HEX


@pytest.mark.parametrize("text", ["", HEX[:-1], HEX + "0", HEX.upper(), HEX + "\n", f"sha256:{HEX}", "g" * 64, None, 5])
def test_bad_hashes(text: object) -> None:
    with pytest.raises(ValueError, match="not a sha256 of 64 lower-case hexadecimal digits"):
        parse_sha256(text)


@pytest.mark.parametrize("text", ["", HEX, f"sha512:{HEX}", f"sha256:{HEX[:-1]}", None])
def test_bad_digests(text: object) -> None:
    with pytest.raises(ValueError, match="not a "):
        parse_digest(text)


@pytest.mark.parametrize("size", [0, 1, (1 << 20) + 1])
def test_bytes_and_files_hash_alike(tmp_path: Path, size: int) -> None:
    content = b"x" * size
    (tmp_path / "file").write_bytes(content)
    assert sha256_bytes(content) == sha256_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_canonical_json() -> None:
    assert canonical_json({"b": [1, None, True], "a": "é"}) == '{"a":"é","b":[1,null,true]}'.encode()
    with pytest.raises(ValueError, match="float"):
        canonical_json(float("nan"))
