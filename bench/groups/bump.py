"""One provider moves to another version: lock it, fetch it, build."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bench.ground import RELEASE, BenchError, Ground
from bench.measure import Measure, load_average
from bench.rival import Rival, requirements
from rtbuild import Workspace

_PROVIDER = "apache-airflow-providers-ftp"
_VERSIONS = ("3.3.0", "3.2.0", "3.1.0")


def run(ground: Ground, rival: Rival) -> Iterator[Measure]:
    """Each run takes a version of the provider that the store has not seen yet."""
    store = ground.warm_store
    rival.unchanged()
    workspace = ground.project_copy("bump")
    recipe = workspace / "recipes" / "releases" / f"{RELEASE}.toml"
    load = load_average()
    locking: list[float] = []
    ours: list[float] = []
    theirs: list[float] = []
    for version in _VERSIONS[: ground.runs(len(_VERSIONS))]:
        text, count = re.subn(
            rf'(?m)^{_PROVIDER} = ".*"$', f'{_PROVIDER} = "{version}"', recipe.read_text(encoding="utf-8")
        )
        if count != 1:
            raise BenchError(f"the recipe of {RELEASE} does not pin {_PROVIDER} in one line")
        recipe.write_text(text, encoding="utf-8")
        locking.append(ground.rtbuild("lock", RELEASE, store=store, workspace=workspace).seconds)
        ground.rtbuild("fetch", RELEASE, store=store, workspace=workspace)
        ours.append(ground.build(store, workspace=workspace).seconds)
        lock = Workspace.find(workspace).read_lock(RELEASE, ground.platform)
        (moved,) = (python for python in lock.pythons if python.name == _PROVIDER)
        rival.add_wheel(store / "artifacts" / moved.sha256, moved.filename)
        theirs.append(rival.pip_layer(requirements(lock)))
    middle = len(ours) // 2
    yield Measure(
        name="one provider bumped",
        ours=sorted(ours)[middle],
        theirs=sorted(theirs)[middle],
        rival="docker build, the pip instruction again",
        target=2.5,
        load=load,
        runs=len(ours),
    )
    yield Measure(name="lock after one provider was bumped", ours=sorted(locking)[middle], load=load, runs=len(locking))
