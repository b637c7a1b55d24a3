"""Work in parallel threads that never keep an interrupted program alive."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

_T = TypeVar("_T")
_PATIENCE = 2.0


def run_parallel(work: Callable[[_T], None], items: Iterable[_T], *, workers: int, stop: threading.Event) -> None:
    """Call `work` on each item, started in their order and at most `workers` at once; raise the first exception of any.

    After an exception or Ctrl-C, `stop` is set and the threads get a moment to notice. They are daemons: one that hangs
    in a read of a dead connection does not delay the end of the program (concurrent.futures would wait for it).
    """
    waiting: queue.SimpleQueue[_T] = queue.SimpleQueue()
    count = 0
    for item in items:
        waiting.put(item)
        count += 1
    failures: list[BaseException] = []

    def worker() -> None:
        while not stop.is_set():
            try:
                item = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                work(item)
            except BaseException as failure:
                failures.append(failure)
                stop.set()

    threads = [
        threading.Thread(target=worker, name=f"rtbuild-{number}", daemon=True) for number in range(min(workers, count))
    ]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive() and not failures:
                thread.join(0.2)
    except BaseException:
        stop.set()
        raise
    finally:
        deadline = time.monotonic() + _PATIENCE
        if stop.is_set():
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
    if failures:
        raise failures[0]
