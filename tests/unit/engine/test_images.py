"""Loading, inspecting and removing images, with a fake daemon."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rtbuild.digest import Digest, digest_of, hex_of, sha256_bytes
from rtbuild.engine.endpoint import Endpoint
from rtbuild.engine.images import inspect, load, remove_image, saved
from rtbuild.errors import EngineError, IntegrityError, StoreError
from tests.fakes.docker_daemon import DockerDaemon

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
NAME = "docker.io/library/one:1"


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerDaemon]:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with DockerDaemon(Path("docker.sock")) as running:
        running.host = f"unix://{tmp_path}/docker.sock"
        yield running


@pytest.fixture
def endpoint(daemon: DockerDaemon) -> Endpoint:
    return Endpoint(docker=Path("docker"), host=daemon.host, title="the fake")


class LayoutFolder:
    """An OCI layout that a test fills."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def put(self, content: bytes) -> Digest:
        digest = digest_of(sha256_bytes(content))
        self.path(digest).write_bytes(content)
        return digest

    def path(self, digest: Digest) -> Path:
        return self.folder / "blobs/sha256" / hex_of(digest)

    def part(self, content: bytes, kind: str) -> dict[str, Any]:
        return {"mediaType": kind, "digest": self.put(content), "size": len(content)}

    def image(self, *layers: bytes) -> dict[str, Any]:
        diff_ids = [digest_of(sha256_bytes(layer)) for layer in layers]
        config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.part(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
            "layers": [self.part(layer, "application/vnd.oci.image.layer.v1.tar") for layer in layers],
        }
        return self.part(json.dumps(document).encode(), MANIFEST)

    def list(self, *descriptors: dict[str, Any]) -> None:
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": descriptors}))


@pytest.fixture
def layout(tmp_path: Path) -> LayoutFolder:
    return LayoutFolder(tmp_path / "layout")


def members(content: bytes) -> dict[str, bytes]:
    """Return the files of a tar."""
    files = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for member in tar:
            stream = tar.extractfile(member)
            if stream is None:  # a folder
                continue
            files[member.name] = stream.read()
    return files


def test_an_image_is_loaded_with_its_blobs_and_no_others(
    daemon: DockerDaemon, endpoint: Endpoint, layout: LayoutFolder
) -> None:
    layers = (b"a" * 1000, b"b" * 3_000_000, b"a" * 1000)
    image, other = layout.image(*layers), layout.image(b"other")
    layout.list(image, other)
    daemon.images[NAME] = {"Id": image["digest"]}
    daemon.images["docker.io/team/two:latest"] = {"Id": image["digest"]}
    assert load(endpoint, layout.folder, {"one:1": image["digest"], "team/two": image["digest"]}) == (
        image["digest"],
        image["digest"],
    )
    files = members(daemon.loaded)
    assert files.pop("oci-layout") == b'{"imageLayoutVersion":"1.0.0"}'
    manifests = json.loads(files.pop("index.json"))["manifests"]
    names = [manifest["annotations"]["io.containerd.image.name"] for manifest in manifests]
    assert names == [NAME, "docker.io/team/two:latest"]
    descriptor = (image["digest"], image["size"])
    assert [(manifest["digest"], manifest["size"]) for manifest in manifests] == [descriptor] * 2
    blobs = {name: content for name, content in files.items() if name.startswith("blobs/sha256/")}
    assert len(blobs) == 4
    for name, content in blobs.items():
        assert name == f"blobs/sha256/{sha256_bytes(content)}"
    assert {len(content) for content in blobs.values()} >= {1000, 3_000_000}


def test_images_are_sent_in_one_archive_with_what_they_share_once(
    daemon: DockerDaemon, endpoint: Endpoint, layout: LayoutFolder
) -> None:
    images = {"one:1": layout.image(b"shared" * 1000), "one:1-base": layout.image(b"shared" * 1000, b"own")}
    layout.list(*images.values())
    for name, image in images.items():
        daemon.images[f"docker.io/library/{name}"] = {"Id": image["digest"]}
    wanted = {name: Digest(image["digest"]) for name, image in images.items()}
    assert load(endpoint, layout.folder, wanted) == tuple(wanted.values())
    files = members(daemon.loaded)
    assert sum(content == b"shared" * 1000 for content in files.values()) == 1
    assert [
        (entry["digest"], entry["annotations"]["org.opencontainers.image.ref.name"])
        for entry in json.loads(files["index.json"])["manifests"]
    ] == [(wanted["one:1"], "1"), (wanted["one:1-base"], "1-base")]
    assert [entry["RepoTags"] for entry in json.loads(files["manifest.json"])] == [
        [f"docker.io/library/{name}"] for name in images
    ]


