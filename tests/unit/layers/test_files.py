"""Files layers: their bytes, and that building them needs neither an engine nor a network."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from rtbuild.digest import sha256_bytes
from rtbuild.errors import BuildError
from rtbuild.formats.frames import DEFAULT, decompress
from rtbuild.oci.layout import Layout, read_stored_image
from rtbuild.store.store import Store
from rtbuild.verbs.build import build
from rtbuild.workspace import Workspace
from tests.fakes.command_line import AMD64
from tests.fakes.files_release import files_workspace, fill, settings


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return files_workspace(tmp_path / "project")


def members(layout: Layout) -> dict[str, tarfile.TarInfo]:
    """Return the members of the top layer by name."""
    image = next(entry for entry in layout.read_index())
    blob = layout.blob_path(read_stored_image(layout, str(image.digest)).layers[-1].digest)
    with blob.open("rb") as file:
        content = b"".join(decompress(file, DEFAULT.compression))
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return {member.name: member for member in tar}


def test_files_are_built_without_an_engine(workspace: Workspace, tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    fill(workspace, Store.open(chosen.store))
    result = build(workspace, "8.0", platform=AMD64, settings=chosen)
    assert [(layer.name, layer.state) for layer in result.layers][-2:] == [("providers", "cached"), ("files", "built")]
    entries = members(Store.open(chosen.store).layout)
    # 2023-05-02, the release's as_of
    assert {entry.mtime for entry in entries.values()} == {1_682_985_600}
    assert [(entry.name, entry.mode, entry.uid, entry.gid, entry.linkname) for entry in entries.values()] == [
        ("srv", 0o775, 0, 7, ""),
        ("srv/link", 0o777, 0, 0, "script"),
        ("srv/pin.txt", 0o644, 0, 0, ""),
        ("srv/script", 0o755, 0, 0, ""),
    ]
    assert entries["srv/pin.txt"].size == len("apache-airflow==2.6.0")


def test_two_stores_get_the_same_image_and_a_second_build_reuses_it(workspace: Workspace, tmp_path: Path) -> None:
    results = []
    for name in ("first", "second"):
        chosen = settings(tmp_path, name)
        fill(workspace, Store.open(chosen.store))
        results.append(build(workspace, "8.0", platform=AMD64, settings=chosen))
    assert results[0].image_id == results[1].image_id
    again = build(workspace, "8.0", platform=AMD64, settings=settings(tmp_path, "first"))
    assert {layer.state for layer in again.layers} == {"cached"}
    assert again.image_id == results[0].image_id


def test_the_images_with_and_without_triggers_share_their_layers(workspace: Workspace, tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    store = Store.open(chosen.store)
    fill(workspace, store)
    build(workspace, "8.0", platform=AMD64, settings=chosen, record=True, rebuild=False)
    layout = store.layout
    entries = {dict(entry.annotations)["org.opencontainers.image.ref.name"]: entry for entry in layout.read_index()}
    assert set(entries) == {"8.0.0", "8.0.0-base"}
    full, base = (read_stored_image(layout, str(entries[tag].digest)) for tag in ("8.0.0", "8.0.0-base"))
    assert full.layers == base.layers
    assert full.id != base.id
    lock = workspace.read_lock("8.0.0", AMD64)
    assert lock.image is not None
    assert lock.image_base is not None
    assert (lock.image.id, lock.image_base.id) == (full.id, base.id)


def test_a_file_that_changes_during_the_build_is_named(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(tmp_path)
    fill(workspace, Store.open(chosen.store))
    script = workspace.root / "recipes/layers/files/script"
    assert sha256_bytes(b"#!/bin/sh\n") == sha256_bytes(script.read_bytes())
    recipe = workspace.release("8.0.0")
    script.write_text("#!/bin/bash\n")
    monkeypatch.setattr(Workspace, "release", lambda self, name: recipe)
    with pytest.raises(BuildError, match="script was changed during the build"):
        build(workspace, "8.0", platform=AMD64, settings=chosen)
