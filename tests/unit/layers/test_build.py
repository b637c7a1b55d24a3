"""Building layers: what is fetched first, and what a failure in one lane does to the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.derivations.plan import Plan, PlannedLayer
from rtbuild.digest import DiffId
from rtbuild.engine.endpoint import Endpoint
from rtbuild.engine.engine import Engine
from rtbuild.engine.versions import EngineVersions
from rtbuild.errors import BuildError, EngineError, LockError, StoreError
from rtbuild.layers.build import RealisedLayer, needed_artifacts, run_lanes
from rtbuild.oci import recompress
from rtbuild.recipe.model import Layer
from rtbuild.store.realisation import Realisation
from rtbuild.store.store import Store
from tests.fakes import layers, locks
from tests.fakes.build_bench import Bench
from tests.fakes.environments import environment
from tests.fakes.four_layers import AIRFLOW, BASE, PROVIDERS, PYTHON
from tests.fakes.local_engine import ExportingEngine

LOCK = locks.lock(
    debs=(locks.deb("apt"), locks.deb("python3.9", layer="python")),
    pythons=(locks.wheel("apache-airflow", layer="airflow"), locks.wheel("celery", layer="providers")),
    build_pythons=(locks.wheel("setuptools", layer="future"),),
)


def needed(*missing: Layer) -> set[str]:
    """Return the names of the files that are needed if these layers are missing and the others are in the store."""
    planned = tuple(
        PlannedLayer(
            name=layer.name,
            state="build" if layer in missing else "cached",
            reason="",
            layer=layer,
            derivation=None,
            realisation=None,
        )
        for layer in (BASE, PYTHON, AIRFLOW, PROVIDERS)
    )
    plan = Plan(release="8.0.0", platform="linux/amd64", layers=planned)
    return {artifact.filename for artifact in needed_artifacts(plan, LOCK)}


def test_a_debian_layer_needs_its_own_packages() -> None:
    assert needed(PYTHON) == {"python3.9_1.0-1_amd64.deb"}
    assert needed() == set()


def test_a_python_layer_needs_the_wheels_of_cached_layers_too() -> None:
    """The files that it leaves to another package depend on them."""
    assert needed(PROVIDERS) == {artifact.filename for artifact in LOCK.remote}


def test_a_lane_does_not_start_a_build_after_the_other_failed(tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    docker.chmod(0o755)
    interrupted = threading.Event()
    outcomes: list[str] = []

    class Watched(Engine):
        def interrupt(self) -> int:
            count = super().interrupt()
            interrupted.set()
            return count

    engine = Watched(
        endpoint=Endpoint(docker=docker),
        versions=EngineVersions(docker="28.0", buildkit="0.25", buildx="0.20"),
        driver="docker",
        platforms=("linux/amd64",),
        scratch=tmp_path / "scratch",
    )

    def failing() -> None:
        raise LockError("the first lane fails")

    def preparing() -> None:
        assert interrupted.wait(60)
        try:
            engine.build(tmp_path / "context", log=tmp_path / "log", output_local=tmp_path / "out")
        except BuildError as error:
            outcomes.append(error.brief)
            raise

    with pytest.raises(LockError, match="the first lane fails"):
        run_lanes([failing, preparing], engine)
    assert outcomes == ["build: interrupted"]
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def states(realised: tuple[RealisedLayer, ...]) -> list[tuple[str, bool]]:
    return [(layer.realisation.layer, layer.built) for layer in realised]


def test_missing_layers_are_built_and_recorded(bench: Bench) -> None:
    first = bench.realise()
    assert states(first) == [("base-os", True), ("python", True), ("airflow", True), ("files", True)]
    again = bench.realise()
    assert states(again) == [("base-os", False), ("python", False), ("airflow", False), ("files", False)]
    assert [layer.realisation for layer in again] == [layer.realisation for layer in first]
    assert len(bench.engine.debian.contexts) == 2


def test_damaged_layers_are_rebuilt(bench: Bench) -> None:
    first = bench.realise()
    blob = first[1].realisation.blob
    path = environment(bench.store).layout.blob_path(blob)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    again = bench.realise()
    assert states(again) == [("base-os", False), ("python", True), ("airflow", False), ("files", False)]
    assert again[1].realisation.blob == blob
    assert "layer python in the store is damaged and will be rebuilt" in bench.notes.texts


def test_layers_that_the_lock_covers_are_hashed_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their blobs are in a manifest whose digest the lock records, so nothing is decompressed."""
    bench.record(bench.realise())

    def unexpected(blob: Path) -> None:
        pytest.fail(f"{blob} was decompressed")

    monkeypatch.setattr(recompress, "diff_id_of", unexpected)
    assert {built for _, built in states(bench.realise())} == {False}


