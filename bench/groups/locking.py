"""Choosing every artifact: with an empty cache, and with nothing changed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from uv import find_uv_bin

from bench.ground import RELEASE, Ground
from bench.ground import run as run_command
from bench.measure import Measure, load_average, timed
from bench.rival import Rival
from rtbuild.mirror.find import find_mirrors
from rtbuild.recipe.names import normalized


def run(ground: Ground, rival: Rival) -> Iterator[Measure]:
    """Both sides of the lock, against uv for the Python side alone; nothing that users have does both."""
    store = ground.folder / "store-lock"
    workspace = ground.project_copy("lock")
    folder = ground.folder / "uv"
    folder.mkdir()

    def uv() -> float:
        return timed(lambda: _uv(ground, folder))

    if not ground.quick:
        shutil.rmtree(workspace / "runtime.lock" / RELEASE)
        load = load_average()
        cold = ground.rtbuild("lock", RELEASE, store=store, workspace=workspace, watch=True)
        yield Measure(
            name="lock, empty cache",
            ours=cold.seconds,
            theirs=uv(),
            rival="uv pip compile (Python alone)",
            target=240,
            load=load,
        )
        yield Measure(name="peak memory, lock", ours=cold.peaks["rtbuild"], unit="MB", target=300, load=load)
        load = load_average()
        anew = ground.rtbuild("lock", RELEASE, "--refresh", store=store, workspace=workspace)
        yield Measure(
            name="lock again, indexes cached",
            ours=anew.seconds,
            theirs=uv(),
            rival="uv pip compile (Python alone)",
            load=load,
        )
    load = load_average()
    same = ground.rtbuild("lock", RELEASE, store=store, workspace=workspace)
    yield Measure(name="lock, nothing changed", ours=same.seconds, target=15, load=load)


def _uv(ground: Ground, here: Path) -> None:
    """The same question to uv, with its cache in `here`; but for the project's own packages, which no index has."""
    own = {python.name for python in ground.lock.pythons if python.local}
    asked = [text for text in ground.release.requirements if normalized(Requirement(text).name) not in own]
    (here / "asked.in").write_text("\n".join(asked))
    (here / "bound.txt").write_text("\n".join(ground.release.constraints))
    index = find_mirrors(ground.settings).indexes[0].address
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    run_command(
        [
            *(find_uv_bin(), "pip", "compile", "--no-config", "--quiet", "--generate-hashes"),
            *("--cache-dir", here / "cache", "--default-index", index),
            *("--python-platform", f"{ground.platform.machine}-manylinux_2_31"),
            *("--python-version", ground.lock.python_version or ""),
            *("--exclude-newer", ground.release.as_of.isoformat(), "--constraints", "bound.txt", "asked.in"),
        ],
        cwd=here,
        environment=environment,
    )
