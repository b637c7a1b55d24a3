"""The store as a whole: shared by processes, cleaned, checked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.digest import DiffId, Digest, Key, Sha256, sha256_bytes
from rtbuild.errors import StoreError
from rtbuild.lockfile.model import Artifact
from rtbuild.progress import Silent
from rtbuild.store.collect import Roots
from rtbuild.store.realisation import Realisation
from rtbuild.store.store import Store
from tests.fakes.users import open_folder, somebody


class Notes(Silent):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)

    def wait(self) -> None:
        """Until there is one."""
        deadline = time.monotonic() + 60
        while not self.texts:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def realisation(layer: str = "airflow", blob: bytes = b"layer") -> Realisation:
    digest = Digest("sha256:" + sha256_bytes(blob))
    return Realisation(
        key=Key(sha256_bytes(layer.encode() + blob)),
        release="8.0.0",
        platform="linux/amd64",
        layer=layer,
        diff_id=DiffId(digest),
        size=10,
        blob=digest,
        blob_size=len(blob),
        media_type="application/vnd.oci.image.layer.v1.tar+zstd",
        compressor="zstd 1.5.7",
        inputs=(("package source", sha256_bytes(b"s")),),
    )


def put_artifact(store: Store, content: bytes) -> Artifact:
    artifact = Artifact(filename="a", path="a", size=len(content), sha256=sha256_bytes(content))
    with store.add_artifact(artifact) as partial:
        assert partial is not None
        partial.write(content)
        partial.commit()
    return artifact


def put_blob(store: Store, content: bytes) -> Digest:
    folder = store.layout / "blobs" / "sha256"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / sha256_bytes(content)).write_bytes(content)
    return Digest("sha256:" + sha256_bytes(content))


def test_a_realisation_survives_and_the_last_one_is_the_latest(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    first, second = realisation(blob=b"one"), realisation(blob=b"two")
    assert store.realisation(first.key) is None
    assert store.latest("8.0.0", "linux/amd64", "airflow") is None
    store.record(first)
    store.record(second)
    assert Store.open(tmp_path).realisation(first.key) == first
    assert store.latest("8.0.0", "linux/amd64", "airflow") == second
    assert store.latest("8.0.0", "linux/arm64", "airflow") is None


@pytest.mark.parametrize("damage", ["", "[]", '{"key": 1}', "cut"])
def test_a_damaged_realisation_counts_as_absent(tmp_path: Path, damage: str) -> None:
    store = Store.open(tmp_path)
    record = realisation()
    store.record(record)
    path = tmp_path / "realisations" / "by-key" / f"{record.key}.json"
    path.write_text(path.read_text()[:-20] if damage == "cut" else damage)
    assert store.latest("8.0.0", "linux/amd64", "airflow") is None
    assert store.realisation(record.key) is None
    assert not path.exists()


def test_a_realisation_under_another_key_is_not_believed(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    record, other = realisation(), realisation(blob=b"other")
    store.record(record)
    path = tmp_path / "realisations" / "by-key" / f"{record.key}.json"
    path.rename(path.with_name(f"{other.key}.json"))
    assert store.realisation(other.key) is None


def test_has_layer_asks_for_the_blob_and_its_size(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    record = realisation(blob=b"layer")
    assert not store.has_layer(record)
    put_blob(store, b"layer")
    assert store.has_layer(record)
    assert not store.has_layer(replace(record, blob_size=4))


def test_a_temporary_folder_goes_with_its_work(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    with store.temporary("layer") as folder:
        (folder / "deep" / "er").mkdir(parents=True)
        (folder / "deep" / "file").touch()
        (folder / "deep").chmod(0o500)
        Store.open(tmp_path)
        assert (folder / "deep").is_dir(), "another open leaves it alone"
    assert list((tmp_path / "tmp").iterdir()) == []
    with pytest.raises(ZeroDivisionError), store.temporary("layer"):
        raise ZeroDivisionError
    assert list((tmp_path / "tmp").iterdir()) == []


def test_exclusive_lets_one_in_and_says_that_it_waits(tmp_path: Path) -> None:
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
    assert notes.texts == ["waiting for another piece of work, which is busy with build 8.0.0 linux/amd64"]


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


def test_a_lock_goes_with_its_process_and_garbage_waits_for_it(tmp_path: Path) -> None:
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
        assert notes.texts == ["waiting until no other process uses the store"]
        process.send_signal(signal.SIGKILL)
    collected.join(60)
    assert not store.has_artifact(artifact)
    with store.exclusive("build", notes):
        pass
    assert len(notes.texts) == 1


def test_gc_keeps_what_locks_refer_to_and_nothing_else(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    kept, dropped = put_artifact(store, b"kept"), put_artifact(store, b"dropped")
    used, last, unused = realisation(blob=b"used"), realisation("python", b"last"), realisation(blob=b"unused")
    for record, blob in ((used, b"used"), (last, b"last"), (unused, b"unused")):
        store.record(record)
        put_blob(store, blob)
    config, layer = put_blob(store, b"{}"), put_blob(store, b"only in the image")
    manifest = put_blob(store, json.dumps({"config": {"digest": config}, "layers": [{"digest": layer}, 3]}).encode())
    old = put_blob(store, b'{"layers": []}')
    index = {"schemaVersion": 2, "manifests": [{"digest": manifest}, {"digest": old}]}
    (store.layout / "index.json").write_text(json.dumps(index))
    for name in ("aa.tar.zst", "aa.json", "bb.json", ".cc.tar.zst.123"):
        (store.trees / name).write_text("tree")
    keep = Roots(
        artifacts=frozenset({kept.sha256}),
        keys=frozenset({used.key}),
        manifests=frozenset({manifest}),
        layers=frozenset({("8.0.0", "linux/amd64", "python")}),
        trees=frozenset({"aa"}),
    )
    report = store.gc(lambda: keep)
    assert dict(report.removed) == {"artifact": 1, "blob": 2, "realisation": 1, "tree": 2}
    assert report.bytes > 0
    assert store.has_artifact(kept)
    assert not store.has_artifact(dropped)
    assert store.realisation(used.key) == used
    assert store.realisation(last.key) == last
    assert store.realisation(unused.key) is None
    left = {f"sha256:{path.name}" for path in (store.layout / "blobs" / "sha256").iterdir()}
    assert left == {used.blob, last.blob, config, layer, manifest}
    assert json.loads((store.layout / "index.json").read_text())["manifests"] == [{"digest": manifest}]
    assert sorted(path.name for path in store.trees.iterdir()) == ["aa.json", "aa.tar.zst"]
    assert store.gc(lambda: keep).removed == ()


def test_gc_asks_what_to_keep_when_nobody_else_is_at_work_any_more(tmp_path: Path) -> None:
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


def test_gc_removes_logs_and_cached_answers_that_are_old(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    answers = store.cache("pip") / "http" / "a"
    answers.mkdir(parents=True)
    for folder in (store.logs, answers):
        for name, days in (("old", 31), ("new", 29)):
            (folder / name).write_text("text")
            then = time.time() - days * 86400
            os.utime(folder / name, (then, then))
    read, long_ago = answers / "read", time.time() - 365 * 86400
    read.write_text("written long ago, read now")
    os.utime(read, (time.time(), long_ago))
    assert dict(store.gc(Roots).removed) == {"cached answer": 1, "log": 1}
    assert [path.name for path in store.logs.iterdir()] == ["new"]
    assert sorted(path.name for path in answers.iterdir()) == ["new", "read"]


def test_gc_without_a_word_on_trees_keeps_them(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    (store.trees / "aa.json").write_text("tree")
    store.gc(Roots)
    assert (store.trees / "aa.json").exists()


def test_verify_finds_names_and_removes_what_is_damaged(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    good, bad = put_artifact(store, b"good"), put_artifact(store, b"bad!")
    store.artifact_path(bad.sha256).chmod(0o644)
    store.artifact_path(bad.sha256).write_bytes(b"bad?")
    whole, cut = realisation("python", b"whole"), realisation("airflow", b"cut in half")
    for record, blob in ((whole, b"whole"), (cut, b"cut in half")):
        store.record(record)
        put_blob(store, blob)
    (store.layout / "blobs" / "sha256" / cut.blob.removeprefix("sha256:")).write_bytes(b"cut")
    for name, content in (("aa", b"wheel"), ("bb", b"whole"), ("cc", None)):
        if content is not None:
            (store.trees / f"{name * 32}.whl").write_bytes(content)
        (store.trees / f"{name * 32}.json").write_text(json.dumps({"sha256": sha256_bytes(b"wheel")}))
    report = store.verify()
    assert [path for path, _ in report.bad] == [
        f"artifacts/{bad.sha256}",
        f"layout/blobs/sha256/{cut.blob.removeprefix('sha256:')}",
        f"trees/{'bb' * 32}.whl",
        f"trees/{'cc' * 32}.json",
        f"realisations/by-key/{cut.key}.json",
    ]
    assert report.checked == 7
    assert store.has_artifact(good)
    assert not store.has_artifact(bad)
    assert store.realisation(cut.key) is None
    assert store.realisation(whole.key) == whole
    assert sorted(path.name for path in store.trees.iterdir()) == [f"{'aa' * 32}.json", f"{'aa' * 32}.whl"]
    assert store.verify().bad == ()


def test_du_counts_a_hard_link_once(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    artifact = put_artifact(store, b"x" * 100_000)
    before = store.du()["artifacts"]
    assert before >= 100_000
    os.link(store.artifact_path(artifact.sha256), tmp_path / "artifacts" / "again")
    assert store.du()["artifacts"] < before + 50_000


def test_a_place_that_cannot_be_a_store_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "store", tmp_path / "file"):
        with pytest.raises(StoreError, match=r"cannot use .*/file\S* as a store: Not a directory") as caught:
            Store.open(place)
        assert "choose another with --store" in (caught.value.hint or "")


def test_a_store_of_a_newer_rtbuild_is_refused(tmp_path: Path) -> None:
    Store.open(tmp_path)
    (tmp_path / "format").write_text("2\n")
    for look in (Store.open, Store.read_only):
        with pytest.raises(StoreError, match="a store of format '2', this rtbuild knows format 1") as caught:
            look(tmp_path)
        assert "use the newer rtbuild" in (caught.value.hint or "")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"not a store of rtbuild"])
def test_a_format_that_is_none_is_told(tmp_path: Path, content: bytes) -> None:
    Store.open(tmp_path)
    (tmp_path / "format").write_bytes(content)
    with pytest.raises(StoreError, match="says no format of a store") as caught:
        Store.open(tmp_path)
    assert "remove that file" in (caught.value.hint or "")
    (tmp_path / "format").unlink()
    Store.open(tmp_path)


def test_a_store_is_looked_at_where_nobody_may_write(tmp_path: Path) -> None:
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
        assert collected.returncode == 7, "it waits for who looks"


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


def test_a_store_that_is_not_there_is_looked_at_and_not_made(tmp_path: Path) -> None:
    store = Store.read_only(tmp_path / "store")
    assert store.realisation(realisation().key) is None
    assert sum(store.du().values()) == 0
    assert not store.root.exists()


def test_no_permission_is_told_with_a_hint(tmp_path: Path) -> None:
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
    assert "the store must be writable by you" in caught.value.hint