def test_the_image_of_a_layout_with_two_must_be_named(endpoint: Endpoint, layout: LayoutFolder) -> None:
    layout.list(layout.image(b"1"), layout.image(b"2"))
    with pytest.raises(StoreError, match="more than one image"):
        load(endpoint, layout.folder, {"one:1": None})


def test_a_missing_layer_is_an_error_that_names_it(endpoint: Endpoint, layout: LayoutFolder) -> None:
    layout.list(layout.image(b"layer"))
    missing = digest_of(sha256_bytes(b"layer"))
    layout.path(missing).unlink()
    with pytest.raises(IntegrityError, match=hex_of(missing)):
        load(endpoint, layout.folder, {"one:1": None})


def test_a_damaged_layer_is_an_error_that_names_it(endpoint: Endpoint, layout: LayoutFolder) -> None:
    layout.list(layout.image(b"layer"))
    wrong = digest_of(sha256_bytes(b"layer"))
    layout.path(wrong).write_bytes(b"Layer")
    with pytest.raises(IntegrityError, match=hex_of(wrong)):
        load(endpoint, layout.folder, {"one:1": None})


def test_a_folder_that_is_not_a_layout_is_an_error(endpoint: Endpoint, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no OCI image layout"):
        load(endpoint, tmp_path, {"one:1": None})


def test_a_failed_load_shows_the_message_of_the_daemon(
    daemon: DockerDaemon, endpoint: Endpoint, layout: LayoutFolder
) -> None:
    layout.list(layout.image(b"layer"))
    daemon.load_answer = [{"stream": "x"}, {"error": "unpigz: corrupted"}]
    with pytest.raises(EngineError, match=r"the fake cannot load one:1") as caught:
        load(endpoint, layout.folder, {"one:1": None})
    assert caught.value.details == "unpigz: corrupted"


def test_an_image_that_the_daemon_lacks_after_loading_is_an_error(endpoint: Endpoint, layout: LayoutFolder) -> None:
    layout.list(layout.image(b"layer"))
    with pytest.raises(EngineError, match="loaded one:1, but does not have it"):
        load(endpoint, layout.folder, {"one:1": None})


def test_an_image_is_inspected_and_removed(daemon: DockerDaemon, endpoint: Endpoint) -> None:
    digest = "sha256:" + "1" * 64
    daemon.images["one"] = {
        "Id": digest,
        "RepoTags": ["one:latest"],
        "Os": "linux",
        "Architecture": "arm64",
        "Variant": "v8",
        "RootFS": {"Layers": [digest]},
        "Config": {"User": "astro"},
        "Size": 12,
    }
    facts = inspect(endpoint, "one")
    assert facts is not None
    assert (facts.id, facts.names, facts.platform, facts.layers) == (
        digest,
        ("one:latest",),
        "linux/arm64/v8",
        (digest,),
    )
    assert (facts.config["User"], facts.size) == ("astro", 12)
    remove_image(endpoint, "one")
    assert inspect(endpoint, "one") is None
    remove_image(endpoint, "one")


def test_a_missing_daemon_is_an_engine_error(tmp_path: Path) -> None:
    endpoint = Endpoint(docker=Path("docker"), host=f"unix://{tmp_path}/none.sock", title="the fake")
    with pytest.raises(EngineError, match="the fake does not answer"):
        inspect(endpoint, "one")


def test_what_docker_saves_is_a_stream(daemon: DockerDaemon, endpoint: Endpoint) -> None:
    content = bytes(range(256)) * 20_000
    daemon.images["one:1"] = {"Id": "sha256:" + "1" * 64}
    daemon.saved["one:1"] = content
    with saved(endpoint, "one:1") as stream:
        assert stream.read(10) == content[:10]
        assert stream.read() == content[10:]
    with saved(endpoint, "one:1") as stream:  # a reader that has seen enough
        assert stream.read(1) == b"\0"
    with pytest.raises(EngineError, match="the fake has no image two:2"), saved(endpoint, "two:2"):
        pass
