"""Comparing what was built with what a lock records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.derivations.plan import plan_release
from rtbuild.digest import DiffId, Digest, Key, hex_of
from rtbuild.errors import BuildError, LockError, StaleLockError
from rtbuild.formats.frames import COMPRESSORS
from rtbuild.lockfile.model import ImageResult
from rtbuild.lockfile.read import write_lock
from rtbuild.store.early import hash_guessed, take_hash
from rtbuild.store.store import Store
from rtbuild.verbs.build import BuiltLayer, build, compare_with_lock, require_compressor
from tests.fakes import locks
from tests.fakes.command_line import realise
from tests.fakes.dated_archive import AMD64, dated_archive
from tests.fakes.docker_command import FakeDocker
from tests.fakes.files_release import files_workspace, fill, settings
from tests.fakes.serving import only_loopback

IMAGE = ImageResult(id=Digest("sha256:1"), manifest=Digest("sha256:2"), compressor="zstd 1")
LAYER = BuiltLayer(name="base-os", key=Key("k"), diff_id=DiffId(Digest("sha256:3")), size=1, state="built")


BASE = replace(IMAGE, id=Digest("sha256:5"), manifest=Digest("sha256:6"))
LOCK = locks.lock(layers=(LAYER.result(),), image=IMAGE, image_base=BASE)


def test_the_same_is_a_match() -> None:
    assert compare_with_lock((LAYER,), IMAGE, BASE, LOCK) == (True, ())


def test_nothing_recorded_is_neither_match_nor_mismatch() -> None:
    assert compare_with_lock((LAYER,), IMAGE, BASE, replace(LOCK, layers=(), image=None, image_base=None)) == (None, ())


def test_a_layer_that_differs_is_named_and_whether_its_inputs_did() -> None:
    other = replace(LAYER, diff_id=DiffId(Digest("sha256:9")))
    matches, lines = compare_with_lock((other,), replace(IMAGE, id=Digest("sha256:8")), BASE, LOCK)
    assert matches is False
    assert lines == (
        "layer base-os (same inputs): sha256:9, the lock records sha256:3",
        "config digest: sha256:8, the lock records sha256:1",
    )


def test_layers_that_one_side_lacks_are_named() -> None:
    matches, lines = compare_with_lock(
        (LAYER,), IMAGE, BASE, replace(LOCK, layers=(replace(LAYER, name="python").result(),))
    )
    assert matches is False
    assert lines == (
        "layer base-os: not recorded in the lock",
        "layer python: recorded in the lock, but the image does not have it",
    )


def test_a_size_that_cannot_be_is_named() -> None:
    wrong = replace(LAYER.result(), size=2)
    assert compare_with_lock((LAYER,), IMAGE, BASE, replace(LOCK, layers=(wrong,))) == (
        False,
        ("layer base-os: 1 bytes, the lock records 2",),
    )


def test_a_key_of_another_rtbuild_is_no_mismatch() -> None:
    other = replace(LAYER.result(), key=Key("other"))
    assert compare_with_lock((LAYER,), IMAGE, BASE, replace(LOCK, layers=(other,))) == (True, ())


def test_manifests_count_where_the_same_compressor_wrote_them() -> None:
    other = replace(IMAGE, manifest=Digest("sha256:7"))
    assert compare_with_lock((LAYER,), other, BASE, LOCK) == (
        False,
        ("manifest digest: sha256:7, the lock records sha256:2",),
    )
    assert compare_with_lock((LAYER,), replace(other, compressor="gzip 1"), BASE, LOCK) == (True, ())


def test_the_image_without_triggers_counts_as_much() -> None:
    assert compare_with_lock((LAYER,), IMAGE, replace(BASE, id=Digest("sha256:8")), LOCK) == (
        False,
        ("base config digest: sha256:8, the lock records sha256:5",),
    )
    assert compare_with_lock((LAYER,), IMAGE, replace(BASE, manifest=Digest("sha256:8")), LOCK) == (
        False,
        ("base manifest digest: sha256:8, the lock records sha256:6",),
    )
    assert compare_with_lock((LAYER,), IMAGE, None, LOCK) == (
        False,
        ("base image: recorded in the lock, but the release has none",),
    )
    assert compare_with_lock((LAYER,), IMAGE, BASE, replace(LOCK, image_base=None)) == (
        False,
        ("base image: not recorded in the lock",),
    )


def test_another_version_of_the_compressor_is_refused() -> None:
    ours = COMPRESSORS["zstd"]().name
    other = ours.replace(ours.split()[1], "0.0.1", 1)
    lock = replace(LOCK, image=replace(IMAGE, compressor=other))
    with pytest.raises(LockError) as caught:
        require_compressor(lock, "lock.toml", ours)
    assert caught.value.brief == f"lock.toml: recorded with {other}, this environment has {ours}"
    assert caught.value.hint == "install zstandard==0.0.1, or record the digests of this one with --record"


def test_a_build_with_another_version_of_the_compressor_is_refused_unless_it_records(tmp_path: Path) -> None:
    workspace, chosen = files_workspace(tmp_path / "project"), settings(tmp_path)
    fill(workspace, Store.open(chosen.store))
    built = build(workspace, "8.0", platform=AMD64, settings=chosen, record=True, rebuild=False)
    path, lock = workspace.lock_path("8.0.0", AMD64), workspace.read_lock("8.0.0", AMD64)
    older = replace(built.image_result(), compressor="zstandard 0.1.0 (libzstd 1.0.0) level 3 frames 4 MiB")
    write_lock(path, replace(lock, image=older))
    with pytest.raises(LockError, match=r"recorded with zstandard 0\.1\.0"):
        build(workspace, "8.0", platform=AMD64, settings=chosen)
    assert build(workspace, "8.0", platform=AMD64, settings=chosen, record=True, rebuild=False).matches_lock


def test_a_damaged_layer_is_built_again_though_the_lock_records_its_digests(tmp_path: Path) -> None:
    workspace, chosen = files_workspace(tmp_path / "project"), settings(tmp_path)
    store = Store.open(chosen.store)
    fill(workspace, store)
    built = build(workspace, "8.0", platform=AMD64, settings=chosen, record=True, rebuild=False)
    realisation = store.realisation(built.layers[-1].key)
    assert realisation is not None
    blob = store.layout.blob_path(realisation.blob)
    content = blob.read_bytes()
    blob.chmod(0o644)
    blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    again = build(workspace, "8.0", platform=AMD64, settings=chosen)
    assert [layer.state for layer in again.layers] == ["cached"] * 4 + ["built"]
    assert again.matches_lock
    assert blob.read_bytes() == content


def test_the_layers_of_the_last_build_are_hashed_early_and_replaced_ones_again(tmp_path: Path) -> None:
    workspace, chosen = files_workspace(tmp_path / "project"), settings(tmp_path)
    store = Store.open(chosen.store)
    fill(workspace, store)
    built = build(workspace, "8.0", platform=AMD64, settings=chosen, record=True, rebuild=False)
    realisation = store.realisation(built.layers[-1].key)
    assert realisation is not None
    blob = store.layout.blob_path(realisation.blob)
    hash_guessed(chosen.store, "8.0", AMD64.name)
    assert take_hash(blob) == hex_of(realisation.blob)
    hash_guessed(chosen.store, "8.0", AMD64.name)
    content = blob.read_bytes()
    blob.chmod(0o644)
    blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    again = build(workspace, "8.0", platform=AMD64, settings=chosen)
    assert [layer.state for layer in again.layers] == ["cached"] * 4 + ["built"]
    hash_guessed(chosen.store, "8.0", AMD64.name)
    again = build(workspace, "8.0", platform=AMD64, settings=chosen)
    assert {layer.state for layer in again.layers} == {"cached"}
    assert take_hash(blob) is None  # the build took it


def test_a_stale_lock_is_not_built(tmp_path: Path) -> None:
    workspace, chosen = files_workspace(tmp_path / "project"), settings(tmp_path)
    fill(workspace, Store.open(chosen.store))
    build(workspace, "8.0", platform=AMD64, settings=chosen, record=True, rebuild=False)
    (workspace.root / "recipes/layers/files/script").write_text("#!/bin/sh\n# changed\n")
    for record in (False, True):
        with pytest.raises(StaleLockError, match="stale, the recipes changed since it was made") as caught:
            build(workspace, "8.0", platform=AMD64, settings=chosen, record=record, rebuild=False)
        assert caught.value.details == "recipes/layers/files/script has changed since the lock was made"


@pytest.mark.parametrize("name", ["zstd", "gzip"])
def test_the_same_compressor_and_another_method_are_not_refused(name: str) -> None:
    lock = replace(LOCK, image=replace(IMAGE, compressor=COMPRESSORS["zstd"]().name), image_base=None)
    require_compressor(lock, "lock.toml", COMPRESSORS[name]().name)


def test_a_deb_of_a_dated_suite_is_fetched_from_the_dated_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_loopback(monkeypatch)
    monkeypatch.setenv("PATH", f"{FakeDocker(tmp_path / 'docker').install()}:/usr/bin:/bin")
    with dated_archive(tmp_path) as dated:
        store = Store.open(dated.settings.store)
        for layer in ("airflow", "providers"):
            realise(store, plan_release(dated.workspace.release("8.0.0"), dated.lock, store), layer)
        with pytest.raises(BuildError, match="has no package mawk"):  # once fetched, these packages make no system
            build(dated.workspace, "8.0", platform=AMD64, settings=dated.settings)
    assert all(store.verify_artifact(deb) for deb in dated.lock.debs)
