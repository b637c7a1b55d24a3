"""Whether a lock still fits its recipes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from rtbuild.digest import Sha256
from rtbuild.lockfile.check import stale_engine_parts, stale_parts
from rtbuild.lockfile.local import as_locked
from rtbuild.lockfile.model import EngineLock, Lock
from rtbuild.lockfile.read import write_lock
from rtbuild.platform import PLATFORMS
from rtbuild.recipe.model import EngineRecipe, PythonLayer
from rtbuild.recipe.read import read_release
from rtbuild.recipe.sdist import local_sdists
from rtbuild.workspace import Workspace
from tests.fakes import locks, releases, workspaces
from tests.fakes.packages import FOLDER, PYPROJECT, write_workspace_with_package
from tests.fakes.patches import diff, patch
from tests.fakes.workspaces import put, write_workspace

AMD64 = PLATFORMS["linux/amd64"]


@dataclass
class Locked:
    """A workspace with a lock that fits it."""

    workspace: Workspace
    lock: Lock

    def change(self, file: str, old: str, new: str) -> None:
        """Edit a recipe file."""
        path = self.workspace.root / "recipes" / f"{file}.toml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def check(self) -> tuple[str, ...]:
        """Return what is stale."""
        return stale_parts(self.workspace.release("8.0"), self.workspace.read_lock("8.0.0", AMD64))


@pytest.fixture
def world(tmp_path: Path) -> Locked:
    workspace = Workspace(root=write_workspace(tmp_path))
    names = ("apache-airflow-providers-amazon", "apache-airflow-providers-http", "astro-sdk-python")
    versions = zip(names, ("8.0.0", "4.3.0", "1.5.3"), strict=True)
    lock = locks.lock(
        inputs=workspace.release("8.0").inputs,
        debs=(locks.deb("apt"), locks.deb("python3.9", layer="python"), locks.deb("tini")),
        pythons=(
            locks.wheel("apache-airflow", "2.6.0", layer="airflow"),
            *(locks.wheel(name, version) for name, version in versions),
            locks.wheel("pip", "23.1.2", layer="airflow"),
        ),
    )
    write_lock(workspace.lock_path("8.0.0", AMD64), lock)
    return Locked(workspace=workspace, lock=lock)


def test_a_lock_that_fits(world: Locked) -> None:
    assert world.check() == ()


def test_a_python_version_that_was_edited(world: Locked) -> None:
    minimal = locks.deb("libpython3.9-minimal", "3.9.2-1", layer="python")
    lock = replace(world.lock, debs=(*world.lock.debs, minimal))
    path = world.workspace.lock_path("8.0.0", AMD64)
    write_lock(path, lock)
    assert world.check() == ()
    write_lock(path, replace(lock, python_version="3.9.3"))
    assert world.check() == ("python_version is 3.9.3, but the locked packages install 3.9.2",)


@pytest.mark.parametrize(
    ("file", "old", "new", "stale"),
    [
        (
            "releases/8.0.0",
            'amazon = "8.0.0"',
            'amazon = "8.1.0"',
            [
                "recipes/releases/8.0.0.toml has changed since the lock was made",
                "apache-airflow-providers-amazon: the recipes require ==8.1.0, the lock has 8.0.0",
            ],
        ),
        (
            "layers/base-os",
            '"tini"',
            '"curl"',
            [
                "recipes/layers/base-os.toml has changed since the lock was made",
                "the Debian package curl of layer base-os is not locked",
            ],
        ),
        (
            "releases/8.0.0",
            "2023-05-02T00:00:00Z",
            "2023-05-03T00:00:00Z",
            [
                "recipes/releases/8.0.0.toml has changed since the lock was made",
                "as_of is 2023-05-03T00:00:00+00:00 in the recipe, 2023-05-02T00:00:00+00:00 in the lock",
            ],
        ),
        (
            "layers/airflow",
            'requirements = ["pip"]',
            'requirements = ["pip", "wheel"]',
            [
                "recipes/layers/airflow.toml has changed since the lock was made",
                "the Python package wheel is not locked",
            ],
        ),
    ],
)
def test_what_is_stale(world: Locked, file: str, old: str, new: str, stale: list[str]) -> None:
    world.change(file, old, new)
    assert list(world.check()) == stale


def test_layers_that_were_added_and_removed(world: Locked) -> None:
    put(world.workspace.root / "recipes/layers/others.toml", workspaces.PROVIDERS)
    world.change("releases/8.0.0", '"providers"]', '"others"]')
    assert world.check() == (
        "recipes/layers/others.toml is new since the lock was made",
        "recipes/layers/providers.toml is no longer part of the release",
        "recipes/releases/8.0.0.toml has changed since the lock was made",
        "the lock has packages for a layer 'providers', which the release does not have",
    )


def test_an_epoch_that_was_edited(world: Locked) -> None:
    write_lock(world.workspace.lock_path("8.0.0", AMD64), replace(world.lock, source_date_epoch=5))
    assert world.check() == (
        f"source_date_epoch is 5, but the newest locked file is from {world.lock.source_date_epoch}",
    )


def test_a_comment_makes_nothing_stale(world: Locked) -> None:
    world.change("releases/8.0.0", "airflow = ", "# a comment\nairflow = ")
    assert world.check() == ()


def test_a_local_package_whose_source_changed(tmp_path: Path) -> None:
    root = write_workspace_with_package(tmp_path)
    release = read_release(root, "8.0.0")
    (sdist,) = local_sdists(release)
    artifact = as_locked(locks.wheel("gate-keeper", "1.0.0", layer="gate"), sdist)
    lock = locks.lock(pythons=(artifact,), inputs=release.inputs)
    assert [line for line in stale_parts(release, lock) if "gate" in line] == []
    (root / FOLDER / "pyproject.toml").write_text(PYPROJECT.replace('"1.0.0"', '"1.1.0"'))
    assert [line for line in stale_parts(read_release(root, "8.0.0"), lock) if "gate" in line] == [
        f"{FOLDER}/pyproject.toml has changed since the lock was made",
        "gate-keeper: the recipes require ==1.1.0, the lock has 1.0.0",
        f"gate-keeper: its source in {FOLDER} has changed since the lock was made",
    ]


def test_a_patch_that_is_not_locked() -> None:
    edit = patch(diff("demo.py", "1\n", "2\n"), id="edit")
    wheel = locks.wheel("demo")
    lock = locks.lock(
        pythons=(wheel,), debs=(), inputs=(), layers=(), image=None, source_date_epoch=int(wheel.uploaded.timestamp())
    )
    layer = PythonLayer(name="providers", title="", roots=())
    release = releases.release(layers=(layer,), requirements=("demo==1.0",), patches=(edit,))
    assert stale_parts(replace(release, patches=()), lock) == ()
    line = f"demo: the recipes patch it with edit ({edit.sha256[:12]}), the lock with nothing"
    assert stale_parts(release, lock) == (line,)


def test_an_engine_lock() -> None:
    inputs = (("recipes/engines/default.toml", Sha256("a" * 64)),)
    recipe = EngineRecipe(name="default", title="", packages=(), suites=(), inputs=inputs)
    lock = EngineLock(engine="default", platform=AMD64, inputs=inputs)
    assert stale_engine_parts(recipe, lock) == ()
    assert stale_engine_parts(replace(recipe, inputs=((inputs[0][0], Sha256("b" * 64)),)), lock) == (
        "recipes/engines/default.toml has changed since the lock was made",
    )
