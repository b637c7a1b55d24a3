"""Indexes and first bytes of files from real mirrors: the `Sources` that locking uses."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urldefrag, urlsplit

from rtbuild.digest import Sha256, sha256_bytes
from rtbuild.errors import IntegrityError, MirrorError
from rtbuild.formats.project_page import ProjectPage
from rtbuild.mirror.addresses import redacted
from rtbuild.mirror.cache import AnswerCache, WrongDigest
from rtbuild.mirror.failure import FetchFailure
from rtbuild.mirror.find import Mirrors
from rtbuild.mirror.http import Web
from rtbuild.mirror.logins import netrc_logins
from rtbuild.mirror.parallel import run_parallel
from rtbuild.mirror.simple_api import read_project
from rtbuild.mirror.site import Mirror
from rtbuild.mirror.sources import Answer, Wanted
from rtbuild.progress import Progress, Silent
from rtbuild.recipe.model import Suite
from rtbuild.settings import Settings

CACHE = "answers"
"""The name of the store's cache of answers."""


def open_web(settings: Settings) -> Web:
    """Return connections within the limits of the settings."""
    return Web(
        timeout=settings.timeout,
        retries=settings.retries,
        connections=settings.connections,
        logins=netrc_logins(dict(settings.pip_environment)),
    )


def add_sites(web: Web, mirrors: Mirrors) -> None:
    """Let `web` use the proxies and logins that `mirrors` come with."""
    for mirror in (*mirrors.debian, *mirrors.python):
        web.add_site(mirror.address, proxy=mirror.proxy)


