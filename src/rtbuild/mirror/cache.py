"""Answers kept on disk: for good where a digest names them, else until a validator changes (RFC 9110, section 13)."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from rtbuild.digest import Sha256, sha256_bytes
from rtbuild.files import write_atomically
from rtbuild.mirror.http import Reply, Web, redacted
from rtbuild.store.files import store_errors


class AnswerCache:
    """A folder of answers, or None to keep nothing. Losing any file of it costs time and nothing else."""

    def __init__(self, folder: Path | None, web: Web) -> None:
        self._folder = folder
        self._web = web

    def get(self, location: str, *, accept: str | None = None) -> Reply:
        """The answer for `location`, from the cache where the mirror says it is unchanged. Raises `Refusal`."""
        headers = {"Accept": accept} if accept else {}
        if self._folder is None:
            return self._web.get(location, headers=headers, html=accept is not None)
        # A password in the address is a secret, of which nothing is written.
        question = f"{redacted(location)}\n{accept}"
        path = self._folder / "answers" / hashlib.sha256(question.encode()).hexdigest()
        kept = _read_answer(path)
        conditions = {}
        if kept is not None and kept.etag:
            conditions["If-None-Match"] = kept.etag
        if kept is not None and kept.modified:
            conditions["If-Modified-Since"] = kept.modified
        reply = self._web.get(location, headers={**headers, **conditions}, html=accept is not None)
        if not reply.changed:
            if kept is None:
                return self._web.get(location, headers=headers)
            return replace(kept, location=reply.location)
        if reply.etag or reply.modified:
            head = {name: value for name, value in asdict(reply).items() if name not in ("content", "changed")}
            head["location"] = redacted(reply.location)
            head["sha256"] = sha256_bytes(reply.content)
            self._write(path, json.dumps(head).encode() + b"\n" + reply.content)
        return reply

    def by_digest(self, sha256: Sha256) -> bytes | None:
        """The content with this digest; None where it is not kept or was damaged."""
        if self._folder is None:
            return None
        with suppress(OSError):
            content = (self._folder / "by-digest" / sha256).read_bytes()
            if sha256_bytes(content) == sha256:
                return content
        return None

    def keep(self, sha256: Sha256, content: bytes) -> None:
        """Keep `content`, whose digest is `sha256`."""
        if self._folder is not None:
            self._write(self._folder / "by-digest" / sha256, content)

    def _write(self, path: Path, content: bytes) -> None:
        with store_errors(f"write {path}"):
            write_atomically(path, content, durable=False)


def _read_answer(path: Path) -> Reply | None:
    with suppress(OSError, ValueError, TypeError, AttributeError):
        head, _, content = path.read_bytes().partition(b"\n")
        fields = json.loads(head)
        if fields.pop("sha256") == sha256_bytes(content):
            return Reply(content=content, **fields)
    return None
