"""Hashing the layers of a release before a build asks for them, while Python imports what the build needs.

Nearly always, a build finds the layers that the last one used, and hashing them takes as long as all else. Which those
were is kept in the store. It is a guess: a blob whose hash began early is hashed in full, and its hash is used once,
for exactly that file. Losing it only costs time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from rtbuild.digest import Digest, Sha256, parse_digest, sha256_bytes
from rtbuild.documents import parse_json
from rtbuild.errors import StoreError
from rtbuild.files import write_atomically
from rtbuild.oci.layout import Layout
from rtbuild.store.artifacts import hash_artifact

_GUESSES = "cache/guesses"
_THREADS = 2
"""How many files are hashed in parallel: the disk is the limit."""

_Identity = tuple[int, int, int, int]


class _Hash:
    """The hash of a file, done or not. `sha256` is None if it could not be computed."""

    def __init__(self, path: Path, identity: _Identity) -> None:
        self.path = path
        self.identity = identity
        self.sha256: Sha256 | None = None
        self.done = threading.Event()

    def compute(self) -> None:
        try:
            with suppress(StoreError):
                self.sha256 = hash_artifact(self.path)
        finally:
            self.done.set()


_begun: dict[Path, _Hash] = {}


def hash_guessed(root: Path, release: str, platform: str) -> None:
    """Begin to hash the layers that the last build of a release used, if the store at `root` knows them.

    `release` is the name that the user gives, so that no recipe must be read before.
    """
    root = root.absolute()
    with suppress(OSError, ValueError, TypeError, KeyError):
        manifest = parse_digest(_guess(root, release, platform).read_text(encoding="ascii"))
        layers = parse_json(_blob(root, manifest).read_bytes())["layers"]
        begin_hashing([_blob(root, parse_digest(layer["digest"])) for layer in layers])


def keep_guess(root: Path, release: str, platform: str, manifest: Digest) -> None:
    """Keep which image a build made; nothing is written if that is not possible."""
    path = _guess(root.absolute(), release, platform)
    with suppress(OSError):
        if not path.exists() or path.read_bytes() != manifest.encode():
            write_atomically(path, manifest.encode(), durable=False)


def begin_hashing(paths: Iterable[Path]) -> None:
    """Begin to hash files in threads, the largest first. Files that are missing, or begun already, are left out."""
    new = []
    for path in paths:
        if path not in _begun and (identity := _identity(path)) is not None:
            _begun[path] = begun = _Hash(path, identity)
            new.append(begun)
    new.sort(key=lambda begun: begun.identity[2], reverse=True)
    waiting = iter(new)
    for number in range(min(_THREADS, len(new))):
        # Daemons: a command that ends early does not wait for them.
        threading.Thread(target=_work, args=(waiting,), name=f"hash-{number}", daemon=True).start()


def take_hash(path: Path) -> Sha256 | None:
    """Return the sha256 of a file whose hash was begun; wait for it if it is not done.

    Returns:
        None if it was not begun, was taken before, or is that of another file than is there now.
    """
    begun = _begun.pop(path, None)
    if begun is None:
        return None
    begun.done.wait()
    return begun.sha256 if _identity(path) == begun.identity else None


def _work(waiting: Iterable[_Hash]) -> None:
    for begun in waiting:
        begun.compute()


def _identity(path: Path) -> _Identity | None:
    """Return what changes if the file is replaced or written; None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _blob(root: Path, digest: Digest) -> Path:
    return Layout(root / "layout").blob_path(digest)


def _guess(root: Path, release: str, platform: str) -> Path:
    return root / _GUESSES / sha256_bytes(f"{release}\n{platform}".encode())
