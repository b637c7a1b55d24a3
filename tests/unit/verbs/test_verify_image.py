"""`verify_image`: every byte of an image is read, compared with the lock, and with a rebuild."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rtbuild.digest import digest_of, sha256_bytes
from rtbuild.errors import EngineError, IntegrityError, StoreError, UsageError
from rtbuild.formats.frames import COMPRESSORS, DEFAULT, decompress
from rtbuild.formats.tar_entry import Entry
from rtbuild.oci.layer import LayerWriter
from rtbuild.oci.layout import Layout
from rtbuild.store.store import Store
from rtbuild.verbs.build import BuildResult, build
from rtbuild.verbs.verification import VerifyReport, describe_verification
from rtbuild.verbs.verify import is_image, verify, verify_image
from rtbuild.workspace import Workspace
from tests.fakes import image_archives as archives
from tests.fakes.command_line import AMD64
from tests.fakes.files_release import files_workspace, fill, let_verify_rebuild, settings
from tests.fakes.image_archives import Files, write_folder, write_tar
from tests.fakes.loaded_docker import docker, on
from tests.fakes.workspaces import put


@dataclass(frozen=True, kw_only=True)
class Built:
    """A release that was built and recorded, and the files of the layout that `build --output` wrote of it."""

    workspace: Workspace
    result: BuildResult
    files: Files
    folder: Path

    def verify(self, image: str | Path, **options: Any) -> tuple[VerifyReport, ...]:
        return verify_image(self.workspace, image, settings=settings(self.folder), **options)

    def verify_files(self, files: Files, **options: Any) -> VerifyReport:
        (report,) = self.verify(write_tar(files, self.folder / "image.tar"), **options)
        return report


@pytest.fixture
def built(tmp_path: Path) -> Built:
    workspace = files_workspace(tmp_path / "project")
    fill(workspace, Store.open(settings(tmp_path).store))
    image = tmp_path / "image"
    recorded = settings(tmp_path)
    result = build(workspace, "8.0", platform=AMD64, settings=recorded, record=True, rebuild=False, output=image)
    return Built(workspace=workspace, result=result, files=archives.read_folder(image), folder=tmp_path)


@pytest.fixture
def rebuilds(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    let_verify_rebuild(monkeypatch, built.workspace)


def full(built: Built) -> Files:
    """The layout with the image that has ONBUILD triggers alone."""
    files = dict(built.files)
    archives.keep_image(files, 0)
    return files


def base(built: Built) -> Files:
    files = dict(built.files)
    archives.keep_image(files, 1)
    return files


def other_layer(name: str, mode: int, tmp_path: Path) -> bytes:
    layout = Layout.create(tmp_path / "other")
    with LayerWriter(layout, compressor=DEFAULT) as writer:
        writer.add(Entry(path=name, mode=mode))
        return layout.blob_path(writer.finish().blob).read_bytes()


def put_evil_layer(files: Files, number: int, tmp_path: Path) -> None:
    """Replace a layer by one with a setuid file, and every digest of it in config, manifest and index."""
    evil = other_layer("airflow", 0o4755, tmp_path)
    diff_id = digest_of(sha256_bytes(b"".join(decompress(_Bytes(evil)))))
    archives.replace_layer(files, number, evil)
    archives.edit_config(files, lambda it: it["rootfs"]["diff_ids"].__setitem__(number, diff_id))


class _Bytes:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, size: int, /) -> bytes:
        piece, self._content = self._content[:size], self._content[size:]
        return piece


# --- the forms of images ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("rebuilds")
def test_a_layout_with_both_images_is_one_report(built: Built) -> None:
    folder = write_folder(built.files, built.folder / "copy")
    (report,) = built.verify(f"oci:{folder}")
    assert (report.reproducible, report.mismatches, report.rebuilt, report.manifest_equal) == (True, (), True, True)
    assert (report.release, report.platform, report.subject) == ("8.0.0", "linux/amd64", str(folder))
    assert report.expected_image_id == report.image_id == built.result.image_id
    assert built.result.image_base is not None
    assert report.expected_base_image_id == report.base_image_id == built.result.image_base.id
    assert [layer.name for layer in report.layers] == ["base-os", "python", "airflow", "providers", "files"]
    assert all(layer.equal for layer in report.layers)
    assert report.read is not None
    assert (report.read.files, report.read.size) == (len(built.files), sum(map(len, built.files.values())))
    text = describe_verification(report)
    assert text.startswith(f"8.0.0 for linux/amd64 in {folder}, rebuilt from nothing in ")
    assert f"\nread {len(built.files)} files, " in text
    assert "every digest, size and diff ID is right\n" in text
    assert text.endswith("\nreproducible")


@pytest.mark.usefixtures("rebuilds")
def test_an_oci_archive(built: Built) -> None:
    report = built.verify_files(full(built))
    assert (report.reproducible, report.manifest_equal) == (True, True)
    assert report.expected_base_image_id is None


@pytest.mark.usefixtures("rebuilds")
def test_the_image_without_triggers_alone(built: Built) -> None:
    report = built.verify_files(base(built))
    assert built.result.image_base is not None
    assert (report.reproducible, report.expected_image_id, report.manifest_equal) == (True, None, True)
    assert report.expected_base_image_id == built.result.image_base.id
    assert report.manifest_digest == report.expected_manifest_digest == built.result.image_base.manifest
    assert f"base config digest  {built.result.image_base.id} = expected" in describe_verification(report)


@pytest.mark.usefixtures("rebuilds")
def test_what_docker_saved_before_version_25_has_no_manifest(built: Built) -> None:
    report = built.verify_files(archives.saved_before_25(full(built)))
    assert (report.reproducible, report.manifest_equal, report.expected_manifest_digest) == (True, None, None)


@pytest.mark.usefixtures("rebuilds")
def test_an_image_in_docker(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    files = full(built)
    content = write_tar(files, built.folder / "image.tar").read_bytes()
    with docker(built.folder, monkeypatch) as daemon:
        options: dict[str, Any] = {"settings": on(daemon, settings(built.folder))}
        with pytest.raises(EngineError, match="has no image astro-runtime:8"):
            verify_image(built.workspace, "docker:astro-runtime:8", **options)
        daemon.saved["astro-runtime:8"] = content
        for identifier in (built.result.manifest_digest, built.result.image_id):  # containerd's store, the classic one
            daemon.images["astro-runtime:8"] = {"Id": identifier}
            (report,) = verify_image(built.workspace, "docker:astro-runtime:8", **options)
            assert (report.reproducible, report.subject) == (True, "docker:astro-runtime:8")
        daemon.images["astro-runtime:8"] = {"Id": "sha256:" + "1" * 64}
        (report,) = verify_image(built.workspace, "docker:astro-runtime:8", **options)
        assert (report.reproducible, report.rebuilt) == (False, False)
        (finding,) = report.mismatches
        assert finding.startswith("docker:astro-runtime:8: Docker's ID of the image is sha256:111")


@pytest.mark.usefixtures("rebuilds")
def test_another_compressor_gives_another_manifest_of_the_same_image(built: Built) -> None:
    files = full(built)
    for number, path in enumerate(archives.layer_paths(files)):
        plain = b"".join(decompress(_Bytes(files[path])))
        archives.replace_layer(files, number, COMPRESSORS["gzip"]().frame(plain))
        media_type = "application/vnd.oci.image.layer.v1.tar+gzip"
        archives.edit_manifest(files, lambda it, n=number, t=media_type: it["layers"][n].update(mediaType=t))  # type: ignore[misc]
    report = built.verify_files(files)
    assert (report.reproducible, report.manifest_equal) == (True, None)
    assert "not comparable: written by another compressor" in describe_verification(report)


# --- tampering -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tamper",
    [
        lambda files: files.update({archives.layer_paths(files)[2]: b"garbage"}),
        lambda files: files.pop(archives.layer_paths(files)[2]),
        lambda files: archives.replace_layer(files, 2, DEFAULT.frame(archives.layer_tar("a", mode=0o4755))),
        lambda files: archives.edit_manifest(files, lambda it: it["layers"].reverse()),
        lambda files: files.update({archives.config(files)[0]: b"{}"}),
        lambda files: files.update({"extra": b"x"}),
    ],
)
@pytest.mark.parametrize("rebuild", [True, False])
def test_an_image_that_is_not_what_it_says_is_not_reproducible(
    built: Built, tamper: Callable[[Files], object], rebuild: bool
) -> None:
    """Nothing is rebuilt: there is no engine here, so trying would be an error."""
    files = full(built)
    tamper(files)
    report = built.verify_files(files, rebuild=rebuild)
    assert (report.reproducible, report.rebuilt) == (False, False)
    assert report.read is not None
    assert report.mismatches == report.read.findings != ()
    text = describe_verification(report)
    assert "nothing was rebuilt" in text
    assert f"NOT REPRODUCIBLE:\n  {report.mismatches[0]}" in text


@pytest.mark.usefixtures("rebuilds")
@pytest.mark.parametrize("which", [full, base])
def test_an_evil_layer_with_right_digests_everywhere_is_named_with_its_files(
    built: Built, which: Callable[[Built], Files], tmp_path: Path
) -> None:
    files = which(built)
    put_evil_layer(files, 2, tmp_path)
    report = built.verify_files(files)
    assert (report.reproducible, report.rebuilt, report.manifest_equal) == (False, True, None)
    prefix = "base " if which is base else ""
    assert [line.partition(": ")[0] for line in report.mismatches] == [
        f"{prefix}layer airflow",
        f"{prefix}config digest",
        f"{prefix}layer airflow",
        f"{prefix}config digest",
    ]
    assert ["the lock records" in line for line in report.mismatches] == [True, True, False, False]
    assert ["rebuilt as" in line for line in report.mismatches] == [False, False, True, True]
    (changed,) = (layer for layer in report.layers if not layer.equal)
    assert changed.name == "airflow"
    assert [(found.path, found.what, found.before, found.after) for found in changed.differences] == [
        ("/airflow", "mode", "4755", "0644")
    ]


def test_without_a_rebuild_an_evil_layer_is_compared_with_the_recorded_one(built: Built, tmp_path: Path) -> None:
    files = full(built)
    put_evil_layer(files, 2, tmp_path)
    report = built.verify_files(files, rebuild=False)
    assert (report.reproducible, report.rebuilt) == (False, False)
    assert [line.partition(": ")[0] for line in report.mismatches] == ["layer airflow", "config digest"]
    (changed,) = (layer for layer in report.layers if not layer.equal)
    assert [(found.path, found.before, found.after) for found in changed.differences] == [("/airflow", "0644", "4755")]


@pytest.mark.usefixtures("rebuilds")
def test_another_setting_alone_is_not_reproducible(built: Built) -> None:
    files = full(built)
    archives.edit_config(files, lambda it: it["config"].update(Entrypoint=["/evil"]))
    report = built.verify_files(files)
    assert not report.reproducible
    assert [line.partition(": ")[0] for line in report.mismatches] == ["config digest", "config digest"]
    assert all(layer.equal for layer in report.layers)


@pytest.mark.usefixtures("rebuilds")
def test_another_manifest_over_the_same_config_and_layers_is_not_reproducible(built: Built) -> None:
    files = full(built)
    archives.edit_manifest(files, lambda it: it.update(annotations={"a": "b"}))
    report = built.verify_files(files)
    assert (report.reproducible, report.manifest_equal) == (False, False)
    (line,) = report.mismatches
    assert line.startswith("manifest digest: sha256:")
    assert line.endswith(f"rebuilt as {built.result.manifest_digest} over the same config and layers")


@pytest.mark.usefixtures("rebuilds")
def test_layers_on_top_of_a_release_are_not_the_release(built: Built, tmp_path: Path) -> None:
    """An image that somebody built from a release's image keeps its labels."""
    files = full(built)
    layer = other_layer("dags", 0o644, tmp_path)
    files[archives.blob(layer)] = layer
    plain = digest_of(sha256_bytes(b"".join(decompress(_Bytes(layer)))))
    described = archives.described(layer, "application/vnd.oci.image.layer.v1.tar+zstd")
    archives.edit_manifest(files, lambda it: it["layers"].append(described))
    archives.edit_config(
        files, lambda it: (it["rootfs"]["diff_ids"].append(plain), it["history"].append({"created_by": "COPY"}))
    )
    report = built.verify_files(files)
    assert not report.reproducible
    (extra,) = (layer for layer in report.layers if not layer.equal)
    assert (extra.name, extra.note) == ("layer 6", "was not built")
    assert report.mismatches[0] == f"layer layer 6: {plain} in the image, the lock records None"


