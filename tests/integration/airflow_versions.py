"""Images of other versions of Airflow, made as releases are: of the recipes' own layers, with a lock of their own.

They have what the security manager meets (Airflow, a driver for PostgreSQL, the Python and the packages of that time)
and none of a release's providers. A lock takes ten seconds and a first build thirty; the store keeps what was built.
"""

from __future__ import annotations

import contextlib
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

import tomlkit

from rtbuild.engine.engine import Engine
from rtbuild.settings import Settings
from rtbuild.workspace import Workspace
from tests.integration.command_line import CommandLine, as_chosen

REPOSITORY = "rtbuild-tests/airflow"
VERSIONS: Mapping[str, datetime] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
"""Each version, and until when its packages were uploaded."""


@contextlib.contextmanager
def airflow_image(version: str, *, real: Workspace, settings: Settings, engine: Engine, folder: Path) -> Iterator[str]:
    """The name of an image with Airflow `version` that the engine has until the block ends; `folder` gets its project.

    Fails, with all that was said, where it cannot be locked or built.
    """
    write_version_project(folder, real, version)
    environment = {**as_chosen(settings), "RTBUILD_REPOSITORY": REPOSITORY}
    rtbuild = CommandLine(workspace=folder, store=settings.store, environment=environment)
    rtbuild.run("lock", version).succeeded()
    rtbuild.run("build", version, "--record", "--load").succeeded()
    reference = f"{REPOSITORY}:{version}"
    try:
        yield reference
    finally:
        engine.remove_image(reference)


def write_version_project(root: Path, real: Workspace, version: str) -> None:
    """Write a project to `root` whose one release is called as its Airflow is."""
    shutil.copytree(real.root / "recipes" / "layers", root / "recipes" / "layers")
    shutil.copytree(real.root / "recipes" / "engines", root / "recipes" / "engines")
    shutil.copytree(real.root / "runtime.lock" / "engines", root / "runtime.lock" / "engines")
    release = {
        "airflow": version,
        "released": VERSIONS[version].date().isoformat(),
        "python": "3.9",
        "os": "Debian 11",
        "platforms": ["linux/amd64"],
        "layers": ["base-os", "python", "airflow", "providers", "security-manager", "runtime"],
        "as_of": VERSIONS[version],
        "packages": ["psycopg2-binary"],
        "support": {"status": "stable"},
    }
    recipe = root / "recipes" / "releases" / f"{version}.toml"
    recipe.parent.mkdir()
    recipe.write_text(tomlkit.dumps(release), encoding="utf-8")
