"""The store as a whole: layers in it, and processes that share it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rtbuild.digest import Sha256
from rtbuild.errors import StoreError
from rtbuild.progress import Silent
from rtbuild.store.collect import Roots
from rtbuild.store.realisation import Realisation
from rtbuild.store.store import Store
from tests.fakes.store_content import Notes, put_artifact, put_blob, realisation
from tests.fakes.users import open_folder, somebody

CONTENT = b"the bytes of a layer"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


@pytest.fixture
def layer(store: Store) -> Realisation:
    """A layer that the store holds."""
    put_blob(store, CONTENT)
    return realisation(blob=CONTENT)


def test_an_intact_layer_verifies(store: Store, layer: Realisation) -> None:
    assert store.has_layer(layer)
    assert store.verify_layer(layer)
    assert store.layout.blob_path(layer.blob).read_bytes() == CONTENT


def test_a_layer_with_one_wrong_byte_is_removed(store: Store, layer: Realisation) -> None:
    path = store.layout.blob_path(layer.blob)
    path.write_bytes(CONTENT.replace(b"layer", b"lawyr"))
    assert store.has_layer(layer)  # the size is right
    assert not store.verify_layer(layer)
    assert not store.has_layer(layer)
    assert not path.exists()


@pytest.mark.parametrize("length", [0, 1, len(CONTENT) - 1])
def test_a_truncated_layer_is_not_there(store: Store, layer: Realisation, length: int) -> None:
    store.layout.blob_path(layer.blob).write_bytes(CONTENT[:length])
    assert not store.has_layer(layer)
    assert not store.verify_layer(layer)


def test_a_missing_layer_does_not_verify(store: Store) -> None:
    missing = realisation(blob=b"another layer")
    assert not store.has_layer(missing)
    assert not store.verify_layer(missing)


def test_opening_removes_what_killed_processes_left(store: Store, layer: Realisation) -> None:
    blob = store.layout.blob_path(layer.blob)
    left = [store.trees / ".0000.tar.zst.0123456789ab", blob.with_name(".new-0123456789ab")]
    for path in left:
        path.touch()
    Store.open(store.root)
    assert [path.exists() for path in (*left, blob)] == [False, False, True]


def test_exclusive_lets_one_in_and_notes_that_it_waits(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    notes, order = Notes(), []

    def second() -> None:
        with store.exclusive("build 8.0.0 linux/amd64", notes):
            order.append("second")

    with store.exclusive("build 8.0.0 linux/amd64", Silent()), store.exclusive("another", Silent()):
        thread = threading.Thread(target=second)
        thread.start()
        notes.wait()
        order.append("first")
    thread.join(60)
    assert order == ["first", "second"]
    assert notes.texts == ["waiting for another task (build 8.0.0 linux/amd64)"]


HOLDER = """
import sys, time
from pathlib import Path
from rtbuild.progress import Silent
from rtbuild.store.store import Store
store = Store.open(Path(sys.argv[1]))
with store.exclusive("build", Silent()):
    print("ready", flush=True)
    time.sleep(60)
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def holder(root: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(root)], stdout=subprocess.PIPE, env=environment())
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def test_gc_waits_for_other_processes_and_locks_end_with_theirs(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    artifact = put_artifact(store, b"unused")
    notes = Notes()
    with holder(tmp_path) as process:
        collected = threading.Thread(target=lambda: store.gc(Roots, notes))
        collected.start()
        notes.wait()
        collected.join(0.3)
        assert collected.is_alive()
        assert store.has_artifact(artifact)
        assert notes.texts == ["waiting for other processes that use the store"]
        process.send_signal(signal.SIGKILL)
    collected.join(60)
    assert not store.has_artifact(artifact)
    with store.exclusive("build", notes):
        pass
    assert len(notes.texts) == 1


def test_gc_asks_for_the_roots_once_it_is_alone(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    built = put_artifact(store, b"what a build that still runs is about to record")
    notes = Notes()
    recorded: set[Sha256] = set()
    with holder(tmp_path) as process:
        collected = threading.Thread(target=lambda: store.gc(lambda: Roots(artifacts=frozenset(recorded)), notes))
        collected.start()
        notes.wait()
        recorded.add(built.sha256)
        process.send_signal(signal.SIGKILL)
    collected.join(60)
    assert not collected.is_alive()
    assert store.has_artifact(built)


def test_a_path_that_cannot_be_a_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "store", tmp_path / "file"):
        with pytest.raises(StoreError, match=r"cannot use .*/file\S* as a store: Not a directory") as caught:
            Store.open(place)
        assert "choose a folder that only rtbuild uses, with --store" in (caught.value.hint or "")


def test_a_store_of_a_newer_rtbuild_is_refused(tmp_path: Path) -> None:
    Store.open(tmp_path)
    (tmp_path / "format").write_text("2\n")
    for look in (Store.open, Store.read_only):
        with pytest.raises(StoreError, match="the store has format 2, but this rtbuild supports format 1") as caught:
            look(tmp_path)
        assert "use the newer rtbuild" in (caught.value.hint or "")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"not a store of rtbuild"])
