"""The JSON documents of an image's archive."""

from __future__ import annotations

import io

import pytest

from rtbuild.errors import IntegrityError
from rtbuild.oci.archive import DOCUMENT_LIMIT, read_file
from rtbuild.oci.archived_documents import ArchivedDocuments


def documents(content: bytes) -> ArchivedDocuments:
    """Return the documents of an archive that has one file, `index.json`."""
    return ArchivedDocuments(files={"index.json": read_file("index.json", io.BytesIO(content))}, findings=[])


def test_objects_and_lists_are_read() -> None:
    assert documents(b'{"size": 1}').read_object("index.json") == {"size": 1}
    assert documents(b'[{"size": 1}]').read_list("index.json") == [{"size": 1}]


@pytest.mark.parametrize(
    ("content", "twice"),
    [
        (b'{"layers": [], "Layers": []}', ["layers"]),
        (b'[{"config": {"ONBUILD": [], "OnBuild": []}}]', ["onbuild"]),
        (b'{"SIZE": 1, "Size": 1, "size": 1, "os": "", "OS": ""}', ["size", "os"]),
        (b'{"layers": [{"size": 1}, {"Size": 1}]}', []),
        (b'{"config": {"Labels": {"team": "", "Team": ""}}}', []),
    ],
)
def test_a_field_in_two_spellings_is_a_finding(content: bytes, twice: list[str]) -> None:
    archived = documents(content)
    _ = archived.read_list("index.json") if content.startswith(b"[") else archived.read_object("index.json")
    assert archived.findings == [f"index.json: {name!r} is there twice" for name in twice]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[]", "index.json: not a JSON object"),
        (b"{,}", "index.json: "),
        (b"no document", "index.json: not JSON of at most 4 MiB"),
        (b"{" + b" " * DOCUMENT_LIMIT + b"}", "index.json: not JSON of at most 4 MiB"),
    ],
)
def test_what_is_no_object_is_refused_with_its_place(content: bytes, message: str) -> None:
    with pytest.raises(IntegrityError) as caught:
        documents(content).read_object("index.json")
    assert caught.value.brief.startswith(message)


def test_an_object_is_no_list() -> None:
    with pytest.raises(IntegrityError, match=r"^index\.json: not a JSON list"):
        documents(b"{}").read_list("index.json")
