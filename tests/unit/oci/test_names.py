"""Names of images in the annotations of an index."""

from __future__ import annotations

import pytest

from rtbuild.digest import Digest
from rtbuild.errors import UsageError
from rtbuild.oci.descriptor import MANIFEST, Descriptor
from rtbuild.oci.names import CONTAINERD_NAME, REFERENCE, full_reference, is_called, named, names_of, require_name

IMAGE = Descriptor(media_type=MANIFEST, digest=Digest("sha256:" + "1" * 64), size=7)


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("x", "docker.io/library/x:latest"),
        ("x:1", "docker.io/library/x:1"),
        ("a/x:1", "docker.io/a/x:1"),
        ("localhost/x:1", "localhost/x:1"),
        ("localhost:5000/x", "localhost:5000/x:latest"),
        ("registry.example/a/x:1", "registry.example/a/x:1"),
    ],
)
def test_completes_names(name: str, full: str) -> None:
    assert full_reference(name) == full
    assert full_reference(full) == full


def test_annotates_an_entry_for_each_name() -> None:
    entries = named(IMAGE, ["a/x:1", "y"])
    assert [dict(entry.annotations) for entry in entries] == [
        {CONTAINERD_NAME: "docker.io/a/x:1", REFERENCE: "1"},
        {CONTAINERD_NAME: "docker.io/library/y:latest", REFERENCE: "latest"},
    ]
    assert {entry.digest for entry in entries} == {IMAGE.digest}
    assert names_of(entries[0]) == ["1", "docker.io/a/x:1"]
    assert names_of(entries[1]) == ["latest", "docker.io/library/y:latest"]


def test_an_entry_without_annotations_has_no_names() -> None:
    assert names_of(IMAGE) == []
    assert is_called(IMAGE, IMAGE.digest)
    assert not is_called(IMAGE, "latest")


@pytest.mark.parametrize("reference", ["1", "a/x:1", "docker.io/a/x:1", IMAGE.digest])
def test_finds_an_entry_by_tag_name_and_digest(reference: str) -> None:
    (entry,) = named(IMAGE, ["a/x:1"])
    assert is_called(entry, reference)


@pytest.mark.parametrize("reference", ["2", "a/x", "x:1", "quay.example/a/x:1"])
def test_does_not_find_an_entry_by_other_names(reference: str) -> None:
    (entry,) = named(IMAGE, ["a/x:1"])
    assert not is_called(entry, reference)


@pytest.mark.parametrize(
    "name",
    [
        "x:1",
        "team/x_y__z-a:8.0.0-base",
        "localhost:5000/x:1",
        "h.example/a/b:_1",
        "x:" + "1" * 128,
        "Registry.example/x:1",
    ],
)
def test_names_that_docker_takes(name: str) -> None:
    require_name(name)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("X:1", "a repository has lower-case letters"),
        ("Team/x:1", "a repository has lower-case letters"),
        ("a//b:1", "a repository has lower-case letters"),
        ("a..b:1", "a repository has lower-case letters"),
        ("a___b:1", "a repository has lower-case letters"),
        ("-h.example/x:1", "'-h.example' is not a registry"),
        ("h..example/x:1", "'h..example' is not a registry"),
        ("x:" + "1" * 129, "a tag has at most 128"),
        ("x:.1", "a tag has at most 128"),
        ("x:1+1", "a tag has at most 128"),
        ("a" * 256 + ":1", "a repository has at most 255 characters"),
        ("a" * 64 + ":1", "64 hexadecimal digits are an image ID"),
    ],
)
def test_names_that_docker_refuses(name: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        require_name(name)
