"""What is said of a lock that no longer fits its recipes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from rtbuild.lockfile.check import stale_parts
from rtbuild.lockfile.model import Lock
from rtbuild.lockfile.read import write_lock
from rtbuild.platform import PLATFORMS
from rtbuild.workspace import Workspace
from tests.fakes import locks, workspaces
from tests.fakes.workspaces import put, write_workspace

AMD64 = PLATFORMS["linux/amd64"]


@dataclass
class Locked:
    """A project with a lock that fits it."""

    workspace: Workspace
    lock: Lock

    def change(self, file: str, old: str, new: str) -> None:
        """Edit a recipe file."""
        path = self.workspace.root / "recipes" / f"{file}.toml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def check(self) -> tuple[str, ...]:
        """What is stale."""
        return stale_parts(self.workspace.release("8.0"), self.workspace.read_lock("8.0.0", AMD64))


@pytest.fixture
def world(tmp_path: Path) -> Locked:
    workspace = Workspace(root=write_workspace(tmp_path))
    names = ("apache-airflow-providers-amazon", "apache-airflow-providers-http", "astro-sdk-python")
    found = zip(names, ("8.0.0", "4.3.0", "1.5.3"), strict=True)
    lock = locks.lock(
        inputs=workspace.release("8.0").inputs,
        debs=(locks.deb("apt"), locks.deb("python3.9", layer="python"), locks.deb("tini")),
        pythons=(
            locks.wheel("apache-airflow", "2.6.0", layer="airflow"),
            *(locks.wheel(name, version) for name, version in found),
            locks.wheel("pip", "23.1.2", layer="airflow"),
        ),
    )
    write_lock(workspace.lock_path("8.0.0", AMD64), lock)
    return Locked(workspace=workspace, lock=lock)


def test_a_lock_that_fits(world: Locked) -> None:
    assert world.check() == ()


def test_a_python_that_is_not_the_locked_packages(world: Locked) -> None:
    minimal = locks.deb("libpython3.9-minimal", "3.9.2-1", layer="python")
    lock = replace(world.lock, debs=(*world.lock.debs, minimal))
    path = world.workspace.lock_path("8.0.0", AMD64)
    write_lock(path, lock)
    assert world.check() == ()
    write_lock(path, replace(lock, python_version="3.9.3"))
    assert world.check() == ("python_version is 3.9.3, but the locked packages bring 3.9.2",)


@pytest.mark.parametrize(
    ("file", "old", "new", "stale"),
    [
        (
            "releases/8.0.0",
            'amazon = "8.0.0"',
            'amazon = "8.1.0"',
            [
                "recipes/releases/8.0.0.toml has changed since the lock was made",
                "apache-airflow-providers-amazon: the recipes want ==8.1.0, the lock has 8.0.0",
            ],
        ),
        (
            "layers/base-os",
            '"tini"',
            '"curl"',
            [
                "recipes/layers/base-os.toml has changed since the lock was made",
                "the Debian package curl of base-os is not locked",
            ],
        ),
        (
            "releases/8.0.0",
            "2023-05-02T00:00:00Z",
            "2023-05-03T00:00:00Z",
            [
                "recipes/releases/8.0.0.toml has changed since the lock was made",
                "as_of: the recipe says 2023-05-03T00:00:00+00:00, the lock 2023-05-02T00:00:00+00:00",
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
def test_check_says_what_is_stale(world: Locked, file: str, old: str, new: str, stale: list[str]) -> None:
    world.change(file, old, new)
    assert list(world.check()) == stale


def test_check_says_which_layers_came_and_went(world: Locked) -> None:
    put(world.workspace.root / "recipes/layers/others.toml", workspaces.PROVIDERS)
    world.change("releases/8.0.0", '"providers"]', '"others"]')
    assert world.check() == (
        "recipes/layers/others.toml is new since the lock was made",
        "recipes/layers/providers.toml is no longer part of the release",
        "recipes/releases/8.0.0.toml has changed since the lock was made",
        "the lock has packages for a layer 'providers', which the release does not have",
    )


def test_check_finds_an_epoch_that_was_edited(world: Locked) -> None:
    write_lock(world.workspace.lock_path("8.0.0", AMD64), replace(world.lock, source_date_epoch=5))
    assert world.check() == (f"source_date_epoch is 5, but the newest package is of {world.lock.source_date_epoch}",)


def test_a_comment_makes_nothing_stale(world: Locked) -> None:
    world.change("releases/8.0.0", "airflow = ", "# the one that everybody waited for\nairflow = ")
    assert world.check() == ()
