"""The `verify` verb: what it takes from the user's store, what it compares, and what its report says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.digest import sha256_bytes
from rtbuild.errors import LockError, UsageError
from rtbuild.lockfile.model import Artifact
from rtbuild.lockfile.read import write_lock
from rtbuild.store.store import Store
from rtbuild.verbs.build import build
from rtbuild.verbs.verify import lend_artifacts, verify
from rtbuild.workspace import Workspace
from tests.fakes.command_line import AMD64
from tests.fakes.files_release import files_workspace, fill, let_verify_rebuild, settings


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
    recorded = build(workspace, "8.0", platform=AMD64, settings=settings(tmp_path), record=True, rebuild=False)
    let_verify_rebuild(monkeypatch, workspace)
    report = verify(workspace, "8.0", platform=AMD64, settings=settings(tmp_path))
    assert (report.reproducible, report.mismatches, report.manifest_equal) == (True, (), True)
    assert report.image_id == report.expected_image_id == recorded.image_id
    assert report.base_image_id == report.expected_base_image_id is not None
    assert [layer.name for layer in report.layers] == ["base-os", "python", "airflow", "providers", "files"]
    assert all(layer.equal for layer in report.layers)


def test_files_that_differ_are_named(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(workspace, Store.open(settings(tmp_path).store))
    build(workspace, "8.0", platform=AMD64, settings=settings(tmp_path), record=True, rebuild=False)
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
    build(workspace, "8.0", platform=AMD64, settings=settings(tmp_path, "elsewhere"), record=True, rebuild=False)
    let_verify_rebuild(monkeypatch, workspace, {"airflow": "other"})
    report = verify(workspace, "8.0", platform=AMD64, settings=settings(tmp_path))
    (changed,) = (layer for layer in report.layers if not layer.equal)
    assert (changed.differences, changed.note) == (
        (),
        "the recorded layer is not in the store, so its files cannot be compared",
    )


def test_an_image_layout_is_read_and_compared_with(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(workspace, Store.open(settings(tmp_path).store))
    build(workspace, "8.0", platform=AMD64, settings=settings(tmp_path), output=tmp_path / "image")
    let_verify_rebuild(monkeypatch, workspace)
    same = verify(workspace, "8.0", platform=AMD64, settings=settings(tmp_path), against=tmp_path / "image")
    assert (same.reproducible, same.manifest_equal, same.expected_base_image_id) == (True, True, same.base_image_id)
    let_verify_rebuild(monkeypatch, workspace, {"providers": "other"})
    other = verify(workspace, "8.0", platform=AMD64, settings=settings(tmp_path), against=tmp_path / "image")
    # A layout does not say which compressor wrote it.
    assert (other.reproducible, other.manifest_equal) == (False, None)
    assert [mismatch.partition(": ")[0] for mismatch in other.mismatches] == [
        "layer providers",
        "config digest",
        "base layer providers",
        "base config digest",
    ]
    assert [difference.path for difference in other.layers[3].differences] == ["/other", "/providers"]


def test_layers_that_only_one_image_has_are_named(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(workspace, Store.open(settings(tmp_path).store))
    built = build(workspace, "8.0", platform=AMD64, settings=settings(tmp_path), record=True, rebuild=False)
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


def test_what_is_compared_with_must_be_there(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="image is neither a folder nor a file"):
        verify(workspace, "8.0", platform=AMD64, settings=settings(tmp_path), against=tmp_path / "image")
