"""Assembling images, and listing them in the store's index, which several builds share."""

from __future__ import annotations

import threading
from pathlib import Path

from rtbuild.digest import digest_of, sha256_bytes
from rtbuild.layers.compose import Image, list_in_store
from rtbuild.oci.descriptor import MANIFEST, Descriptor
from rtbuild.oci.layout import Layout
from rtbuild.oci.names import named, names_of
from rtbuild.platform import PLATFORMS
from rtbuild.progress import Silent
from rtbuild.store.store import Store

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
    layout = Layout.create(store.layout)
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
    layout = Layout.create(store.layout)
    for _ in range(2):
        list_in_store(store, [image("8.0.0"), image("8.0.0-base")], "runtime", AMD64, Silent())
    assert len(layout.read_index()) == 2
