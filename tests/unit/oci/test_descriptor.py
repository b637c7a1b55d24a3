"""Descriptors, to JSON and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rtbuild.digest import Digest
from rtbuild.errors import IntegrityError
from rtbuild.oci.descriptor import (
    INDEX,
    MANIFEST,
    Descriptor,
    index_document,
    parse_descriptor,
    parse_descriptors,
    parse_document,
)

DIGEST = Digest("sha256:" + "1" * 64)
PATH = Path("/layout/index.json")
BARE = Descriptor(media_type=MANIFEST, digest=DIGEST, size=7)
FULL = Descriptor(
    media_type=MANIFEST,
    digest=DIGEST,
    size=7,
    platform=("linux", "arm64", "v8"),
    annotations=(("a", "1"), ("b", "2")),
)


def test_json_omits_what_is_not_set() -> None:
    assert BARE.to_json() == {"mediaType": MANIFEST, "digest": DIGEST, "size": 7}


def test_json_has_the_fields_of_the_specification() -> None:
    assert FULL.to_json() == {
        "mediaType": MANIFEST,
        "digest": DIGEST,
        "size": 7,
        "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"},
        "annotations": {"a": "1", "b": "2"},
    }


@pytest.mark.parametrize("descriptor", [BARE, FULL])
def test_parses_what_it_writes(descriptor: Descriptor) -> None:
    assert parse_descriptor(json.loads(json.dumps(descriptor.to_json())), "here") == descriptor


def test_parses_a_descriptor_without_a_media_type_as_a_manifest() -> None:
    assert parse_descriptor({"digest": DIGEST, "size": 7, "annotations": None}, "here") == BARE


@pytest.mark.parametrize(
    "value",
    [
        7,
        None,
        {},
        {"digest": DIGEST},
        {"digest": "sha256:12", "size": 1},
        {"digest": DIGEST, "size": True},
        {"digest": DIGEST, "size": -1},
        {"digest": DIGEST, "size": 1, "platform": {"os": "linux"}},
        {"digest": DIGEST, "size": 1, "annotations": ["a"]},
    ],
)
def test_rejects_what_is_not_a_descriptor(value: Any) -> None:
    with pytest.raises(IntegrityError, match="here: not a descriptor"):
        parse_descriptor(value, "here")


def test_an_index_lists_manifests() -> None:
    document = parse_document(index_document([FULL, BARE]), PATH)
    assert (document["schemaVersion"], document["mediaType"]) == (2, INDEX)
    assert parse_descriptors(document, "manifests", PATH) == (FULL, BARE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "/layout/index.json: is not JSON"),
        (b"\xff", "/layout/index.json: is not JSON"),
        (b"[]", "/layout/index.json: not a JSON object"),
    ],
)
def test_rejects_what_is_not_a_document(content: bytes, message: str) -> None:
    with pytest.raises(IntegrityError, match=message):
        parse_document(content, PATH)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "/layout/index.json: `manifests` is not a list"),
        ({"manifests": {}}, "/layout/index.json: `manifests` is not a list"),
        ({"manifests": [BARE.to_json(), 7]}, r"/layout/index.json: manifests\[1\]: not a descriptor"),
    ],
)
def test_rejects_a_malformed_list(document: dict[str, Any], message: str) -> None:
    with pytest.raises(IntegrityError, match=message):
        parse_descriptors(document, "manifests", PATH)
