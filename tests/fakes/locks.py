"""Locks in memory."""

from __future__ import annotations

from datetime import UTC, datetime

from rtbuild.digest import DiffId, Digest, Key, Sha256
from rtbuild.lockfile.model import DebArtifact, ImageResult, LayerResult, Lock, LockedSuite, PythonArtifact
from rtbuild.platform import PLATFORMS


def deb(name: str, version: str = "1.0-1", *, layer: str = "base-os", depends: tuple[str, ...] = ()) -> DebArtifact:
    """Return a locked .deb."""
    filename = f"{name}_{version.rpartition(':')[2]}_amd64.deb"
    return DebArtifact(
        name=name,
        version=version,
        architecture="amd64",
        archive="debian",
        suite="bullseye",
        filename=filename,
        path=f"pool/main/{name[0]}/{name}/{filename}",
        size=1000,
        sha256=Sha256("a" * 64),
        built=1_600_000_000,
        layer=layer,
        depends=depends,
    )


def suite(name: str = "bullseye", *, archive: str = "debian") -> LockedSuite:
    """Return the recorded state of a suite, which has no Valid-Until."""
    return LockedSuite(
        archive=archive, suite=name, date=datetime(2023, 4, 29, 9, 8, 7, tzinfo=UTC), sha256=Sha256("d" * 64)
    )


def wheel(
    name: str, version: str = "1.0", *, layer: str = "providers", requires: tuple[str, ...] = ()
) -> PythonArtifact:
    """Return a locked wheel."""
    filename = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    return PythonArtifact(
        name=name,
        version=version,
        filename=filename,
        path=f"packages/{filename}",
        size=2000,
        sha256=Sha256("b" * 64),
        uploaded=datetime(2023, 4, 1, 12, 30, 15, 123456, tzinfo=UTC),
        layer=layer,
        requires=requires,
    )


def lock(**changed: object) -> Lock:
    """Return a small complete lock, with `changed` fields."""
    fields: dict[str, object] = {
        "release": "8.0.0",
        "platform": PLATFORMS["linux/amd64"],
        "python_version": "3.9.2",
        "as_of": datetime(2023, 5, 2, tzinfo=UTC),
        "source_date_epoch": 1_680_352_215,
        "inputs": (("recipes/releases/8.0.0.toml", Sha256("c" * 64)),),
        "debs": (deb("apt", depends=("libc6",)), deb("libc6", "2.31-13+deb11u1")),
        "pythons": (
            wheel("apache-airflow", "2.6.0", layer="airflow", requires=("pip",)),
            wheel("pip", layer="airflow"),
        ),
        "build_pythons": (),
        "suites": (suite(),),
        "layers": (
            LayerResult(name="base-os", key=Key("1" * 64), diff_id=DiffId(Digest("sha256:" + "2" * 64)), size=5),
        ),
        "image": ImageResult(
            id=Digest("sha256:" + "3" * 64), manifest=Digest("sha256:" + "4" * 64), compressor="zstd 1.5"
        ),
    }
    return Lock(**{**fields, **changed})  # type: ignore[arg-type]
