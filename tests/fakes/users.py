"""The users that tests run as."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65534


def require_root() -> None:
    """Fail a test that needs root on Linux, such as one that starts the programs of a private engine."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.fail("this test needs root on Linux: run the tests in a container, or with sudo")


@contextmanager
def somebody() -> Iterator[None]:
    """Be a user without rights until the block ends, unless the process is one already."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def open_folder() -> Iterator[Path]:
    """Create a folder that every user may use until the block ends; only the owner may enter those of pytest."""
    with tempfile.TemporaryDirectory(prefix="rtbuild-tests-") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)
