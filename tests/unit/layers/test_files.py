"""Files layers: their bytes, and that building them needs neither an engine nor a network."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from rtbuild.derivations.plan import plan_release
from rtbuild.digest import sha256_bytes
from rtbuild.errors import BuildError
from rtbuild.formats.frames import DEFAULT, decompress
from rtbuild.formats.tar_entry import Entry
from rtbuild.lockfile.read import write_lock
from rtbuild.oci.layer import LayerWriter
from rtbuild.oci.layout import Layout, read_stored_image
from rtbuild.platform import PLATFORMS
from rtbuild.settings import Settings
from rtbuild.store.realisation import Realisation
from rtbuild.store.store import Store
from rtbuild.verbs.build import build
from rtbuild.workspace import Workspace
from tests.fakes import locks
from tests.fakes.workspaces import RELEASE, put, write_workspace

AMD64 = PLATFORMS["linux/amd64"]
FILES = """
kind = "files"
title = "Files"

[[directories]]
path = "/srv"
mode = "0775"
gid = 7

[[files]]
path = "/srv/script"
source = "script"
mode = "0755"

[[files]]
path = "/srv/pin.txt"
content = "apache-airflow=={airflow}"

[[links]]
path = "/srv/link"
to = "script"

[image]
on_build = ["USER root"]
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with a files layer on top of the other layers."""
    root = write_workspace(tmp_path / "project", release=RELEASE.replace('"providers"]', '"providers", "files"]'))
    put(root / "recipes/layers/files.toml", FILES)
    put(root / "recipes/layers/files/script", "#!/bin/sh\n")
    workspace = Workspace.find(root)
    recipe = workspace.release("8.0.0")
    versions = (("apache-airflow", "2.6.0", "airflow"), ("pip", "23.1.2", "airflow"))
    providers = ("apache-airflow-providers-http", "4.3.0"), ("apache-airflow-providers-amazon", "8.0.0")
    write_lock(
        workspace.lock_path("8.0.0", AMD64),
        locks.lock(
            inputs=recipe.inputs,
            debs=(
                locks.deb("apt"),
                locks.deb("tini"),
                locks.deb("python3.9", layer="python"),
                locks.deb("python3.9-minimal", layer="python"),
            ),
            pythons=(
                *(locks.wheel(name, version, layer=layer) for name, version, layer in versions),
                *(locks.wheel(name, version) for name, version in (*providers, ("astro-sdk-python", "1.5.3"))),
            ),
            layers=(),
            image=None,
        ),
    )
    return workspace


def fill(workspace: Workspace, store: Store) -> None:
    """Put every layer except the files layer into the store, as an earlier build would."""
    layout = Layout.create(store.layout.root)
    recipe = workspace.release("8.0.0")
    lock = workspace.read_lock("8.0.0", AMD64)
    for name in ("base-os", "python", "airflow", "providers"):
        with LayerWriter(layout, compressor=DEFAULT) as writer:
            writer.add(Entry(path=name))
            digest = writer.finish()
        planned = next(layer for layer in plan_release(recipe, lock, store).layers if layer.name == name)
        assert planned.derivation is not None
        store.record(
            Realisation(
                key=planned.derivation.key,
                release="8.0.0",
                platform="linux/amd64",
                layer=name,
                diff_id=digest.diff_id,
                size=digest.size,
                blob=digest.blob,
                blob_size=digest.blob_size,
                media_type=digest.media_type,
                compressor=digest.compressor,
                inputs=planned.derivation.inputs,
            )
        )


def settings(tmp_path: Path, store: str = "store") -> Settings:
    """Return settings with which no engine can be reached or started."""
    return Settings(store=tmp_path / store, engine_dir=tmp_path / "engine", docker_host="unix:///nowhere/docker.sock")


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
    build(workspace, "8.0", platform=AMD64, settings=chosen, record=True)
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
