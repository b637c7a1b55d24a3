"""How much memory a process and its children take, watched from outside."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from pathlib import Path

_INTERVAL = 0.25  # seconds; a sample costs some milliseconds of a processor, which the measured work lacks
_ENGINE_COMMANDS = ("docker", "docker-buildx")


class MemoryWatch:
    """Samples a process and all below it until `stop`; `peaks` are MB by `rtbuild` and `docker and buildx`.

    Counted is PSS: memory that several processes share is divided among them, so that sums are true. The engine's own
    processes are the daemon's children, not rtbuild's.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)
        self.peaks: dict[str, float] = {}
        self._thread.start()

    def stop(self) -> None:
        """End the watch; call it when the process has ended."""
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(_INTERVAL):
            sums: defaultdict[str, float] = defaultdict(float)
            for pid in _family(self._pid):
                kind = "docker and buildx" if _command(pid) in _ENGINE_COMMANDS else "rtbuild"
                sums[kind] += _pss(pid) / 1e6
            for kind, total in sums.items():
                self.peaks[kind] = max(total, self.peaks.get(kind, 0.0))


def _family(pid: int) -> list[int]:
    pids = [pid]
    for process in pids:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{process}/task").iterdir():
                pids += [int(child) for child in (task / "children").read_text().split()]
    return pids


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _pss(pid: int) -> int:
    """Bytes; 0 for a process that has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