# --- without rebuilding ----------------------------------------------------------------------------------------------


def test_without_a_rebuild_nothing_is_called_reproducible(built: Built) -> None:
    report = built.verify_files(built.files, rebuild=False)
    assert (report.reproducible, report.mismatches, report.rebuilt, report.manifest_equal) == (None, (), False, True)
    assert (report.image_id, report.manifest_digest, report.base_image_id) == (None, None, None)
    assert [layer.equal for layer in report.layers] == [True] * 5
    lines = describe_verification(report).splitlines()
    assert f"config digest       {built.result.image_id}" in lines
    assert lines[-1].startswith("nothing was rebuilt: ")


def test_a_lock_without_digests_has_nothing_to_compare_with(tmp_path: Path) -> None:
    workspace = files_workspace(tmp_path / "project")
    fill(workspace, Store.open(settings(tmp_path).store))
    build(workspace, "8.0", platform=AMD64, settings=settings(tmp_path), output=tmp_path / "image")
    (report,) = verify_image(workspace, tmp_path / "image", settings=settings(tmp_path), rebuild=False)
    assert (report.reproducible, report.layers) == (None, ())
    assert "runtime.lock/8.0.0/linux-amd64.toml records no digests to compare with" in describe_verification(report)


def test_of_a_release_the_images_in_the_store_are_read(built: Built) -> None:
    options: dict[str, Any] = {"platform": AMD64, "settings": settings(built.folder), "rebuild": False}
    report = verify(built.workspace, "8.0", **options)
    assert (report.reproducible, report.mismatches, report.expected_image_id) == (None, (), built.result.image_id)
    assert report.expected_base_image_id is not None
    layer = next(iter(archives.layer_paths(built.files)))
    blob = settings(built.folder).store / "layout" / layer
    blob.chmod(0o644)
    blob.write_bytes(b"damaged")
    report = verify(built.workspace, "8.0", **options)
    assert not report.reproducible
    assert report.mismatches[0].startswith(f"{layer}: damaged or swapped")


