"""A small workspace on disk, for tests that read recipes and locks."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbuild.errors import RecipeError
from rtbuild.recipe.read import read_release

BASE_OS = """
kind = "debian"
title = "A small system"
packages = ["apt", "tini"]

[[suite]]
archive = "debian"
suite = "bullseye"

[[user]]
name = "astro"
uid = 50000
gid = 0
home = "/home/astro"

[[files]]
path = "/etc/motd"
source = "motd"

[[removals]]
pattern = "/var/log/*.log"
reason = "says when the build ran"

[image.env]
LANG = "C.UTF-8"
WHO = "base"
"""

PYTHON = """
kind = "debian"
title = "Python"
parent = "base-os"
packages = ["python3.9"]

[[removals]]
pattern = "/usr/*/__pycache__"
reason = "differs from run to run"
"""

AIRFLOW = """
kind = "python"
title = "Airflow"
roots = ["apache-airflow", "pip"]
requirements = ["pip"]

[image]
working_dir = "/usr/local/airflow"

[image.env]
WHO = "airflow"
VERSION = "{version} on {os}"
"""

PROVIDERS = """
kind = "python"
title = "The rest"
"""

RELEASE = """
airflow = "2.6.0"
released = "2023-04-30"
python = "3.9"
os = "Debian 11"
as_of = 2023-05-02T00:00:00Z
platforms = ["linux/amd64"]
layers = ["base-os", "python", "airflow", "providers"]
extras = ["celery", "async"]
packages = ["astro-sdk-python==1.5.3"]
constraints = ["pip==23.1.2"]
build_constraints = ["setuptools==67.7.2"]

[support]
status = "stable"
until = "2023-11"

[providers]
apache-airflow-providers-http = "4.3.0"
apache-airflow-providers-amazon = "8.0.0"
"""

ENGINE = """
title = "Docker"

[packages]
runc = "bookworm"
"docker.io" = "trixie"

[[suite]]
archive = "debian"
suite = "trixie"

[[suite]]
archive = "debian"
suite = "bookworm"
"""


def write_workspace(root: Path, **changed: str) -> Path:
    """Write a small workspace to `root`.

    `changed` replaces the texts of recipes: `base_os`, `python`, `airflow`, `providers`, `release`.
    """
    texts = {"base_os": BASE_OS, "python": PYTHON, "airflow": AIRFLOW, "providers": PROVIDERS, "release": RELEASE}
    texts.update(changed)
    recipes = root / "recipes"
    for layer in ("base_os", "python", "airflow", "providers"):
        put(recipes / "layers" / f"{layer.replace('_', '-')}.toml", texts[layer])
    put(recipes / "layers" / "base-os" / "motd", "hello\n")
    put(recipes / "releases" / "8.0.0.toml", texts["release"])
    put(recipes / "engines" / "default.toml", ENGINE)
    return root


def put(path: Path, text: str) -> None:
    """Write `text` to `path`, creating its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def refusal(root: Path, version: str = "8.0.0") -> RecipeError:
    """Return the error of reading a bad release, whose brief must be one line."""
    with pytest.raises(RecipeError) as caught:
        read_release(root, version)
    assert "\n" not in caught.value.brief
    return caught.value
