"""The `verify` verb: what it takes from the user's store, what it compares, and what its report says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.digest import DiffId, Digest, sha256_bytes
from rtbuild.errors import LockError, StoreError, UsageError
from rtbuild.lockfile.model import Artifact
from rtbuild.lockfile.read import write_lock
from rtbuild.oci.compare import Difference
from rtbuild.store.store import Store
from rtbuild.verbs.build import build
from rtbuild.verbs.verify import (
    VerifiedLayer,
    VerifyReport,
    describe_verification,
    lend_artifacts,
    verify,
    write_report,
)
from rtbuild.workspace import Workspace
from tests.fakes.command_line import AMD64
from tests.fakes.files_release import files_workspace, fill, let_verify_rebuild, settings

SAME = VerifiedLayer(name="base-os", expected=DiffId(Digest("sha256:1")), found=DiffId(Digest("sha256:1")))
OTHER = VerifiedLayer(
    name="python",
    expected=DiffId(Digest("sha256:2")),
    found=DiffId(Digest("sha256:3")),
    differences=tuple(
        Difference(path=f"/etc/{number}", what="mode", before="0644", after="0600") for number in range(30)
    ),
)
REPORT = VerifyReport(
    release="8.0.0",
    platform="linux/amd64",
    reproducible=False,
    mismatches=("layer python: sha256:3, expected sha256:2",),
    expected_image_id=Digest("sha256:a"),
    image_id=Digest("sha256:b"),
    expected_manifest_digest=Digest("sha256:c"),
    manifest_digest=Digest("sha256:d"),
    manifest_equal=None,
    expected_base_image_id=Digest("sha256:e"),
    base_image_id=Digest("sha256:e"),
    layers=(SAME, OTHER),
    seconds=1.0,
)


def test_differences_are_named_by_file_and_cut_with_a_count() -> None:
    text = describe_verification(REPORT)
    assert "  DIFFERS python  sha256:3\n          expected sha256:2\n          /etc/0  mode: 0644 -> 0600\n" in text
    assert "/etc/19 " in text
    assert "/etc/20 " not in text
    assert "and 10 more" in text
    assert text.endswith("NOT REPRODUCIBLE:\n  layer python: sha256:3, expected sha256:2")


def test_an_equal_rebuild_says_so() -> None:
    same = replace(
        REPORT,
        reproducible=True,
        mismatches=(),
        image_id=Digest("sha256:a"),
        manifest_digest=Digest("sha256:c"),
        layers=(SAME,),
    )
    text = describe_verification(same)
    assert "image ID         sha256:a = expected" in text
    assert "base image ID    sha256:e = expected" in text
    assert text.endswith("\nreproducible")


def test_the_report_folder_has_every_difference_and_the_layers(tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_bytes(b"\x28\xb5\x2f\xfd")
    write_report(REPORT, tmp_path / "report", {"python": blob})
    assert "/etc/29 " in (tmp_path / "report" / "report.txt").read_text()
    found = json.loads((tmp_path / "report" / "report.json").read_text())
    assert found["reproducible"] is False
    assert len(found["layers"][1]["differences"]) == 30
    assert (tmp_path / "report" / "python.tar.zst").read_bytes() == blob.read_bytes()


def test_what_the_store_has_is_lent_and_the_rest_left_to_be_fetched(tmp_path: Path) -> None:
    store, fresh = Store.open(tmp_path / "store"), Store.open(tmp_path / "fresh")
    there, absent = (
        Artifact(filename=name, path=name, size=len(name), sha256=sha256_bytes(name.encode())) for name in ("a", "b")
    )
    with store.add_artifact(there) as partial:
        assert partial is not None
        partial.write(b"a")
        partial.commit()
    lend_artifacts([there, absent], store, fresh)
    assert fresh.verify_artifact(there)
    assert not fresh.has_artifact(absent)


# --- rebuilding ------------------------------------------------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return files_workspace(tmp_path / "project")


def test_a_rebuild_with_the_same_bytes_is_reproducible(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(workspace, Store.open(settings(tmp_path).store))
    recorded = build(workspace, "8.0", platform=AMD64, settings=settings(tmp_path), record=True)
    let_verify_rebuild(monkeypatch, workspace)
    report = verify(workspace, "8.0", platform=AMD64, settings=settings(tmp_path))
    assert (report.reproducible, report.mismatches, report.manifest_equal) == (True, (), True)
    assert report.image_id == report.expected_image_id == recorded.image_id
    assert report.base_image_id == report.expected_base_image_id is not None
    assert [layer.name for layer in report.layers] == ["base-os", "python", "airflow", "providers", "files"]
    assert all(layer.equal for layer in report.layers)


def test_files_that_differ_are_named(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(workspace, Store.open(settings(tmp_path).store))
    build(workspace, "8.0", platform=AMD64, settings=settings(tmp_path), record=True)
    let_verify_rebuild(monkeypatch, workspace, {"airflow": "other"})
    report = verify(workspace, "8.0", platform=AMD64, settings=settings(tmp_path), report=tmp_path / "report")
    assert not report.reproducible
    (changed,) = (layer for layer in report.layers if not layer.equal)
    assert changed.name == "airflow"
    assert [(difference.path, difference.what) for difference in changed.differences] == [
        ("/airflow", "missing"),
        ("/other", "added"),
    ]
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "report.txt",
        "report.json",
        "airflow.tar.zst",
    }


def test_without_the_recorded_layer_its_files_cannot_be_compared(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(workspace, Store.open(settings(tmp_path, "elsewhere").store))
    build(workspace, "8.0", platform=AMD64, settings=settings(tmp_path, "elsewhere"), record=True)
    let_verify_rebuild(monkeypatch, workspace, {"airflow": "other"})
    report = verify(workspace, "8.0", platform=AMD64, settings=settings(tmp_path))
    (changed,) = (layer for layer in report.layers if not layer.equal)
    assert (changed.differences, changed.note) == (
        (),
        "the recorded layer is not in the store, so its files cannot be compared",
    )


def test_an_image_layout_is_compared_with_instead_of_the_lock(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(workspace, Store.open(settings(tmp_path).store))
    build(workspace, "8.0", platform=AMD64, settings=settings(tmp_path), output=tmp_path / "image")
    let_verify_rebuild(monkeypatch, workspace)
    same = verify(workspace, "8.0", platform=AMD64, settings=settings(tmp_path), against=tmp_path / "image")
    assert (same.reproducible, same.manifest_equal, same.expected_base_image_id) == (True, True, None)
    let_verify_rebuild(monkeypatch, workspace, {"providers": "other"})
    other = verify(workspace, "8.0", platform=AMD64, settings=settings(tmp_path), against=tmp_path / "image")
    # A layout does not say which compressor wrote it.
    assert (other.reproducible, other.manifest_equal) == (False, None)
    assert [mismatch.partition(": ")[0] for mismatch in other.mismatches] == ["layer providers", "image ID"]
    assert [difference.path for difference in other.layers[3].differences] == ["/other", "/providers"]


def test_layers_that_only_one_image_has_are_named(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(workspace, Store.open(settings(tmp_path).store))
    built = build(workspace, "8.0", platform=AMD64, settings=settings(tmp_path), record=True)
    recorded = workspace.read_lock("8.0.0", AMD64)
    *below, files = recorded.layers
    renamed = replace(recorded, layers=(*below, replace(files, name="scripts")))
    write_lock(workspace.lock_path("8.0.0", AMD64), renamed)
    let_verify_rebuild(monkeypatch, workspace)
    report = verify(workspace, "8.0", platform=AMD64, settings=settings(tmp_path))
    assert [(layer.name, layer.note) for layer in report.layers if not layer.equal] == [
        ("files", "is not expected"),
        ("scripts", "was not built"),
    ]
    assert report.image_id == built.image_id
    assert not report.reproducible


def test_a_lock_without_digests_cannot_be_verified(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(LockError, match="records no digests to verify") as caught:
        verify(workspace, "8.0", platform=AMD64, settings=settings(tmp_path))
    assert caught.value.hint == "build it first: rtbuild build 8.0.0 --record"


def test_what_is_compared_with_must_be_a_folder(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="image is not a folder"):
        verify(workspace, "8.0", platform=AMD64, settings=settings(tmp_path), against=tmp_path / "image")


def test_a_report_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write the report into"):
        write_report(REPORT, tmp_path / "file" / "report", {})