def test_a_release_that_is_not_in_the_store(built: Built) -> None:
    Store.open(built.folder / "elsewhere")
    with pytest.raises(StoreError, match=r"8\.0\.0 for linux/amd64 is not in ") as caught:
        verify(built.workspace, "8.0", platform=AMD64, settings=settings(built.folder, "elsewhere"), rebuild=False)
    assert caught.value.hint == "build it first: rtbuild build 8.0.0 --platform linux/amd64"


# --- which release, which platform -----------------------------------------------------------------------------------


def test_a_release_that_is_rebuilt_never_takes_layers_of_the_users_store(built: Built) -> None:
    """Every layer is in the user's store; the rebuild has no engine, so it must fail rather than take them."""
    with pytest.raises(EngineError):
        verify(built.workspace, "8.0", platform=AMD64, settings=settings(built.folder))
    with pytest.raises(EngineError):
        built.verify_files(full(built))


def test_the_release_is_that_of_the_label_then_of_the_tag(built: Built) -> None:
    files = full(built)
    archives.edit_index(files, lambda it: it["manifests"][0].pop("annotations"))
    archives.edit_config(files, lambda it: it["config"].pop("Labels", None))
    with pytest.raises(UsageError, match="is of no known release") as caught:
        built.verify_files(files, rebuild=False)
    assert caught.value.hint == "name its release with --release; known releases: 8.0.0"
    assert built.verify_files(files, rebuild=False, release="8.0").release == "8.0.0"
    archives.edit_config(files, lambda it: it["config"].update(Labels={"org.opencontainers.image.version": "8.0.0"}))
    assert built.verify_files(files, rebuild=False).release == "8.0.0"


