"""Finding and ending processes and mounts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from rtbuild.engine import processes
from tests.fakes.users import require_root, somebody


@pytest.fixture
def stubborn() -> Iterator[subprocess.Popen[bytes]]:
    """A shell that ignores SIGTERM, with a child that does the same."""
    script = "trap '' TERM; sleep 600 & echo ready; wait; sleep 600"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_a_family_that_ignores_sigterm_is_killed(stubborn: subprocess.Popen[bytes]) -> None:
    (child,) = processes.descendants(stubborn.pid)
    processes.end_family(stubborn.pid, grace=0.2)
    assert stubborn.wait(60) == -9
    assert processes.start_time(child) is None


def test_a_process_that_ends_by_itself_is_not_killed() -> None:
    with subprocess.Popen(["sh", "-c", "trap 'exit 7' TERM; echo; while :; do sleep 0.05; done"], stdout=-1) as process:
        assert process.stdout is not None
        process.stdout.readline()
        processes.end_family(process.pid, grace=10)
        assert process.wait(60) == 7


def test_a_zombie_does_not_count_as_a_process() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    deadline = time.monotonic() + 60
    while processes.start_time(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert processes.start_time(pid) is None
    assert processes.executable(pid) is None
    assert (Path("/proc") / str(pid)).exists()
    processes.reap(pid)
    assert not (Path("/proc") / str(pid)).exists()


def test_a_process_is_known_by_its_program() -> None:
    here = Path(sys.executable).resolve()
    assert processes.runs(os.getpid(), here)
    assert not processes.runs(os.getpid(), Path("/usr/sbin/dockerd"))
    assert os.getpid() in processes.processes_below(here.parent)
    assert os.getpid() not in processes.processes_below(here.parent / "bin-of-others")


def test_a_process_of_another_user_is_known_by_its_command_line(stubborn: subprocess.Popen[bytes]) -> None:
    require_root()
    program = Path((Path("/proc") / str(stubborn.pid) / "cmdline").read_bytes().split(b"\0")[0].decode())
    with somebody():
        assert processes.executable(stubborn.pid) is None
        assert processes.runs(stubborn.pid, program)
        assert not processes.runs(stubborn.pid, Path("/usr/sbin/dockerd"))


def test_ending_no_process_does_not_wait() -> None:
    begun = time.monotonic()
    processes.end_processes([2**22 + 1], grace=60)
    assert time.monotonic() - begun < 30


def test_mounts_are_listed_deepest_first_and_unmounted(tmp_path: Path) -> None:
    require_root()
    outer = tmp_path / "with space"
    outer.mkdir()
    processes.mount("tmpfs", "tmpfs", outer, "size=1m")
    (outer / "inner").mkdir()
    processes.mount("tmpfs", "tmpfs", outer / "inner", "size=1m")
    assert processes.mounts_below(tmp_path) == (outer / "inner", outer)
    assert processes.mounts_below(tmp_path / "with") == ()
    for point in processes.mounts_below(tmp_path):
        processes.unmount(point)
    assert processes.mounts_below(tmp_path) == ()
    with pytest.raises(OSError, match="Invalid argument"):
        processes.unmount(outer)
