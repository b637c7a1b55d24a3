"""Work side by side: all of it, and the first failure stops the rest."""

from __future__ import annotations

import threading
import time

import pytest

from rtbuild.mirror.parallel import run_parallel


def test_every_item_is_worked_on_at_most_so_many_at_once() -> None:
    lock = threading.Lock()
    seen: list[int] = []
    running, most = 0, 0

    def work(item: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1
            seen.append(item)

    run_parallel(work, range(20), workers=3, stop=threading.Event())
    assert sorted(seen) == list(range(20))
    assert 1 < most <= 3


def test_a_failure_is_raised_and_stops_the_rest() -> None:
    stop = threading.Event()
    started: list[int] = []

    def work(item: int) -> None:
        started.append(item)
        if item == 3:
            raise ZeroDivisionError
        stop.wait(0.01)

    with pytest.raises(ZeroDivisionError):
        run_parallel(work, range(1000), workers=2, stop=stop)
    assert stop.is_set()
    assert len(started) < 100


def test_nothing_to_do_is_done() -> None:
    run_parallel(print, [], workers=4, stop=threading.Event())