def test_only_images_for_the_platform_are_compared(built: Built) -> None:
    from rtbuild.platform import PLATFORMS

    path = write_tar(built.files, built.folder / "image.tar")
    (report,) = built.verify(path, rebuild=False, platform=AMD64)
    assert report.platform == "linux/amd64"
    with pytest.raises(StoreError, match="no image is for linux/arm64"):
        built.verify(path, rebuild=False, platform=PLATFORMS["linux/arm64"])
    with pytest.raises(StoreError, match="no image is for linux/amd64"):
        verify(
            built.workspace, "8.0", platform=AMD64, settings=settings(built.folder), against=_none(built), rebuild=False
        )


def _none(built: Built) -> Path:
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": b'{"manifests": []}'}
    return write_tar(files, built.folder / "none.tar")


def test_two_images_of_a_release_are_two_reports(built: Built, tmp_path: Path) -> None:
    files, other = full(built), full(built)
    archives.edit_config(other, lambda it: it["config"].update(Entrypoint=["/other"]))
    entries = [*archives.index(files)["manifests"], *archives.index(other)["manifests"]]
    files |= {path: content for path, content in other.items() if path.startswith("blobs/")}
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    path = write_tar(files, tmp_path / "two.tar")
    reports = built.verify(path, rebuild=False)
    assert [report.reproducible for report in reports] == [None, False]
    with pytest.raises(UsageError, match="a report is of one release and platform"):
        built.verify(path, rebuild=False, report=tmp_path / "report")
    with pytest.raises(StoreError, match="more than one image is for linux/amd64"):
        verify(built.workspace, "8.0", platform=AMD64, settings=settings(tmp_path), against=path, rebuild=False)


def test_what_is_no_image(built: Built, tmp_path: Path) -> None:
    put(tmp_path / "text.tar", "x" * 2000)
    with pytest.raises(IntegrityError, match=r"text\.tar: cannot be read as an archive"):
        built.verify(tmp_path / "text.tar")
    with pytest.raises(UsageError, match="nowhere is neither a folder nor a file"):
        built.verify("oci:nowhere")
    with pytest.raises(StoreError, match="has no image"):
        built.verify(_none(built))


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("8.0", False),
        ("8.0.0", False),
        ("oci:x", True),
        ("docker:x", True),
        ("a/b", True),
        ("here", True),
        ("no", False),
    ],
)
def test_what_names_an_image_and_what_a_release(
    text: str, image: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("8.0", "here"):
        (tmp_path / name).mkdir()
    assert is_image(text) is image