class MirrorSources:
    """The `Sources` of `mirrors`, with answers cached in the folder `cache`.

    `progress` is notified once of each failure of a mirror.
    """

    def __init__(
        self, mirrors: Mirrors, cache: Path, *, web: Web | None = None, progress: Progress | None = None
    ) -> None:
        self._mirrors = mirrors
        self._web = web or Web()
        add_sites(self._web, mirrors)
        self._cache = AnswerCache(cache, self._web)
        self._progress = progress or Silent()
        self._told: set[str] = set()

    def debian_index(self, suite: Suite, path: str) -> Iterator[Answer]:
        """Yield the answers for `dists/<suite>/<path>`, mirror by mirror; see `Sources`."""
        expected = _digest_in(path)
        cached = self._cache.by_digest(expected) if expected else None
        if cached is not None:
            yield Answer(mirror="cache", content=cached)
            return
        for mirror in self._candidates(suite):
            try:
                reply = self._cache.get(mirror.place(f"dists/{suite.suite}/{path}"), accept="*/*")
            except FetchFailure as failure:
                self._tell(mirror, failure)
                continue
            if expected is not None and sha256_bytes(reply.content) == expected:
                self._cache.keep(expected, reply.content)
            yield Answer(mirror=mirror.name, content=reply.content)

    def debian_heads(self, wanted: Sequence[Wanted], length: int) -> dict[str, bytes]:
        """Return the first `length` bytes of each wanted file, by path; see `Sources`."""
        heads: dict[str, bytes] = {}

        def ask(file: Wanted) -> None:
            for mirror in self._candidates(file.suite, fallback=True):
                try:
                    content, total = self._web.head(mirror.place(file.path), length)
                except FetchFailure as failure:
                    self._tell(mirror, failure)
                    continue
                if total == file.size:
                    heads[file.path] = content
                    return

        run_parallel(ask, wanted, workers=self._web.connections, stop=threading.Event())
        return heads

    def python_project(self, name: str) -> ProjectPage:
        """Return the project's page, file addresses made absolute.

        Raises:
            MirrorError: if no index has a usable page.
        """
        problems = []
        indexes = self._mirrors.indexes_for(name)
        for index, mirror in enumerate(indexes):
            try:
                return read_project(mirror, name, self._cache)
            except FetchFailure as failure:
                problems.append(f"{mirror.name}: {failure.brief}")
                if not failure.missing and index + 1 < len(indexes):
                    # Another index may have another package of that name (dependency confusion).
                    problems.append("the other indexes were not asked, because only this one can say that it has none")
                    break
        if not indexes:
            raise MirrorError(
                f"{name} is a private package, and the settings name no package index",
                hint="name the index that has it as the first of python_indexes in rtbuild.toml",
            )
        raise MirrorError(
            f"no package index has a usable page for {name}",
            details="\n".join(problems),
            hint="run `rtbuild mirrors` to see which indexes were found and what each can serve",
        )

    def python_metadata(self, url: str, sha256: str | None) -> bytes | None:
        """Return the core metadata of the wheel at `url`; None if the index has none.

        Raises:
            MirrorError: if the index fails.
            IntegrityError: if the metadata has another sha256.
        """
        try:
            return self._file(urldefrag(url).url + ".metadata", Sha256(sha256) if sha256 else None)
        except FetchFailure as failure:
            if failure.missing:
                return None
            raise _not_served(url + ".metadata", failure) from None

    def python_file(self, url: str, sha256: str, size: int) -> BinaryIO:
        """Open the file of `size` bytes at `url`, and cache it; see `Sources`.

        Raises:
            MirrorError: if it cannot be fetched, or has another size.
            IntegrityError: if it has another sha256.
            StoreError: if it cannot be cached.
        """
        digest, location = Sha256(sha256), urldefrag(url).url
        cached = self._cache.open(digest)
        if cached is not None:
            return cached
        try:
            return self._cache.receive(digest, lambda file: self._web.save(location, file, size=size))
        except FetchFailure as failure:
            raise _not_served(url, failure) from None
        except WrongDigest as error:
            raise _differs(location, str(error), digest) from None

    def python_part(self, url: str, offset: int, length: int) -> bytes | None:
        """Return a part of the wheel at `url`; None if its host sends the whole file instead.

        Raises:
            MirrorError: if it cannot be fetched.
        """
        try:
            return self._web.part(urldefrag(url).url, offset, length)
        except FetchFailure as failure:
            raise _not_served(url, failure) from None

    def _candidates(self, suite: Suite, *, fallback: bool = False) -> list[Mirror]:
        """Return the mirrors to ask: for a dated suite only dated archives, as the others show today's.

        With `fallback`, the others follow, for a file whose name and size an index has given already.
        """
        mirrors = list(self._mirrors.debian_for(suite.archive))
        if suite.snapshot is not None:
            dated = list(dict.fromkeys(mirror.at(suite.snapshot) for mirror in mirrors))
            mirrors = mirrors + dated if fallback else dated
        return sorted(mirrors, key=lambda mirror: not self._web.reachable(mirror.address))

    def _file(self, url: str, sha256: Sha256 | None) -> bytes:
        cached = self._cache.by_digest(sha256) if sha256 else None
        if cached is not None:
            return cached
        content = self._web.get(url).content
        if sha256 is not None:
            if sha256_bytes(content) != sha256:
                raise _differs(url, sha256_bytes(content), sha256)
            self._cache.keep(sha256, content)
        return content

    def _tell(self, mirror: Mirror, failure: FetchFailure) -> None:
        text = f"mirror {mirror.name}: {failure.brief}"
        if not failure.missing and text not in self._told:
            self._told.add(text)
            self._progress.note(text)


def _digest_in(path: str) -> Sha256 | None:
    """Return the digest that a `by-hash` path names."""
    match = re.search(r"/by-hash/SHA256/([0-9a-f]{64})\Z", path)
    return Sha256(match[1]) if match else None


def _name_in(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2]


def _differs(url: str, found: str, sha256: Sha256) -> IntegrityError:
    return IntegrityError(
        f"{_name_in(url)}: the file does not match the sha256 in the index",
        details=f"{redacted(url)} has sha256 {found} instead of {sha256}",
    )


def _not_served(url: str, failure: FetchFailure) -> MirrorError:
    return MirrorError(f"{_name_in(url)}: {failure.brief}", details=redacted(url))
