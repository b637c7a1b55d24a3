"""Whatever in an image is not what it says it is, is found, with its place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from rtbuild.errors import IntegrityError, StoreError
from rtbuild.formats.frames import COMPRESSORS, DEFAULT
from rtbuild.oci import archived_documents
from rtbuild.oci.archive import FolderSource, ImageSource, tar_file
from rtbuild.oci.layout import Layout
from rtbuild.oci.read_image import Reading, read_images
from rtbuild.oci.transfer import image_tar
from tests.fakes import image_archives as archives
from tests.fakes.image_archives import Files, docker_files, layer_tar, layout_files, sha256, write_folder, write_tar
from tests.fakes.small_images import put_image

A, B, EVIL = layer_tar("a"), layer_tar("b"), layer_tar("a", mode=0o4755)


def read(files: Files, tmp_path: Path, links: dict[str, str] | None = None) -> Reading:
    """Read the files from a tar; from a folder the result must be the same."""
    found = read_images(tar_file(write_tar(files, tmp_path / "image.tar", links)))
    if not links:
        same = read_images(FolderSource(write_folder(files, tmp_path / "folder")), jobs=2)
        assert (same.images, same.findings, same.notes, same.size) == (
            found.images,
            found.findings,
            found.notes,
            found.size,
        )
    return found


# --- images as they should be ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["zstd", "gzip", None])
def test_a_whole_image_has_no_findings(tmp_path: Path, name: str | None) -> None:
    files = layout_files(A, B, compressor=COMPRESSORS[name]() if name else None)
    found = read(files, tmp_path)
    assert (found.findings, found.notes, found.files) == ((), (), len(files))
    (image,) = found.images
    path, _ = archives.manifest(files)
    assert (image.manifest, found.entries) == (f"sha256:{path[-64:]}", (f"sha256:{path[-64:]}",))
    assert image.config == f"sha256:{archives.config(files)[0][-64:]}"
    assert [layer.diff_id for layer in image.layers] == [f"sha256:{sha256(layer)}" for layer in (A, B)]
    assert [layer.path for layer in image.layers] == archives.layer_paths(files)
    assert [f"blobs/sha256/{layer.blob[7:]}" for layer in image.layers] == archives.layer_paths(files)
    assert (image.names, image.platform) == (("docker.io/team/image:1.0",), "linux/amd64")
    assert image.labels == {"org.opencontainers.image.version": "1.0"}


def test_what_rtbuild_itself_writes_for_docker_has_no_findings(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path / "layout")
    image = put_image(layout)
    (tmp_path / "image.tar").write_bytes(b"".join(image_tar(layout, [(image, ["x:1", "x:2"])])))
    found = read_images(tar_file(tmp_path / "image.tar"))
    assert found.findings == ()
    (only,) = found.images
    assert (only.manifest, only.names) == (image.digest, ("docker.io/library/x:1", "docker.io/library/x:2"))


def test_what_docker_saved_before_version_25(tmp_path: Path) -> None:
    files = docker_files(A, B)
    found = read(files, tmp_path)
    assert found.findings == ()
    (image,) = found.images
    assert (image.manifest, image.names) == (None, ("docker.io/team/image:1.0",))
    assert [layer.diff_id for layer in image.layers] == [f"sha256:{sha256(layer)}" for layer in (A, B)]


def test_a_layer_that_docker_saved_once_and_linked(tmp_path: Path) -> None:
    files = docker_files(A, B)
    (item,) = json.loads(files["manifest.json"])
    first, second = item["Layers"]
    config = archives.config_of(A, A)
    item["Config"] = f"{sha256(config)}.json"
    files = {path: content for path, content in files.items() if path != second and not path.endswith(".json")}
    files |= {"manifest.json": json.dumps([item]).encode(), item["Config"]: config}
    found = read(files, tmp_path, {second: f"../{first}"})
    assert found.findings == ()
    assert [layer.path for layer in found.images[0].layers] == [first, first]
    assert read(files, tmp_path, {second: "../nothing"}).findings == (
        f"manifest.json: [0]: Layers[1]: {second} is missing",
    )
    (stranger,) = read(files, tmp_path, {second: f"../{first}", "x/y": "/etc/passwd"}).findings
    assert stranger == "x/y: no image refers to it"


def test_an_index_of_several_platforms_of_which_one_is_there(tmp_path: Path) -> None:
    files = layout_files(A)
    entry = archives.index(files)["manifests"][0]
    absent = {**archives.described(b"absent", entry["mediaType"]), "platform": {"os": "linux", "architecture": "arm64"}}
    attested = json.dumps({"schemaVersion": 2, "config": archives.described(b"{}", "x"), "layers": []}).encode()
    attestation = {
        **archives.described(attested, entry["mediaType"]),
        "platform": {"os": "unknown", "architecture": "unknown"},
    }
    inner = json.dumps({"schemaVersion": 2, "manifests": [entry, absent, attestation]}).encode()
    files |= {archives.blob(content): content for content in (inner, attested, b"{}")}
    listed = archives.described(inner, "application/vnd.oci.image.index.v1+json")
    archives.edit_index(files, lambda it: it.update(manifests=[listed]))
    found = read(files, tmp_path)
    assert found.findings == ()
    assert [image.platform for image in found.images] == ["linux/amd64"]
    (note,) = found.notes
    assert "(linux/arm64) is not there, so it was not read" in note
    assert found.entries == (listed["digest"],)


# --- tampering -------------------------------------------------------------------------------------------------------


def garbage_layer(files: Files) -> None:
    files[archives.layer_paths(files)[0]] = b"garbage"


def missing_layer(files: Files) -> None:
    del files[archives.layer_paths(files)[0]]


def swapped_layers(files: Files) -> None:
    """The bytes of two blobs change places."""
    one, two = archives.layer_paths(files)
    files[one], files[two] = files[two], files[one]


def reordered_layers(files: Files) -> None:
    """The manifest, and all above it, names the layers in another order; the config does not."""
    archives.edit_manifest(files, lambda it: it["layers"].reverse())


def evil_layer(files: Files) -> None:
    """A layer with a setuid file, which manifest and index name with its right digest and size."""
    archives.replace_layer(files, 0, DEFAULT.frame(EVIL))


def truncated_layer(files: Files) -> None:
    archives.replace_layer(files, 0, DEFAULT.frame(A)[:-5])


def trailing_garbage(files: Files) -> None:
    archives.replace_layer(files, 0, DEFAULT.frame(A) + b"garbage")


def dropped_layer(files: Files) -> None:
    del files[archives.layer_paths(files)[1]]
    archives.edit_manifest(files, lambda it: it["layers"].pop())


def garbage_config(files: Files) -> None:
    files[archives.config(files)[0]] += b" "


def changed_config(files: Files) -> None:
    """Another entrypoint, under the digest of the old config."""
    path, document = archives.config(files)
    document["config"]["Entrypoint"] = ["/evil"]
    files[path] = json.dumps(document).encode()


def missing_config(files: Files) -> None:
    del files[archives.config(files)[0]]


def garbage_manifest(files: Files) -> None:
    files[archives.manifest(files)[0]] = b"{}"


def missing_manifest(files: Files) -> None:
    del files[archives.manifest(files)[0]]


def manifest_that_is_no_json(files: Files) -> None:
    archives.replace_manifest(files, archives.manifest(files)[0], b"{]")


def manifest_without_layers(files: Files) -> None:
    archives.edit_manifest(files, lambda it: it.pop("layers"))


def config_without_diff_ids(files: Files) -> None:
    archives.edit_config(files, lambda it: it.pop("rootfs"))


def extra_blob(files: Files) -> None:
    files[archives.blob(b"extra")] = b"extra"


def extra_file(files: Files) -> None:
    files["blobs/sha256/.new-1"] = b"left over"


def extra_folder(files: Files) -> None:
    files["secrets/key"] = b"x"


def indexes_of_indexes(files: Files) -> None:
    """Four indexes of 12 entries, which all name the next one, or the image: 20,736 images in a few KB."""
    entry = archives.index(files)["manifests"][0]
    for _ in range(3):
        content = json.dumps({"schemaVersion": 2, "manifests": [entry] * 12}).encode()
        files[archives.blob(content)] = content
        entry = archives.described(content, "application/vnd.oci.image.index.v1+json")
    archives.edit_index(files, lambda it: it.update(manifests=[entry] * 12))


def forged_line(files: Files) -> None:
    files["x\nreproducible\x1b[8m"] = b"x"


def second_layers(files: Files) -> None:
    """Go's JSON takes the last spelling, Python's the one in lower case."""
    archives.edit_manifest(files, lambda it: it.update(Layers=[]))


def same_field_twice(files: Files) -> None:
    path, _ = archives.manifest(files)
    archives.replace_manifest(files, path, files[path].replace(b"{", b'{"config": {}, ', 1))


CASES: list[tuple[Callable[[Files], object], str]] = [
    (garbage_layer, r"^blobs/sha256/[0-9a-f]{64}: damaged or swapped: the sha256 of its bytes is [0-9a-f]{64}$"),
    (missing_layer, r"^blobs/sha256/[0-9a-f]{64}: layers\[0\]: the blob blobs/sha256/[0-9a-f]{64} is missing$"),
    (swapped_layers, r"^blobs/sha256/[0-9a-f]{64}: damaged or swapped"),
    (reordered_layers, r"layer 0: the diff ID is sha256:[0-9a-f]{64}, but the config says sha256:[0-9a-f]{64}$"),
    (evil_layer, r"^blobs/sha256/[0-9a-f]{64}: layer 0: the diff ID is .*, but the config says "),
    (truncated_layer, r"layer 0: truncated compressed data, but the config says "),
    (trailing_garbage, r"layer 0: damaged compressed data \(.*, but the config says "),
    (dropped_layer, r"^blobs/sha256/[0-9a-f]{64}: 2 diff IDs, but the manifest has 1 layers$"),
    (garbage_config, r"^blobs/sha256/[0-9a-f]{64}: damaged or swapped"),
    (changed_config, r"^blobs/sha256/[0-9a-f]{64}: damaged or swapped"),
    (missing_config, r": config: the blob blobs/sha256/[0-9a-f]{64} is missing$"),
    (garbage_manifest, r"^blobs/sha256/[0-9a-f]{64}: damaged or swapped"),
    (missing_manifest, r"^index\.json: manifests\[0\]: the blob blobs/sha256/[0-9a-f]{64} is missing$"),
    (manifest_that_is_no_json, r"^blobs/sha256/[0-9a-f]{64}: is not JSON"),
    (manifest_without_layers, r"^blobs/sha256/[0-9a-f]{64}: `layers` is not a list$"),
    (config_without_diff_ids, r"^blobs/sha256/[0-9a-f]{64}: not an image config"),
    (extra_blob, r"^blobs/sha256/[0-9a-f]{64}: no image refers to it$"),
    (extra_file, r"^blobs/sha256/\.new-1: damaged or swapped"),
    (extra_folder, r"^secrets/key: no image refers to it$"),
    (forged_line, r"^x\\nreproducible\\x1b\[8m: no image refers to it$"),
    (second_layers, r"^blobs/sha256/[0-9a-f]{64}: 'layers' is there twice$"),
    (same_field_twice, r"^blobs/sha256/[0-9a-f]{64}: .*config"),
    (
        lambda files: archives.edit_index(files, lambda it: it["manifests"][0].update(size=7)),
        r"^index\.json: manifests\[0\]: size is 7, but blobs/sha256/[0-9a-f]{64} has \d+ bytes$",
    ),
    (
        lambda files: archives.edit_manifest(files, lambda it: it["layers"][1].update(size=7)),
        r"^blobs/sha256/[0-9a-f]{64}: layers\[1\]: size is 7, but ",
    ),
    (
        lambda files: archives.edit_manifest(files, lambda it: it["config"].update(size=7)),
        r"^blobs/sha256/[0-9a-f]{64}: config: size is 7, but ",
    ),
    (
        lambda files: archives.edit_index(
            files, lambda it: it["manifests"][0]["platform"].update(architecture="arm64")
        ),
        r"^index\.json: manifests\[0\]: the platform is linux/arm64, but the config says linux/amd64$",
    ),
    (
        lambda files: archives.edit_config(files, lambda it: it.update(architecture="arm64")),
        r"^index\.json: manifests\[0\]: the platform is linux/amd64, but the config says linux/arm64$",
    ),
    (
        lambda files: archives.edit_index(files, lambda it: it["manifests"][0].update(mediaType="text/plain")),
        r"^index\.json: manifests\[0\]: the media type 'text/plain' is that of no image$",
    ),
    (
        lambda files: archives.edit_manifest(
            files, lambda it: it.update(mediaType="application/vnd.docker.distribution.manifest.v2+json")
        ),
        r"^index\.json: manifests\[0\]: the media type is .*oci.*, but the blob says .*docker.*$",
    ),
    (
        lambda files: archives.edit_manifest(files, lambda it: it.update(schemaVersion=1)),
        r"^index\.json: manifests\[0\]: schemaVersion is 1, expected 2$",
    ),
    (
        lambda files: archives.edit_manifest(files, lambda it: it["config"].update(mediaType="text/plain")),
        r": config: the media type 'text/plain' is that of no image config$",
    ),
    (
        lambda files: archives.edit_manifest(files, lambda it: it["layers"][0].update(mediaType="text/plain")),
        r": layers\[0\]: the media type 'text/plain' is that of no layer$",
    ),
    (
        lambda files: archives.edit_manifest(
            files, lambda it: it["layers"][0].update(mediaType="application/vnd.oci.image.layer.v1.tar+gzip")
        ),
        r": layers\[0\]: the media type says gzip as compression, but blobs/sha256/[0-9a-f]{64} has zstd$",
    ),
    (
        lambda files: archives.edit_config(files, lambda it: it["history"].pop()),
        r": 1 steps of the history made a layer, but there are 2 diff IDs$",
    ),
    (
        lambda files: archives.edit_config(files, lambda it: it["rootfs"].update(type="other")),
        r": rootfs.type is not 'layers'$",
    ),
    (lambda files: files.update({"oci-layout": b"{}"}), r"^oci-layout: the version of the layout is None"),
    (lambda files: files.pop("oci-layout"), r"^oci-layout: the version of the layout is None"),
]


def test_what_is_named_too_often_is_not_read_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archived_documents, "_READ_LIMIT", 4 << 20)
    files = layout_files(A)
    indexes_of_indexes(files)
    assert read(files, tmp_path).findings == ("too much is named too often: stopped after 4 MiB of documents",)


@pytest.mark.parametrize(("tamper", "finding"), CASES)
def test_tampering_is_found(tmp_path: Path, tamper: Callable[[Files], object], finding: str) -> None:
    files = layout_files(A, B)
    tamper(files)
    source: ImageSource = tar_file(write_tar(files, tmp_path / "image.tar"))
    sources = [source]
    if "oci-layout" in files:  # or a folder is none
        sources.append(FolderSource(write_folder(files, tmp_path / "folder")))
    for source in sources:
        found = read_images(source)
        # In a folder, an image that was replaced leaves its blobs behind.
        lines = found.notes if tamper is extra_blob and source is not sources[0] else found.findings
        assert any(re.search(finding, line) for line in lines), found


def test_labels_may_differ_in_case_alone(tmp_path: Path) -> None:
    files = layout_files(A)
    archives.edit_config(files, lambda it: it["config"]["Labels"].update({"Team": "a", "team": "b"}))
    assert read(files, tmp_path).findings == ()


# --- archives for `docker load` --------------------------------------------------------------------------------------


def both(layers: tuple[bytes, ...], loaded: tuple[bytes, ...], name: str = "team/image:1.0") -> Files:
    """A layout of one image, beside a `manifest.json` that lets a classic Docker load another."""
    return {**layout_files(*layers, compressor=None), **docker_files(*loaded, name=name)}


def test_what_a_classic_docker_would_load_must_be_what_the_index_has(tmp_path: Path) -> None:
    (finding,) = read(both((A, B), (EVIL, B)), tmp_path).findings
    assert re.fullmatch(r"manifest\.json: \[0\]: the image sha256:[0-9a-f]{64} is not in index\.json", finding)


def test_a_name_must_mean_the_same_image_to_both(tmp_path: Path) -> None:
    files, other = layout_files(A), layout_files(B, name="team/image:2.0")
    entries = [*archives.index(files)["manifests"], *archives.index(other)["manifests"]]
    files |= {path: content for path, content in other.items() if path.startswith("blobs/")}
    archives.edit_index(files, lambda it: it.update(manifests=entries))
    config, _ = archives.config(other)
    item = {"Config": config, "RepoTags": ["team/image:1.0"], "Layers": archives.layer_paths(other)}
    files["manifest.json"] = json.dumps([item]).encode()
    (finding,) = read(files, tmp_path).findings
    assert finding.startswith(
        f"manifest.json: [0]: docker.io/team/image:1.0 is sha256:{config[-64:]}, but in index.json "
    )
    item["RepoTags"] = ["team/image:2.0"]
    files["manifest.json"] = json.dumps([item]).encode()
    assert read(files, tmp_path).findings == ()


def test_tampering_with_an_old_archive(tmp_path: Path) -> None:
    files = docker_files(A, B)
    (item,) = json.loads(files["manifest.json"])
    cases: list[tuple[dict[str, bytes | None], str]] = [
        ({item["Layers"][0]: EVIL}, rf"^{item['Layers'][0]}: layer 0: the diff ID is sha256:{sha256(EVIL)}, but "),
        ({item["Layers"][0]: b"x"}, r": layer 0: the diff ID is "),
        ({item["Layers"][1]: None}, rf"^manifest\.json: \[0\]: Layers\[1\]: {item['Layers'][1]} is missing$"),
        ({item["Config"]: files[item["Config"]] + b" "}, rf"^{item['Config']}: damaged or swapped: "),
        ({item["Config"]: None}, rf"^manifest\.json: \[0\]: Config: {item['Config']} is missing$"),
        ({item["Config"]: b"{}"}, rf"^{item['Config']}: not an image config"),
        ({"extra": b"x"}, r"^extra: no image refers to it$"),
    ]
    for number, (changes, finding) in enumerate(cases):
        tampered = {path: content for path, content in {**files, **changes}.items() if content is not None}
        folder = tmp_path / str(number)
        folder.mkdir()
        findings = read(tampered, folder).findings
        assert any(re.search(finding, line) for line in findings), findings


# --- what is no image ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "error", "message"),
    [
        ({"a": b"b"}, StoreError, "neither index.json nor manifest.json"),
        ({"index.json": b"{]"}, IntegrityError, "index.json: is not JSON"),
        ({"index.json": b"x"}, IntegrityError, "index.json: not JSON of at most 4 MiB"),
        ({"index.json": b"[]"}, IntegrityError, "index.json: not a JSON object"),
        ({"index.json": b"{}"}, IntegrityError, "index.json: `manifests` is not a list"),
        ({"manifest.json": b"{}"}, IntegrityError, "manifest.json: not a JSON list"),
        ({"manifest.json": b"[1]"}, IntegrityError, r"manifest.json: \[0\]: not an image of `docker save`"),
    ],
)
def test_what_is_no_image(tmp_path: Path, files: Files, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read_images(tar_file(write_tar(files, tmp_path / "image.tar")))