def test_a_malformed_format_is_refused(tmp_path: Path, content: bytes) -> None:
    Store.open(tmp_path)
    (tmp_path / "format").write_bytes(content)
    with pytest.raises(StoreError, match="does not contain the format of a store") as caught:
        Store.open(tmp_path)
    assert "write 1 into it if the folder is an rtbuild store" in (caught.value.hint or "")
    (tmp_path / "format").write_text("1")
    Store.open(tmp_path)


@pytest.mark.parametrize("name", ["tmp/notes", "logs/year.log", "cache/x/y", "artifacts/plan.pdf", "README"])
@pytest.mark.parametrize("look", [Store.open, Store.existing, Store.read_only])
def test_a_folder_with_anything_else_is_refused_and_stays_as_it_is(
    tmp_path: Path, look: Callable[[Path], Store], name: str
) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StoreError, match="is not a store: it holds other files") as caught:
        look(tmp_path)
    assert caught.value.details == f"no file `format`, but {Path(name).parts[0]}"
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_folder_becomes_a_store_even_if_a_process_was_killed_in_it(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / ".format.0123456789ab").touch()
    assert Store.read_only(tmp_path).du()["artifacts"] == 0
    assert not (tmp_path / "artifacts").exists()
    Store.open(tmp_path)
    assert Store.open(tmp_path).root == tmp_path


def test_many_processes_may_make_one_store(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for number in range(20):
            roots = list(pool.map(lambda _, place=tmp_path / str(number): Store.open(place).root, range(8)))
            assert set(roots) == {tmp_path / str(number)}


def test_only_open_makes_a_store(tmp_path: Path) -> None:
    for place in (tmp_path / "none", tmp_path):
        with pytest.raises(StoreError, match=f"there is no store in {place}"):
            Store.existing(place)
    assert list(tmp_path.iterdir()) == []
    Store.open(tmp_path)
    assert Store.existing(tmp_path).root == tmp_path


def test_a_read_only_store_can_be_read(tmp_path: Path) -> None:
    with open_folder() as folder:
        record = realisation(blob=b"layer")
        store = Store.open(folder / "store")
        store.record(record)
        put_blob(store, b"layer")
        del store
        with somebody():
            store = Store.read_only(folder / "store")
            assert store.realisation(record.key) == record
            assert store.has_layer(record)
            assert store.du()["layers and images"] > 0
        collected = subprocess.run(  # in another process, as the lease is one for all of this one
            [sys.executable, "-c", COLLECTOR, str(folder / "store")], env=environment(), check=False
        )
        assert collected.returncode == 7, "it waits for readers"


COLLECTOR = """
import os, sys
from pathlib import Path
from rtbuild.progress import Silent
from rtbuild.store.collect import Roots
from rtbuild.store.store import Store
class Notes(Silent):
    def note(self, text):
        os._exit(7)
Store.open(Path(sys.argv[1])).gc(Roots, Notes())
"""


def test_reading_a_missing_store_does_not_create_it(tmp_path: Path) -> None:
    store = Store.read_only(tmp_path / "store")
    assert store.realisation(realisation().key) is None
    assert sum(store.du().values()) == 0
    assert not store.root.exists()


def test_missing_permissions_have_a_hint(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    user = os.geteuid()
    if user == 0:  # root may write anywhere
        os.seteuid(65534)
    try:
        with pytest.raises(StoreError, match=r"cannot use .* as a store: Permission denied") as caught:
            Store.open(tmp_path / "store")
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o700)
    assert caught.value.hint is not None
    assert "make the store writable" in caught.value.hint
