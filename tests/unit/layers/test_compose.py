"""Assembling images, and listing them in the store's index, which several builds share."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.digest import digest_of, sha256_bytes
from rtbuild.layers.compose import Image, compose_images, list_in_store
from rtbuild.oci.descriptor import MANIFEST, Descriptor
from rtbuild.oci.layout import Layout, image_of, read_stored_image
from rtbuild.oci.names import named, names_of
from rtbuild.platform import PLATFORMS
from rtbuild.progress import Silent
from rtbuild.recipe.model import ImageSettings
from rtbuild.store.realisation import Realisation
from rtbuild.store.store import Store
from tests.fakes import four_layers, layers, locks, releases

AMD64 = PLATFORMS["linux/amd64"]


def image(tag: str) -> Image:
    digest = digest_of(sha256_bytes(tag.encode()))
    return Image(tag=tag, id=digest, manifest=Descriptor(media_type=MANIFEST, digest=digest, size=1))


def tags(layout: Layout) -> set[str]:
    return {names_of(entry)[-1].rpartition(":")[2] for entry in layout.read_index()}


class Waits(Silent):
    """A progress listener that knows when the work waits for another process."""

    def __init__(self) -> None:
        self.happened = threading.Event()

    def note(self, text: str) -> None:
        self.happened.set()


def test_a_second_build_waits_for_the_index_and_no_entry_is_lost(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    layout = Layout.create(store.layout.root)
    waits = Waits()

    def second() -> None:
        list_in_store(store, [image("8.1.0")], "runtime", AMD64, waits)
        waits.happened.set()

    # The first build, stopped between reading and writing the index.
    with store.exclusive("the index of images", Silent()):
        before = layout.read_index()
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.happened.wait(60)
        layout.write_index((*before, *named(image("8.0.0").manifest, ["runtime:8.0.0"])))
    thread.join(60)
    assert tags(layout) == {"8.0.0", "8.1.0"}


def test_an_image_replaces_the_older_one(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    layout = Layout.create(store.layout.root)
    for _ in range(2):
        list_in_store(store, [image("8.0.0"), image("8.0.0-base")], "runtime", AMD64, Silent())
    assert len(layout.read_index()) == 2


@pytest.mark.parametrize("content", ["", "{}", '{"manifests": 1}'])
def test_a_damaged_index_stops_no_build(tmp_path: Path, content: str) -> None:
    store = Store.open(tmp_path)
    layout = Layout.create(store.layout.root)
    (layout.root / "index.json").write_text(content)
    waits = Waits()
    list_in_store(store, [image("8.0.0")], "runtime", AMD64, waits)
    assert waits.happened.is_set(), "it is said"
    assert tags(layout) == {"8.0.0"}


def realisation(layout: Layout) -> Realisation:
    """Put a layer into the layout and return its record."""
    content = layers.raw_layer(layers.file("etc/motd"))
    blob = layout.put_blob(content, "application/vnd.oci.image.layer.v1.tar")
    record = four_layers.realised(four_layers.release(), locks.lock(), four_layers.BASE, four_layers.output("b"))
    return replace(record, blob=blob.digest, blob_size=blob.size, media_type=blob.media_type)


def test_an_image_has_the_layers_and_the_settings_of_its_release(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path)
    record = realisation(layout)
    release = releases.release(image=ImageSettings(user="astro"))
    (composed,) = compose_images(release, locks.lock(), [record], layout)
    assert composed.tag == "8.0.0"
    assert composed.reference("runtime") == "runtime:8.0.0"
    stored = image_of(layout, composed.manifest)
    assert stored.id == composed.id
    assert [layer.digest for layer in stored.layers] == [record.blob]
    assert stored.diff_ids == (record.diff_id,)
    assert stored.platform[:2] == ("linux", "amd64")
    result = composed.result("zstd 1")
    assert (result.id, result.manifest, result.compressor) == (composed.id, composed.manifest.digest, "zstd 1")


def test_triggers_give_a_second_image_without_them(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path)
    record = realisation(layout)
    triggers = releases.release(image=ImageSettings(on_build=("USER root",)))
    full, base = compose_images(triggers, locks.lock(), [record], layout)
    (plain,) = compose_images(releases.release(), locks.lock(), [record], layout)
    assert (full.tag, base.tag) == ("8.0.0", "8.0.0-base")
    assert full.id != base.id == plain.id


def test_an_image_can_be_copied_to_another_layout(tmp_path: Path) -> None:
    layout = Layout.create(tmp_path / "store")
    (composed,) = compose_images(releases.release(), locks.lock(), [realisation(layout)], layout)
    composed.copy_to(layout, tmp_path / "copy", "runtime")
    assert read_stored_image(Layout.open(tmp_path / "copy"), "runtime:8.0.0").id == composed.id
