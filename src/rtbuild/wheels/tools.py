"""The tools that build and compile wheels: a tar of a lock's Python, kept in the store because builds share it.

cache/tools/<digest of the packages>.tar       the tar
cache/tools/<digest of the packages>.sha256    its sha256, which is checked before each use
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from rtbuild.digest import canonical_json, parse_sha256, sha256_bytes, sha256_file
from rtbuild.files import link_file, remove_unfinished, write_atomically
from rtbuild.lockfile.model import Lock
from rtbuild.store.store import Store
from rtbuild.wheels.toolroot import merged_folders, tool_debs, unpack_debs

SCHEMA = 2
"""Increase it whenever the same packages give another tar than before."""

_CACHE = "tools"
_WITHOUT = (
    "usr/lib/aarch64-linux-gnu/gconv/",
    "usr/lib/x86_64-linux-gnu/gconv/",
    "usr/share/doc/",
    "usr/share/info/",
    "usr/share/lintian/",
    "usr/share/locale/",
    "usr/share/man/",
)
"""What no tool reads: documentation, translations, and glibc's encodings, for Python has its own.

Measured for Debian 11: 21 of 72 MB.
"""


def place_tools(lock: Lock, target: Path, store: Store) -> None:
    """Write the tar with the Python of `lock` and its dependencies to `target`, which should be in the store.

    The packages must be in the store, verified. Their documentation and translations are left out.

    Raises:
        BuildError: if the lock has no Python.
        IntegrityError: if a file is not a Debian package.
        StoreError: if the store cannot be written.
    """
    debs, links = tool_debs(lock.debs), merged_folders(lock.debs)
    inputs = [SCHEMA, list(links), [deb.sha256 for deb in debs]]
    kept = store.cache(_CACHE) / f"{sha256_bytes(canonical_json(inputs))}.tar"
    if _is_whole(kept):
        link_file(kept, target)
        return
    unpack_debs([store.artifact_path(deb.sha256) for deb in debs], target, links=links, without=_WITHOUT)
    _keep(target, kept)


def _is_whole(kept: Path) -> bool:
    """Return whether the tar is there and has the bytes that were written."""
    with suppress(OSError, ValueError):
        return sha256_file(kept) == parse_sha256(_record(kept).read_text(encoding="ascii").strip())
    return False


def _keep(tar: Path, kept: Path) -> None:
    """Keep a tar for later builds; nothing is kept if that is not possible."""
    sha256 = sha256_file(tar)
    # Never without a file in between: another process may be about to use it.
    new = kept.with_name(f".{kept.name}.{os.urandom(6).hex()}")
    with suppress(OSError):
        remove_unfinished(kept.parent, f".{kept.name}.")
        link_file(tar, new)
        new.replace(kept)
        write_atomically(_record(kept), f"{sha256}\n".encode(), durable=False)
    with suppress(OSError):
        new.unlink(missing_ok=True)


def _record(kept: Path) -> Path:
    return kept.with_suffix(".sha256")
