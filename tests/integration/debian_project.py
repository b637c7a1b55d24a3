"""A project of nothing but Debian layers, each on the one before, whose lock real mirrors give."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import tomlkit

from rtbuild.workspace import Workspace
from tests.integration.small import VERSION

_RELEASE = """
os = "Debian 11"
as_of = 2023-05-02T00:00:00Z
platforms = ["linux/amd64"]
"""


def write_debian_project(root: Path, real: Workspace, packages: Mapping[str, Sequence[str]]) -> None:
    """Write a project without a lock to `root`, whose layers, bottom first, have these packages.

    The lowest layer must be called `base-os`: apart from its packages, it is that of the `real` workspace.
    """
    for part in ("recipes/engines", "runtime.lock/engines", "recipes/layers/base-os"):
        shutil.copytree(real.root / part, root / part)
    recipe = tomlkit.parse((real.root / "recipes" / "layers" / "base-os.toml").read_text())
    for field in ("apt_sources", "copies", "links"):  # of files in packages that may not be here
        recipe.pop(field, None)
    parent = ""
    for name, chosen in packages.items():
        if parent:
            recipe = tomlkit.parse(f'kind = "debian"\ntitle = "More packages"\nparent = "{parent}"\n')
        recipe["packages"] = list(chosen)
        (root / "recipes" / "layers" / f"{name}.toml").write_text(tomlkit.dumps(recipe))
        parent = name
    release = tomlkit.parse(_RELEASE)
    release["layers"] = list(packages)
    path = root / "recipes" / "releases" / f"{VERSION}.toml"
    path.parent.mkdir()
    path.write_text(tomlkit.dumps(release))
