"""Recording digests: only those of a build that is the same again, and has no private keys of scripts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from rtbuild.engine.engine import Engine
from rtbuild.errors import BuildError, NotReproducibleError
from rtbuild.lockfile.derived import newest_input
from rtbuild.lockfile.read import read_lock, write_lock
from rtbuild.recipe.model import DebianLayer
from rtbuild.verbs.build import BuildResult, Recording, build_locked
from rtbuild.workspace import LockedRelease
from tests.fakes import layers
from tests.fakes.build_bench import RELEASE, Bench
from tests.fakes.environments import environment

KEY = b"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n"


class Recorder:
    """A bench with a lockfile, whose engine may export another layer each time."""

    def __init__(self, tmp_path: Path) -> None:
        self.bench = Bench(tmp_path)
        self.path = tmp_path / "lock.toml"
        lock = self.bench.lock
        debian = [replace(layer, packages=()) if isinstance(layer, DebianLayer) else layer for layer in RELEASE.layers]
        self.release = replace(RELEASE, layers=tuple(debian))
        fitting = replace(
            lock,
            inputs=RELEASE.inputs,
            as_of=RELEASE.as_of,
            source_date_epoch=newest_input(lock.debs, lock.pythons),
        )
        write_lock(self.path, fitting)
        self.exports: list[bytes] = []
        """What the engine exports for the Debian layers, build by build; then the same as ever."""

    def record(self, record: Recording = "twice") -> BuildResult:
        engine = self.bench.engine.debian
        export = engine.build

        def build(context: Path, **options: Any) -> None:
            if self.exports:
                engine.raw = (self.exports.pop(0),)
            export(context, **options)

        engine.build = build  # type: ignore[method-assign]
        locked = LockedRelease(release=self.release, lock=read_lock(self.path), path=self.path, lock_name="lock.toml")
        built_in = environment(self.bench.store, cast(Engine, self.bench.engine), progress=self.bench.notes)
        return build_locked(locked, built_in, record=record)

    def recorded(self) -> bool:
        return read_lock(self.path).image is not None


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path)


def raw(*members: Any) -> bytes:
    return layers.raw_layer(layers.folder("etc"), *members)


def test_a_build_that_is_the_same_again_is_recorded(recorder: Recorder) -> None:
    result = recorder.record()
    assert result.matches_lock is True
    assert recorder.recorded()
    assert len(recorder.bench.engine.debian.contexts) == 4, "two Debian layers, twice"
    assert recorder.bench.engine.wheels.builds == ["compiling wheels"] * 2
    assert "the second build is equal" in recorder.bench.notes.texts
    assert list((recorder.bench.store.root / "tmp").iterdir()) == []


def test_cached_layers_are_built_a_second_time_too(recorder: Recorder) -> None:
    recorder.record("no")
    recorder.record()
    assert len(recorder.bench.engine.debian.contexts) == 4
    assert recorder.recorded()


def test_the_second_build_can_be_left_out(recorder: Recorder) -> None:
    recorder.record("once")
    assert len(recorder.bench.engine.debian.contexts) == 2
    assert recorder.recorded()


@pytest.mark.parametrize("record", ["once", "twice"])
def test_a_recorded_layer_is_read_whatever_the_store_remembers(recorder: Recorder, record: Recording) -> None:
    recorder.record("no")
    honest = recorder.bench.realise()[0].realisation
    forged = recorder.bench.forge(honest, "zstd")
    recorder.bench.store.add_diff_id(forged.blob, forged.diff_id, forged.size)
    recorder.record(record)
    realisation = recorder.bench.store.realisation(honest.key, honest.compressor)
    assert realisation == honest


def test_files_that_differ_are_named_and_nothing_is_recorded(recorder: Recorder) -> None:
    one = raw(layers.file("etc/date", b"1"), layers.file("etc/random-1"), layers.file("etc/same"))
    two = raw(layers.file("etc/date", b"2"), layers.file("etc/random-2", mode=0o600), layers.file("etc/same"))
    same = raw(layers.file("etc/version"))
    recorder.exports = [one, same, two, same]
    before = recorder.path.read_bytes()
    with pytest.raises(NotReproducibleError) as caught:
        recorder.record()
    assert caught.value.brief == "lock.toml: nothing is recorded, because a second build differs in layer base-os"
    assert str(caught.value.details).splitlines() == [
        "layer base-os: /etc/date  content",
        "layer base-os: /etc/random-1  missing",
        "layer base-os: /etc/random-2  added",
    ]
    assert caught.value.hint == "remove the files with `removals` in recipes/layers/base-os.toml if nobody needs them"
    assert caught.value.exit_code == 3
    assert recorder.path.read_bytes() == before


def test_an_error_names_forty_files(recorder: Recorder) -> None:
    same = raw(layers.file("etc/version"))
    recorder.exports = [same, same, raw(*(layers.file(f"etc/{number:03}") for number in range(50))), same]
    with pytest.raises(NotReproducibleError) as caught:
        recorder.record()
    lines = str(caught.value.details).splitlines()
    assert len(lines) == 41
    assert lines[-1] == "and 13 more"


@pytest.mark.parametrize("record", ["once", "twice"])
def test_private_keys_of_scripts_are_refused(recorder: Recorder, record: Recording) -> None:
    """Although they would be the same again: whoever has the image has them."""
    recorder.exports = [raw(layers.file("etc/some.key", KEY)), raw(layers.file("etc/version"))] * 2
    with pytest.raises(BuildError) as caught:
        recorder.record(record)
    assert caught.value.brief == "lock.toml: nothing is recorded, because scripts of packages made private keys"
    assert caught.value.details == "layer base-os: /etc/some.key"
    assert str(caught.value.hint).startswith("remove them with `removals` in recipes/layers/base-os.toml")
    assert not recorder.recorded()


def test_cached_layers_with_private_keys_are_refused_too(recorder: Recorder) -> None:
    recorder.exports = [raw(layers.file("etc/some.key", KEY)), raw(layers.file("etc/version"))]
    recorder.record("no")
    with pytest.raises(BuildError, match="private keys"):
        recorder.record("once")


def test_a_plain_build_warns_of_private_keys(recorder: Recorder) -> None:
    recorder.exports = [raw(layers.file("etc/some.key", KEY)), raw(layers.file("etc/version"))]
    recorder.record("no")
    warning = "warning: layer base-os has private keys that the scripts of packages made: /etc/some.key"
    assert warning in recorder.bench.notes.texts


def test_another_compressor_than_the_recorded_one_can_be_recorded(recorder: Recorder) -> None:
    recorder.record()
    lock = read_lock(recorder.path)
    assert lock.image is not None
    other = replace(lock.image, compressor=lock.image.compressor.replace("level 3", "level 4"))
    write_lock(recorder.path, replace(lock, image=other, image_base=None))
    recorder.record()
    assert read_lock(recorder.path).image == lock.image
