"""Whatever happens to a command, the next one works, gives the same bytes, and leaves nothing of the first behind.

`nox -s stress` repeats each test: `--rounds N` says how often, `--seed N` draws the same moments and sizes again.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from rtbuild.engine import processes
from rtbuild.mirror.download import fetch_artifacts
from rtbuild.platform import host_platform
from rtbuild.settings import Settings
from rtbuild.store.store import Store
from rtbuild.workspace import Workspace
from tests.fakes.package_index import PackageIndex, make_wheel
from tests.fakes.users import require_root
from tests.integration.command_line import ROOT, CommandLine, finish
from tests.integration.conftest import SmallRelease
from tests.integration.crashes import (
    Crash,
    artifacts,
    assert_clean,
    digests,
    files_of,
    image,
    kept,
    kill_after,
    left_in,
    locked,
    outdated,
    output,
    proven,
    small_disk,
    survivors,
    unfetched,
    unlocked,
    unrecorded,
)
from tests.integration.small import VERSION

pytestmark = pytest.mark.integration

BUILT, UNBUILT = SmallRelease.copy, SmallRelease.unbuilt

CRASHES = (
    Crash(arguments=("fetch", VERSION), begin=unfetched, result=artifacts),
    Crash(arguments=("build", VERSION, "--json"), begin=UNBUILT, result=image),
    Crash(arguments=("build", VERSION, "--output", "../out"), begin=BUILT, result=output),
    Crash(arguments=("export", VERSION, "--output", "../out/requirements.txt"), begin=BUILT, result=output),
    Crash(arguments=("store", "gc"), begin=outdated, result=kept),
    Crash(arguments=("store", "verify"), begin=BUILT, result=kept),
)

LARGE = (
    Crash(arguments=("build", VERSION, "--record"), begin=unrecorded, result=locked),
    Crash(arguments=("build", VERSION, "--load", "--json"), begin=UNBUILT, result=image),
    Crash(arguments=("verify", VERSION, "--json"), begin=BUILT, result=proven),
)


@pytest.fixture(scope="module")
def rounds(pytestconfig: pytest.Config) -> int:
    rounds: int = pytestconfig.getoption("rounds")
    return rounds


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> Random:
    """Draws the same for the same seed and test."""
    return Random(f"{request.config.getoption('seed')} {request.node.name}")


@pytest.mark.parametrize(
    "crash",
    [*CRASHES, *(pytest.param(crash, marks=pytest.mark.large) for crash in LARGE)],
    ids=lambda crash: crash.title,
)
def test_killed_at_any_moment(small: SmallRelease, room: Path, crash: Crash, rounds: int, chance: Random) -> None:
    disturb(crash, small, room, rounds, chance)


@pytest.mark.large
def test_locking_killed_at_any_moment(small: SmallRelease, room: Path, rounds: int, chance: Random) -> None:
    with PackageIndex() as index:
        for wheel in (make_wheel("apache-airflow", "2.6.0", requires=["greeting"]), make_wheel("greeting", "1.0")):
            index.publish(wheel, uploaded="2023-04-01T00:00:00Z")
        # Debian's packages come from the machine's own sources.
        environment = {"RTBUILD_PYTHON_INDEXES": index.url, "RTBUILD_DEBIAN_MIRRORS": None}
        mine = replace(small, environment={**small.environment, **environment})
        disturb(Crash(arguments=("lock", VERSION), begin=unlocked, result=locked), mine, room, rounds, chance)


def disturb(crash: Crash, small: SmallRelease, room: Path, rounds: int, chance: Random) -> None:
    """Kill a command at moments of its undisturbed run, and compare what the next one gives."""
    undisturbed = with_own_images(crash.begin(small, room / "undisturbed"))
    begun = time.monotonic()
    expected = crash.result(undisturbed, undisturbed.command.run(*crash.arguments).succeeded())
    seconds = time.monotonic() - begun
    for number in range(rounds):
        mine = with_own_images(crash.begin(small, room / str(number)))
        moment, group = chance.uniform(0, seconds), chance.random() < 0.5
        killed = kill_after(mine.command, crash.arguments, moment, group=group)
        print(f"{len(killed)} processes after {moment:.3f} of {seconds:.3f} s, whole group killed: {group}")
        assert survivors(killed) == [], "nobody reads their output any more, so they must end by themselves"
        answer = mine.command.run(*crash.arguments).succeeded()
        assert crash.result(mine, answer) == expected
        assert_clean(mine)
        shutil.rmtree(mine.folder)


def with_own_images(small: SmallRelease) -> SmallRelease:
    """The release under a name that `--load` may give to an image of the tests."""
    return replace(small, environment={**small.environment, "RTBUILD_REPOSITORY": "rtbuild-tests/crash"})


def test_a_disk_that_is_full_at_any_moment(small: SmallRelease, room: Path, rounds: int, chance: Random) -> None:
    require_root()
    arguments = ("build", VERSION, "--json", "--output", "../out")
    with small_disk(room / "disk", 1000) as resize:
        for number in range(rounds):
            mine = unfetched(small, room / "disk" / str(number))
            used = shutil.disk_usage(room / "disk").used >> 20
            resize(used + (free := chance.randint(1, 250)))
            print(f"{free} MB of disk")
            answer = mine.command.run(*arguments)
            if answer.code:
                error = answer.document
                assert "no space left on device" in f"{error['error']} {error['cause']}".lower()
                assert re.match("free (some|disk) space", error["hint"])
            assert left_in(mine) == []
            resize(1000)
            assert image(mine, mine.command.run(*arguments).succeeded()) == digests(small.answer)
            assert_clean(mine)
            shutil.rmtree(mine.folder)


def test_four_processes_on_one_store(small: SmallRelease, room: Path, rounds: int) -> None:
    build = ("build", VERSION, "--json", "--output", "../out")
    commands = (build, build, ("fetch", VERSION, "--json"), ("store", "gc", "--json"))
    for number in range(rounds):
        mine = unfetched(small, room / str(number))
        running = [mine.command.start(*arguments) for arguments in commands]
        first, second, *_ = [finish(process).succeeded() for process in running]
        assert image(mine, first) == image(mine, second) == digests(small.answer)
        assert_clean(mine)
        mine.command.run("build", VERSION, "--output", "../again").succeeded()
        assert files_of(mine.folder / "out") == files_of(mine.folder / "again")
        shutil.rmtree(mine.folder)


@pytest.mark.large
def test_a_private_engine_killed_at_any_moment(
    workspace: Workspace, settings: Settings, tmp_path_factory: pytest.TempPathFactory, rounds: int, chance: Random
) -> None:
    require_root()
    folder = tmp_path_factory.mktemp("e")  # a socket has a short path
    engine = CommandLine(
        workspace=ROOT, store=folder / "store", environment={"RTBUILD_ENGINE_DIR": str(folder / "engine")}
    )
    lock = workspace.read_engine_lock("default", host_platform())
    fetch_artifacts(lock.debs, Store.open(engine.store), settings)
    try:
        seconds = {verb: timed(engine, "engine", verb) for verb in ("start", "stop", "remove")}
        for _ in range(rounds):
            for verb in ("start", "stop", "remove"):
                moment, group = chance.uniform(0, seconds[verb]), chance.random() < 0.5
                print(f"engine {verb}: {moment:.3f} of {seconds[verb]:.3f} s, whole group killed: {group}")
                kill_after(engine, ("engine", verb), moment, group=group)
                status = engine.run("engine", verb, "--json").succeeded().document
                assert status["running"] is (verb == "start")
                if verb == "start":
                    subprocess.run([status["docker"], "-H", status["host"], "info"], check=True, capture_output=True)
            assert (processes.processes_below(folder), processes.mounts_below(folder)) == ((), ())
            assert list((folder / "engine").iterdir()) == []
    finally:
        engine.run("engine", "remove").succeeded()
        shutil.rmtree(folder)


def timed(command: CommandLine, *arguments: str) -> float:
    """Run a command, and return how many seconds it took."""
    begun = time.monotonic()
    command.run(*arguments).succeeded()
    return time.monotonic() - begun