@pytest.mark.parametrize("position", range(4))
@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_a_record_that_names_another_layer_is_not_believed(
    bench: Bench, compression: str, recorded: bool, position: int
) -> None:
    """The blob has the digest and size of the record, and the record the diff ID of the lock."""
    first = bench.realise()
    if recorded:
        bench.record(first)
    if compression == "gzip":
        bench.realise("gzip")
    honest = first[position].realisation
    forged = bench.forge(honest, compression)
    assert bench.store.realisation(honest.key, forged.compressor) == forged
    again = bench.realise(compression)
    assert again[position].realisation.diff_id == honest.diff_id
    assert again[position].realisation.blob != forged.blob
    assert [layer.realisation.diff_id for layer in again] == [layer.realisation.diff_id for layer in first]
    text = f"layer {honest.layer} in the store is not the layer that its record names and will be rebuilt"
    assert text in bench.notes.texts


def test_a_lock_without_digests_is_content_with_diff_ids_that_were_computed_before(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.realise()
    read: list[Path] = []

    def count(blob: Path, compute: Callable[[Path], tuple[DiffId, int]] = recompress.diff_id_of) -> tuple[DiffId, int]:
        read.append(blob)
        return compute(blob)

    monkeypatch.setattr(recompress, "diff_id_of", count)
    bench.realise()
    assert not read
    for path in (bench.store.root / "cache/diff-ids").iterdir():
        path.write_bytes(b"sha256:x 5")
    bench.realise()
    assert len(read) == 4
    bench.realise()
    assert len(read) == 4


def test_a_record_with_another_diff_id_than_was_computed_from_its_blob_is_not_believed(bench: Bench) -> None:
    first = bench.realise()
    honest = first[3].realisation
    bench.store.record(replace(honest, diff_id=first[2].realisation.diff_id))
    again = bench.realise()
    assert states(again)[3] == ("files", True)
    assert again[3].realisation == honest


def test_a_kept_diff_id_does_not_make_a_layer_equal_to_that_of_a_lock(bench: Bench) -> None:
    first = bench.realise()
    bench.record(first)
    bench.realise("gzip")
    honest = first[0].realisation
    forged = bench.forge(honest, "gzip")
    bench.store.add_diff_id(forged.blob, forged.diff_id, forged.size)
    again = bench.realise("gzip")
    assert again[0].realisation.blob != forged.blob


def test_a_damaged_frame_is_noticed_although_its_blob_has_the_right_digest(bench: Bench) -> None:
    honest = bench.realise()[0].realisation
    blob = bench.store.layout.put_blob(b"\x28\xb5\x2f\xfd, but no frame", honest.media_type)
    bench.store.record(replace(honest, blob=blob.digest, blob_size=blob.size))
    assert bench.realise()[0].built
    assert "layer base-os in the store is damaged and will be rebuilt" in bench.notes.texts


def test_another_compressor_needs_no_engine_and_gives_what_building_with_it_gives(bench: Bench, tmp_path: Path) -> None:
    first = bench.realise()
    bench.engine.platforms = ()
    second = bench.realise("gzip")
    assert {(layer.built, layer.recompressed) for layer in second} == {(False, True)}
    assert [layer.realisation.diff_id for layer in second] == [layer.realisation.diff_id for layer in first]
    (tmp_path / "other").mkdir()
    built = Bench(tmp_path / "other").realise("gzip")
    assert {(layer.built, layer.recompressed) for layer in built} == {(True, False)}
    assert [layer.realisation for layer in second] == [layer.realisation for layer in built]


def test_compressors_do_not_evict_each_other(bench: Bench) -> None:
    first = bench.realise()
    second = bench.realise("gzip")
    for compression, expected in (("zstd", first), ("gzip", second)):
        again = bench.realise(compression)
        assert {(layer.built, layer.recompressed) for layer in again} == {(False, False)}
        assert [layer.realisation for layer in again] == [layer.realisation for layer in expected]


def test_a_damaged_layer_is_not_recompressed_but_rebuilt(bench: Bench) -> None:
    blob = bench.realise()[1].realisation.blob
    path = bench.store.layout.blob_path(blob)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    again = bench.realise("gzip")
    assert [(layer.built, layer.recompressed) for layer in again] == [
        (False, True),
        (True, False),
        (False, True),
        (False, True),
    ]
    assert "layer python in the store is damaged and will be rebuilt" in bench.notes.texts


def test_files_are_built_before_the_engine_is_asked_for(bench: Bench) -> None:
    bench.engine.platforms = ()
    with pytest.raises(EngineError, match="cannot run programs for linux/amd64"):
        bench.realise()
    (record,) = (bench.store.root / "realisations").rglob("*/*.json")
    assert b"files" in record.read_bytes()


def test_a_lock_that_does_not_match_its_packages_is_refused(bench: Bench) -> None:
    debs = (replace(bench.lock.debs[0], version="2.0"), *bench.lock.debs[1:])
    bench.lock = replace(bench.lock, debs=debs)
    with pytest.raises(LockError, match=r"the\.lock: deb\[0\]\.version: is '2\.0'"):
        bench.realise()
    assert bench.engine.debian.contexts == []


def test_a_failure_stops_the_other_lane(bench: Bench) -> None:
    bench.engine.wheels.fail = True
    with pytest.raises(BuildError, match="failed on request"):
        bench.realise()
    assert bench.engine.interrupted


def test_a_layer_that_disappears_during_the_build_is_an_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    record = Store.record

    def record_others(store: Store, realisation: Realisation) -> None:
        if realisation.layer != "airflow":
            record(store, realisation)

    monkeypatch.setattr(Store, "record", record_others)
    with pytest.raises(StoreError, match="layer airflow was built but is not in the store"):
        bench.realise()


def test_a_store_whose_path_buildx_cannot_read_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    (tmp_path / "job@2").mkdir()
    bench = Bench(tmp_path / "job@2")
    with pytest.raises(EngineError, match="a store's path must not contain an at sign"):
        bench.realise()
    assert bench.engine.debian.contexts == []


def test_layers_that_do_not_fit_on_one_another_are_an_error_each_time(bench: Bench) -> None:
    """The file /srv/a would replace a link of the base layer with a folder."""
    bench.engine.debian = ExportingEngine(layers.raw_layer(layers.symlink("srv", "var/srv")))
    problem = "layer files: /srv is a symbolic link to /var/srv in the layer base-os, not a folder"
    with pytest.raises(BuildError, match=problem):
        bench.realise()
    # The second build finds every layer in the store.
    with pytest.raises(BuildError, match=problem):
        bench.realise()
    assert len(bench.engine.debian.contexts) == 2


def test_layers_that_were_found_to_fit_are_not_compared_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.realise()

    def unexpected(store: Store, realisation: Realisation) -> None:
        pytest.fail(f"the folders of {realisation.layer} were read")

    monkeypatch.setattr(Store, "folders", unexpected)
    bench.realise()
    for path in (bench.store.root / "cache/stacks").iterdir():
        path.unlink()
    with pytest.raises(pytest.fail.Exception, match="the folders of base-os were read"):
        bench.realise()
