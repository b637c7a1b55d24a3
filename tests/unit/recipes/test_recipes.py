"""The recipes of this repository."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rtbuild.recipe.patches import PATCH_FOLDER
from rtbuild.recipe.read import list_engines, list_releases, read_engine, read_release

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("version", list_releases(ROOT))
def test_a_release_can_be_read(version: str) -> None:
    release = read_release(ROOT, version)
    assert dict(release.image.labels)["io.astronomer.docker.runtime.version"] == version
    assert dict(release.image.env)["ASTRONOMER_RUNTIME_VERSION"] == version


@pytest.mark.parametrize("name", list_engines(ROOT))
def test_an_engine_can_be_read(name: str) -> None:
    assert {package for package, _ in read_engine(ROOT, name).packages} > {"docker.io", "containerd", "runc"}


def test_no_recipe_names_an_address() -> None:
    # What tools leave in the folder of a package is not part of a recipe.
    leftover = re.compile(r"/\.|/__pycache__/|\.egg-info/")
    recipes = ROOT / "recipes"
    files = [
        path for path in recipes.rglob("*") if path.is_file() and not leftover.search(f"/{path.relative_to(recipes)}")
    ]
    assert files
    assert [str(path) for path in files if "://" in path.read_text(encoding="utf-8")] == []


def test_every_patch_is_one_of_a_release() -> None:
    used = {patch.id for version in list_releases(ROOT) for patch in read_release(ROOT, version).patches}
    assert used == {path.stem for path in (ROOT / PATCH_FOLDER).glob("*.toml")}
    assert {f"{name}.patch" for name in used} == {path.name for path in (ROOT / PATCH_FOLDER).glob("*.patch")}
