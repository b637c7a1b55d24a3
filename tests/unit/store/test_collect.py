"""Garbage collection."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.digest import DiffId, Digest, Key, Sha256
from rtbuild.lockfile.model import ImageResult, LayerResult
from rtbuild.oci.layout import Layout
from rtbuild.store.collect import Roots, occupied
from rtbuild.store.store import Store
from tests.fakes import locks
from tests.fakes.engine_packages import engine_packages
from tests.fakes.store_content import put_artifact, put_blob, realisation


def test_gc_keeps_what_the_roots_refer_to_and_nothing_else(tmp_path: Path) -> None:
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
    (store.layout.root / "index.json").write_text(json.dumps(index))
    for name in ("aa.tar.zst", "aa.json", "bb.json", ".cc.tar.zst.123"):
        (store.trees / name).write_text("tree")
    roots = Roots(
        artifacts=frozenset({kept.sha256}),
        keys=frozenset({used.key}),
        manifests=frozenset({manifest}),
        layers=frozenset({("8.0.0", "linux/amd64", "python")}),
        trees=frozenset({"aa"}),
    )
    report = store.gc(lambda: roots)
    assert dict(report.removed) == {"artifact": 1, "blob": 2, "realisation": 1, "tree": 2}
    assert report.bytes > 0
    assert store.has_artifact(kept)
    assert not store.has_artifact(dropped)
    assert store.realisation(used.key) == used
    assert store.realisation(last.key) == last
    assert store.realisation(unused.key) is None
    wanted = {store.layout.blob_path(digest) for digest in (used.blob, last.blob, config, layer, manifest)}
    assert set(store.layout.blob_files()) == wanted
    assert json.loads((store.layout.root / "index.json").read_text())["manifests"] == [{"digest": manifest}]
    assert sorted(path.name for path in store.trees.iterdir()) == ["aa.json", "aa.tar.zst"]
    assert store.gc(lambda: roots).removed == ()


def test_locks_keep_every_artifact_layer_and_image(tmp_path: Path) -> None:
    image = ImageResult(id=Digest("sha256:1"), manifest=Digest("sha256:2"), compressor="zstd 1")
    base = replace(image, manifest=Digest("sha256:3"))
    layer = LayerResult(name="base-os", key=Key("k"), diff_id=DiffId(Digest("sha256:4")), size=1)
    build = replace(locks.wheel("setuptools", "68.0.0"), sha256=Sha256("c0de" * 16))
    lock = locks.lock(
        debs=(locks.deb("apt"),),
        pythons=(locks.wheel("pip", "23.1.2"),),
        build_pythons=(build,),
        layers=(layer,),
        image=image,
        image_base=base,
    )
    engine, _ = engine_packages(tmp_path, "exit 0")
    roots = Roots.of_locks([lock], [engine])
    artifacts = (*lock.debs, *lock.pythons, build, *engine.debs)
    assert roots.artifacts == {artifact.sha256 for artifact in artifacts}
    assert roots.keys == {layer.key}
    assert roots.manifests == {image.manifest, base.manifest}
    assert roots.layers == {(lock.release, lock.platform.name, "base-os")}


def test_an_index_of_manifests_keeps_each_of_them(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    layer = put_blob(store, b"layer")
    inner = put_blob(store, json.dumps({"layers": [{"digest": layer}]}).encode())
    entries = [{"digest": inner}, {"digest": inner}, {"digest": "md5:1"}, {}]
    outer = put_blob(store, json.dumps({"manifests": entries}).encode())
    assert store.gc(lambda: Roots(manifests=frozenset({outer}))).removed == ()
    assert len(store.layout.blob_files()) == 3


@pytest.mark.parametrize("content", ["", "[]", '{"manifests": 1}', '{"manifests": [1]}'])
def test_a_damaged_index_does_not_stop_gc(tmp_path: Path, content: str) -> None:
    store = Store.open(tmp_path)
    Layout.create(store.layout.root)
    (store.layout.root / "index.json").write_text(content)
    put_blob(store, b"unused")
    assert dict(store.gc(Roots).removed) == {"blob": 1}


def test_gc_removes_what_killed_processes_left_in_the_layout(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    kept = put_blob(store, b"kept")
    store.layout.blob_path(kept).with_name(".new-123").touch()
    assert dict(store.gc(lambda: Roots(manifests=frozenset({kept}))).removed) == {"blob": 1}
    assert store.layout.blob_files() == [store.layout.blob_path(kept)]


def test_gc_removes_partial_downloads_that_no_lock_wants(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    (tmp_path / "partial" / ("a" * 64)).touch()
    assert dict(store.gc(Roots).removed) == {"partial": 1}


def test_gc_removes_old_logs_and_cached_answers(tmp_path: Path) -> None:
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


def test_gc_keeps_the_trees_of_the_layers_of_every_lock(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    old, new, shared, dropped, unknown = (Key(letter * 64) for letter in "abcde")
    for key, suffixes in ((old, "tar.zst"), (new, "tar.gz"), (shared, "whl"), (dropped, "tar.zst"), (unknown, "whl")):
        for suffix in (suffixes, "json"):
            (store.trees / f"{key}.{suffix}").write_text("tree")
    layers = [
        LayerResult(name="airflow", key=Key(digit * 64), diff_id=DiffId(Digest("sha256:4")), size=1) for digit in "123"
    ]
    store.record_trees(layers[0].key, "zstd 1", {old, shared})
    store.record_trees(layers[1].key, "zstd 1", {shared})
    store.record_trees(layers[1].key, "gzip 1", {new})
    store.record_trees(layers[2].key, "zstd 1", {dropped, shared})
    locks_of = [locks.lock(layers=(layer,)) for layer in layers]
    roots = Roots.of_locks(locks_of[:2])
    assert dict(store.gc(lambda: roots).removed) == {"tree": 4}
    assert {path.name.partition(".")[0] for path in store.trees.iterdir()} == {old, new, shared}
    assert store.gc(lambda: roots).removed == ()
    assert dict(store.gc(lambda: Roots.of_locks(locks_of[:1])).removed) == {"tree": 2}
    assert {path.name.partition(".")[0] for path in store.trees.iterdir()} == {old, shared}


def test_gc_keeps_the_trees_of_the_latest_layer(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    last, tree = realisation("airflow"), Key("a" * 64)
    store.record(last)
    store.record_trees(last.key, last.compressor, {tree})
    (store.trees / f"{tree}.json").write_text("tree")
    store.gc(lambda: Roots(layers=frozenset({(last.release, last.platform, last.layer)})))
    assert (store.trees / f"{tree}.json").exists()


def test_gc_with_trees_removes_those_of_kept_layers(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    layer, tree = Key("1" * 64), Key("a" * 64)
    store.record_trees(layer, "zstd 1", {tree})
    (store.trees / f"{tree}.json").write_text("tree")
    assert dict(store.gc(lambda: Roots(keys=frozenset({layer}), trees=frozenset())).removed) == {"tree": 1}


def test_a_hard_link_takes_space_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    before = occupied(tmp_path)
    assert before >= 100_000
    os.link(tmp_path / "file", tmp_path / "again")
    assert occupied(tmp_path) < before + 50_000
    assert occupied(tmp_path / "missing") == 0
