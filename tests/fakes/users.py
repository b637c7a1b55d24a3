"""Being another user for a while."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def somebody() -> Iterator[None]:
    """Be a user without rights, as far as the process is not one already."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def open_folder() -> Iterator[Path]:
    """A new folder that every user may use: nobody but its owner may enter those of pytest."""
    with tempfile.TemporaryDirectory(prefix="rtbuild-tests-") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)
