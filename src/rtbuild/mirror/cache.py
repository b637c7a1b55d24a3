"""Answers cached on disk: for good if a digest names them, else until a validator changes (RFC 9110, section 13)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from rtbuild.digest import Sha256, sha256_bytes, sha256_file, sha256_stream
from rtbuild.documents import parse_json
from rtbuild.files import create_unfinished, remove_unfinished, write_atomically
from rtbuild.mirror.addresses import redacted
from rtbuild.mirror.answers import Reply
from rtbuild.mirror.http import Web
from rtbuild.store.files import store_errors


class WrongDigest(Exception):
    """Content does not have the digest that was promised; the message is the digest that it has."""


class AnswerCache:
    """A folder of answers, or None to cache nothing. Losing any file of it only costs time."""

    def __init__(self, folder: Path | None, web: Web) -> None:
        self._folder = folder
        self._web = web

    def get(self, location: str, *, accept: str | None = None) -> Reply:
        """Return the answer for `location`, from the cache if the mirror says that it has not changed.

        Args:
            location: An address, or a path on the disk.
            accept: The media types to ask for; HTML pages are returned only if this is given.

        Raises:
            FetchFailure: if there is no answer.
            StoreError: if the answer cannot be cached.
        """
        headers = {"Accept": accept} if accept else {}
        if self._folder is None:
            return self._web.get(location, headers=headers, html=accept is not None)
        # A password in the address is a secret, of which nothing is written.
        question = f"{redacted(location)}\n{accept}"
        path = self._folder / "answers" / hashlib.sha256(question.encode()).hexdigest()
        cached = _read_answer(path)
        conditions = {}
        if cached is not None and cached.etag:
            conditions["If-None-Match"] = cached.etag
        if cached is not None and cached.modified:
            conditions["If-Modified-Since"] = cached.modified
        reply = self._web.get(location, headers={**headers, **conditions}, html=accept is not None)
        if not reply.changed:
            if cached is None:
                return self._web.get(location, headers=headers)
            return replace(cached, location=reply.location)
        if reply.etag or reply.modified:
            head = {name: value for name, value in asdict(reply).items() if name not in ("content", "changed")}
            head["location"] = redacted(reply.location)
            head["sha256"] = sha256_bytes(reply.content)
            self._write(path, json.dumps(head).encode() + b"\n" + reply.content)
        return reply

    def by_digest(self, sha256: Sha256) -> bytes | None:
        """Return the content with this digest; None if it is not cached or is damaged."""
        if self._folder is None:
            return None
        with suppress(OSError):
            content = (self._folder / "by-digest" / sha256).read_bytes()
            if sha256_bytes(content) == sha256:
                return content
        return None

    def open(self, sha256: Sha256) -> BinaryIO | None:
        """Open the content with this digest, however large; None if it is not cached or is damaged."""
        if self._folder is None:
            return None
        with suppress(OSError):
            path = self._folder / "by-digest" / sha256
            if sha256_file(path) == sha256:
                return path.open("rb")
        return None

    def receive(self, sha256: Sha256, write: Callable[[BinaryIO], object]) -> BinaryIO:
        """Open what `write` writes, and cache it. It is never in memory as a whole.

        Raises:
            WrongDigest: if its digest is not `sha256`.
            StoreError: if it cannot be written.
        """
        if self._folder is None:
            return _filled(TemporaryFile(), sha256, write)
        path = self._folder / "by-digest" / sha256
        with store_errors(f"write {path}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_unfinished(path.parent, f".{sha256}.")
            partial, file = create_unfinished(path.parent, f".{sha256}.")
            try:
                _filled(file, sha256, write)
                partial.replace(path)  # while it is locked
            except BaseException:
                with suppress(OSError):
                    partial.unlink()
                raise
        return file

    def keep(self, sha256: Sha256, content: bytes) -> None:
        """Cache `content`, whose digest is `sha256`.

        Raises:
            StoreError: if it cannot be written.
        """
        if self._folder is not None:
            self._write(self._folder / "by-digest" / sha256, content)

    def _write(self, path: Path, content: bytes) -> None:
        with store_errors(f"write {path}"):
            write_atomically(path, content, durable=False)


def _filled(file: BinaryIO, sha256: Sha256, write: Callable[[BinaryIO], object]) -> BinaryIO:
    """Return `file` at its start, with what `write` writes to it; closed if that does not have the digest."""
    try:
        write(file)
        file.seek(0)
        found = sha256_stream(file)
        file.seek(0)
        if found != sha256:
            raise WrongDigest(found)
    except BaseException:
        file.close()
        raise
    return file


def _read_answer(path: Path) -> Reply | None:
    with suppress(OSError, ValueError, TypeError, AttributeError):
        head, _, content = path.read_bytes().partition(b"\n")
        fields = parse_json(head)
        if fields.pop("sha256", None) == sha256_bytes(content):
            return Reply(content=content, **fields)
    return None
