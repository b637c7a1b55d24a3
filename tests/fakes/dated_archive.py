"""A Debian archive that shows one moment, and a workspace that is locked from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rtbuild.digest import sha256_bytes
from rtbuild.lockfile.derived import newest_input
from rtbuild.lockfile.model import Lock
from rtbuild.lockfile.read import write_lock
from rtbuild.platform import PLATFORMS
from rtbuild.settings import Settings
from rtbuild.workspace import Workspace
from tests.fakes import locks
from tests.fakes.debian_archive import FakeDeb, serve_folder
from tests.fakes.workspaces import BASE_OS, write_workspace

AMD64 = PLATFORMS["linux/amd64"]
MOMENT = "20230501T000000Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dated:
    """A workspace that is locked from an archive with a folder for `MOMENT` and nothing beside it."""

    workspace: Workspace
    lock: Lock
    settings: Settings


@contextmanager
def dated_archive(folder: Path) -> Iterator[Dated]:
    """Serve the archive until the block ends. The wheels of the lock are nowhere."""
    archive = folder / "mirror" / MOMENT
    debs = []
    for name in ("apt", "tini", "python3.9-minimal", "python3.9"):
        package = FakeDeb(name=name, architecture="amd64")
        content = package.build()
        (archive / package.path).parent.mkdir(parents=True, exist_ok=True)
        (archive / package.path).write_bytes(content)
        digest = sha256_bytes(content)
        path, filename = package.path, package.filename
        deb = locks.deb(name, package.version, layer="python" if name.startswith("python") else "base-os")
        debs.append(replace(deb, filename=filename, path=path, size=len(content), sha256=digest))
    wheels = [
        locks.wheel("apache-airflow", "2.6.0", layer="airflow"),
        locks.wheel("pip", "23.1.2", layer="airflow"),
        locks.wheel("apache-airflow-providers-http", "4.3.0"),
        locks.wheel("apache-airflow-providers-amazon", "8.0.0"),
        locks.wheel("astro-sdk-python", "1.5.3"),
    ]
    asked = BASE_OS.replace('suite = "bullseye"', f'suite = "bullseye"\nsnapshot = "{MOMENT}"')
    workspace = Workspace.find(write_workspace(folder / "workspace", base_os=asked))
    inputs = workspace.release("8.0.0").inputs
    epoch = newest_input(debs, wheels)
    lock = locks.lock(
        inputs=inputs, debs=tuple(debs), pythons=tuple(wheels), source_date_epoch=epoch, layers=(), image=None
    )
    write_lock(workspace.lock_path("8.0.0", AMD64), lock)
    with serve_folder(folder / "mirror") as server:
        settings = Settings(
            store=folder / "store",
            engine_dir=folder / "engine",
            debian_mirrors=(server.url,),
            pip_environment=(("PIP_INDEX_URL", server.url),),
            retries=0,
        )
        yield Dated(workspace=workspace, lock=workspace.read_lock("8.0.0", AMD64), settings=settings)
