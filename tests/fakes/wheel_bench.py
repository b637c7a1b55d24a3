"""A store with the artifacts of a small lock, and an engine to build its wheel trees with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from rtbuild.digest import sha256_file
from rtbuild.lockfile.model import DebArtifact, Lock, PythonArtifact
from rtbuild.platform import parse_platform
from rtbuild.store.store import Store
from rtbuild.wheels.environment import BuildEnvironment
from tests.fakes.environments import environment
from tests.fakes.local_engine import LocalEngine, as_engine
from tests.fakes.wheels import folder, make_deb, make_wheel

PYTHON = "3.11"
UPLOADED = datetime(2023, 4, 1, tzinfo=UTC)


class WheelBench:
    """A store with the artifacts of a small lock, and an engine to build with."""

    def __init__(self, tmp_path: Path) -> None:
        self.downloads = tmp_path / "downloads"
        self.downloads.mkdir(exist_ok=True)
        self.store = Store.open(tmp_path / "store")
        self.engine = LocalEngine()
        self.pythons: list[PythonArtifact] = []
        deb = make_deb(self.downloads / "python.deb", [folder("./"), ("./usr/bin/python", b"")])
        self.deb = DebArtifact(
            filename=deb.name,
            path=deb.name,
            size=deb.stat().st_size,
            sha256=sha256_file(deb),
            name=f"python{PYTHON}-minimal",
            version="3.11.2-6+b1",
            architecture="amd64",
            archive="debian",
            suite="suite",
            built=0,
            layer="python",
        )
        self.keep(deb, self.deb)

    def keep(self, path: Path, artifact: DebArtifact | PythonArtifact) -> None:
        """Put an artifact into the store."""
        target = self.store.artifact_path(artifact.sha256)
        if not target.exists():
            os.link(path, target)

    def add(self, name: str, files: Mapping[str, str], *, layer: str = "lower", version: str = "1.0") -> None:
        """Add a wheel to the store and the lock, in place of another version."""
        wheel = make_wheel(self.downloads / f"{name}-{version}-py3-none-any.whl", files, name=name, version=version)
        self.pythons = [artifact for artifact in self.pythons if artifact.name != name]
        self.pythons.append(
            PythonArtifact(
                filename=wheel.name,
                path=wheel.name,
                size=wheel.stat().st_size,
                sha256=sha256_file(wheel),
                name=name,
                version=version,
                uploaded=UPLOADED,
                layer=layer,
            )
        )
        self.keep(wheel, self.pythons[-1])

    @property
    def lock(self) -> Lock:
        return Lock(
            release="8.0.0",
            platform=parse_platform("linux/amd64"),
            python_version="3.11.2",
            as_of=UPLOADED,
            source_date_epoch=0,
            inputs=(),
            debs=(self.deb,),
            pythons=tuple(sorted(self.pythons, key=lambda artifact: artifact.name)),
            build_pythons=(),
        )

    def environment(self, compression: str = "zstd") -> BuildEnvironment:
        return environment(self.store, as_engine(self.engine), compression=compression)
