"""Scripts that run inside the builder or in an image. rtbuild only reads them; it never imports them.

Their bytes are part of layer keys: any change to a script, even to a comment, rebuilds layers.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from rtbuild.digest import Sha256, sha256_bytes


def read_script(name: str) -> bytes:
    """Return the bytes of the script called `name`, such as `compile_wheels.py`."""
    # Not importlib.resources, which would load zipfile and more into every plan.
    return Path(__file__).with_name(name).read_bytes()


@cache
def script_digest(name: str) -> Sha256:
    """Return the sha256 of the script called `name`."""
    return sha256_bytes(read_script(name))
