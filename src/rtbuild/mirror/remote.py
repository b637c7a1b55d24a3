"""Indexes and first bytes of files from real mirrors: the `Sources` that locking uses."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

from rtbuild.digest import Sha256, sha256_bytes
from rtbuild.errors import IntegrityError, MirrorError
from rtbuild.formats.project_page import ProjectPage
from rtbuild.mirror.cache import AnswerCache
from rtbuild.mirror.find import Mirror, Mirrors, find_mirrors
from rtbuild.mirror.http import FetchFailure, Web, redacted
from rtbuild.mirror.parallel import run_parallel
from rtbuild.mirror.simple_api import read_project
from rtbuild.mirror.sources import Answer, Wanted
from rtbuild.progress import Progress, Silent
from rtbuild.recipe.model import Suite
from rtbuild.settings import Settings
from rtbuild.store.store import Store

CACHE = "answers"
"""The store's cache of what mirrors answered."""


def open_sources(settings: Settings, store: Store, progress: Progress | None = None) -> MirrorSources:
    """The sources of this machine, with answers cached in `store`."""
    return MirrorSources(find_mirrors(settings), store.cache(CACHE), web=open_web(settings), progress=progress)


def open_web(settings: Settings) -> Web:
    """Connections as the settings want them."""
    return Web(timeout=settings.timeout, retries=settings.retries, connections=settings.connections)


class MirrorSources:
    """The `Sources` of `mirrors`, answers kept in folder `cache`. `progress` hears of a mirror that fails."""

    def __init__(
        self, mirrors: Mirrors, cache: Path, *, web: Web | None = None, progress: Progress | None = None
    ) -> None:
        self._mirrors = mirrors
        self._web = web or Web()
        self._cache = AnswerCache(cache, self._web)
        self._progress = progress or Silent()
        self._told: set[str] = set()

    def debian_index(self, suite: Suite, path: str) -> Iterator[Answer]:
        """The answers for `dists/<suite>/<path>`, mirror by mirror; see `Sources`."""
        promised = _promised_digest(path)
        kept = self._cache.by_digest(promised) if promised else None
        if kept is not None:
            yield Answer(mirror="cache", content=kept)
            return
        for mirror in self._candidates(suite):
            try:
                reply = self._cache.get(mirror.place(f"dists/{suite.suite}/{path}"), accept="*/*")
            except FetchFailure as refusal:
                self._tell(mirror, refusal)
                continue
            if promised is not None and sha256_bytes(reply.content) == promised:
                self._cache.keep(promised, reply.content)
            yield Answer(mirror=mirror.name, content=reply.content)

    def debian_heads(self, wanted: Sequence[Wanted], length: int) -> dict[str, bytes]:
        """The first `length` bytes of each wanted file, by path; see `Sources`."""
        found: dict[str, bytes] = {}

        def ask(want: Wanted) -> None:
            for mirror in self._candidates(want.suite, fallback=True):
                try:
                    content, total = self._web.head(mirror.place(want.path), length)
                except FetchFailure as refusal:
                    self._tell(mirror, refusal)
                    continue
                if total == want.size:
                    found[want.path] = content
                    return

        run_parallel(ask, wanted, workers=self._web.connections, stop=threading.Event())
        return found

    def python_index_url(self) -> str:
        """The address of the index: the settings' first, else the one pip is configured for, else pip's default."""
        return self._mirrors.indexes[0].address

    def python_project(self, name: str) -> ProjectPage:
        """The project's page, its file addresses made absolute. Raises `MirrorError` with each index's answer."""
        problems = []
        for mirror in self._mirrors.indexes:
            try:
                return read_project(mirror, name, self._cache)
            except FetchFailure as refusal:
                problems.append(f"{mirror.name}: {refusal.brief}")
        raise MirrorError(
            f"no package index has a usable page for {name}",
            details="\n".join(problems),
            hint="`rtbuild mirrors` shows which indexes were found and what each can serve",
        )

    def python_metadata(self, url: str, sha256: str | None) -> bytes | None:
        """The core metadata of the wheel at `url`; None where there is none. Raises `MirrorError`, `IntegrityError`."""
        try:
            return self._file(urldefrag(url).url + ".metadata", Sha256(sha256) if sha256 else None)
        except FetchFailure as refusal:
            if refusal.missing:
                return None
            raise _not_served(url + ".metadata", refusal) from None

    def python_file(self, url: str, sha256: str) -> bytes:
        """The file at `url`, kept for the fetch that follows. Raises `MirrorError`, `IntegrityError`."""
        try:
            return self._file(urldefrag(url).url, Sha256(sha256))
        except FetchFailure as refusal:
            raise _not_served(url, refusal) from None

    def python_part(self, url: str, offset: int, length: int) -> bytes | None:
        """A part of the wheel at `url`; None where its host sends the whole file instead. Raises `MirrorError`."""
        try:
            return self._web.part(urldefrag(url).url, offset, length)
        except FetchFailure as refusal:
            raise _not_served(url, refusal) from None

    def _candidates(self, suite: Suite, *, fallback: bool = False) -> list[Mirror]:
        """The mirrors to ask. A suite of a moment is asked of dated archives alone: the others show today's.

        `fallback`: also ask the others, for a file whose name and size are known from an index already.
        """
        mirrors = list(self._mirrors.debian_for(suite.archive))
        if suite.snapshot is not None:
            dated = list(dict.fromkeys(mirror.at(suite.snapshot) for mirror in mirrors))
            mirrors = mirrors + dated if fallback else dated
        return sorted(mirrors, key=lambda mirror: not self._web.reachable(mirror.address))

    def _file(self, url: str, sha256: Sha256 | None) -> bytes:
        kept = self._cache.by_digest(sha256) if sha256 else None
        if kept is not None:
            return kept
        content = self._web.get(url).content
        if sha256 is not None:
            if sha256_bytes(content) != sha256:
                raise IntegrityError(
                    f"{urlsplit(url).path.rpartition('/')[2]}: other bytes than the index promises",
                    details=f"{redacted(url)} has sha256 {sha256_bytes(content)} instead of {sha256}",
                )
            self._cache.keep(sha256, content)
        return content

    def _tell(self, mirror: Mirror, refusal: FetchFailure) -> None:
        text = f"mirror {mirror.name}: {refusal.brief}"
        if not refusal.missing and text not in self._told:
            self._told.add(text)
            self._progress.note(text)


def _promised_digest(path: str) -> Sha256 | None:
    match = re.search(r"/by-hash/SHA256/([0-9a-f]{64})\Z", path)
    return Sha256(match[1]) if match else None


def _not_served(url: str, refusal: FetchFailure) -> MirrorError:
    return MirrorError(f"{urlsplit(url).path.rpartition('/')[2]}: {refusal.brief}", details=redacted(url))
