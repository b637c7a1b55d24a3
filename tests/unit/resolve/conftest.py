"""What both sides of a lock share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rtbuild.mirror.http import Web
from rtbuild.resolve.python.process import PipProcess


@pytest.fixture(scope="session")
def pip() -> Iterator[PipProcess]:
    """One process for all tests: loading pip takes half a second."""
    with PipProcess() as process:
        yield process


@pytest.fixture(scope="session")
def web() -> Iterator[Web]:
    """Connections for all tests: loading the machine's certificate authorities takes a tenth of a second."""
    web = Web(timeout=5.0)
    yield web
    web.close()
