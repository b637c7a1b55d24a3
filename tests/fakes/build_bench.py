"""A release of four layers whose build needs no container: an engine that exports given layers, and its artifacts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from rtbuild.digest import sha256_bytes
from rtbuild.engine.engine import Engine
from rtbuild.errors import EngineError
from rtbuild.formats.frames import COMPRESSORS
from rtbuild.layers.build import RealisedLayer, realise_layers
from rtbuild.layers.compose import compose_images
from rtbuild.lockfile.model import LayerResult
from rtbuild.oci.layer import LayerWriter
from rtbuild.platform import Platform
from rtbuild.recipe.model import FilesLayer, InstalledFile
from rtbuild.store.realisation import Realisation
from rtbuild.store.store import Store
from tests.fakes import layers, locks
from tests.fakes.debian_archive import FakeDeb
from tests.fakes.environments import Notes, environment
from tests.fakes.four_layers import AIRFLOW, BASE, PYTHON, release
from tests.fakes.local_engine import ExportingEngine, LocalEngine
from tests.fakes.wheels import make_wheel

FILES = FilesLayer(
    name="files", title="Files", files=(InstalledFile(path="/srv/a", content="a", sha256=sha256_bytes(b"a")),)
)
RELEASE = release(BASE, PYTHON, AIRFLOW, FILES)


class WholeEngine:
    """An engine that exports a layer for Debian packages and compiles wheels with the Python that runs the tests."""

    def __init__(self) -> None:
        self.debian = ExportingEngine(layers.raw_layer(layers.file("etc/debian_version")))
        self.wheels = LocalEngine()
        self.platforms: tuple[str, ...] = ("linux/amd64",)
        self.interrupted = False

    def build(self, context: Path, **options: Any) -> None:
        engine: Any = self.debian if "output" in options else self.wheels
        engine.build(context, **options)

    def require_platform(self, platform: Platform) -> None:
        if platform.name not in self.platforms:
            raise EngineError(f"cannot run programs for {platform}")

    def interrupt(self) -> int:
        self.interrupted = True
        return 0


class Bench:
    """A store with the artifacts of a lock, and an engine."""

    def __init__(self, tmp_path: Path) -> None:
        self.store = Store.open(tmp_path / "store")
        self.engine = WholeEngine()
        self.notes = Notes()
        debs = []
        for name, layer in (("dpkg", "base-os"), ("python3.9-minimal", "python")):
            package = FakeDeb(name=name, architecture="amd64", essential=name == "dpkg", files={f"usr/{name}": b""})
            entry = locks.deb(name, "1.0", layer=layer)
            debs.append(replace(entry, sha256=self.keep(package.build()), essential=package.essential))
        wheel = make_wheel(tmp_path / "airflow.whl", {"airflow.py": "x = 1\n"}, name="apache_airflow")
        airflow = replace(locks.wheel("apache-airflow", layer="airflow"), sha256=self.keep(wheel.read_bytes()))
        self.lock = locks.lock(debs=tuple(debs), pythons=(airflow,), layers=(), image=None)

    def keep(self, content: bytes) -> Any:
        """Put an artifact into the store and return its digest."""
        sha256 = sha256_bytes(content)
        self.store.artifact_path(sha256).write_bytes(content)
        return sha256

    def realise(self, compression: str = "zstd") -> tuple[RealisedLayer, ...]:
        built_in = environment(self.store, cast(Engine, self.engine), compression=compression, progress=self.notes)
        return realise_layers(RELEASE, self.lock, built_in, lock_name="the.lock")

    def record(self, realised: tuple[RealisedLayer, ...]) -> None:
        """Record in the lock what a build gave."""
        records = [layer.realisation for layer in realised]
        (image, *_) = compose_images(RELEASE, self.lock, records, self.store.layout)
        results = [
            LayerResult(name=record.layer, key=record.key, diff_id=record.diff_id, size=record.size)
            for record in records
        ]
        self.lock = replace(self.lock, layers=tuple(results), image=image.result(records[0].compressor))

    def forge(self, honest: Realisation, compression: str) -> Realisation:
        """Let the store say that `compression` makes this layer another blob, which has something else in it."""
        with LayerWriter(self.store.layout, compressor=COMPRESSORS[compression]()) as writer:
            writer.add(*layers.file("usr/bin/backdoor", b"evil"))
            evil = writer.finish()
        forged = replace(
            honest,
            blob=evil.blob,
            blob_size=evil.blob_size,
            media_type=evil.media_type,
            compressor=evil.compressor,
        )
        self.store.record(forged)
        return forged
