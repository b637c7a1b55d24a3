"""Fetching artifacts into the store: from any mirror, in parallel, taken up where an earlier run was stopped."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from rtbuild.errors import IntegrityError, MirrorError
from rtbuild.lockfile.model import Artifact
from rtbuild.mirror.cache import AnswerCache
from rtbuild.mirror.find import Mirror, Mirrors, find_mirrors
from rtbuild.mirror.http import FetchFailure, Web
from rtbuild.mirror.locations import Locations
from rtbuild.mirror.parallel import run_parallel
from rtbuild.mirror.remote import CACHE
from rtbuild.progress import Progress, Silent
from rtbuild.recipe.model import Suite
from rtbuild.settings import Settings
from rtbuild.store.artifacts import Partial
from rtbuild.store.store import Store

_ENOUGH_FAILURES = 10
_WORTHWHILE = 1 << 20  # bytes that a try must have brought, not to count as one of the retries


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchReport:
    """How many artifacts were fetched, how many were there, the bytes received and the time it took.

    `repaired` are the file names of artifacts whose stored bytes were found corrupt and fetched again.
    """

    fetched: int
    present: int
    bytes: int
    seconds: float
    repaired: tuple[str, ...] = ()


def fetch(
    artifacts: Sequence[Artifact],
    store: Store,
    settings: Settings,
    *,
    suites: Sequence[Suite] = (),
    mirrors: Mirrors | None = None,
    progress: Progress | None = None,
    verify: bool = True,
) -> FetchReport:
    """Put every artifact into `store`, within the limits of `settings`. With `verify`, stored ones are hashed first.

    They come from the mirrors that the settings name and those that this machine uses, or from `mirrors`. `suites` are
    those of the recipes: a .deb of one that asks for a moment may be in the dated archive of that moment alone.

    Raises `MirrorError` where no mirror has a file, `IntegrityError` where all that came were wrong bytes, `StoreError`
    on a full disk; each names every mirror and what it gave. What was fetched until then stays.
    """
    start = time.monotonic()
    progress = progress or Silent()
    distinct = list({artifact.sha256: artifact for artifact in artifacts}.values())
    missing, corrupt = _missing(distinct, store, verify, progress)
    for artifact in corrupt:
        progress.note(f"{artifact.filename} in the store is corrupt and is fetched again")
    received = 0
    if missing:
        stop = threading.Event()
        web = Web(timeout=settings.timeout, retries=settings.retries, connections=settings.connections, stop=stop)
        try:
            places = Locations(mirrors or find_mirrors(settings), AnswerCache(store.cache(CACHE), web), suites=suites)
            received = _Fetch(store, places, web, progress).run(missing)
        finally:
            web.close()
    return FetchReport(
        fetched=len(missing),
        present=len(distinct) - len(missing),
        bytes=received,
        seconds=time.monotonic() - start,
        repaired=tuple(artifact.filename for artifact in corrupt),
    )


def _missing(
    artifacts: list[Artifact], store: Store, verify: bool, progress: Progress
) -> tuple[list[Artifact], list[Artifact]]:
    """The artifacts to fetch, and those of them that were in the store with wrong bytes."""
    there = [artifact for artifact in artifacts if store.artifact_path(artifact.sha256).exists()]
    bad: set[str] = {artifact.sha256 for artifact in there if not store.has_artifact(artifact)}
    if verify:
        task = "check stored files"
        progress.begin(task, total=sum(artifact.size for artifact in there), unit="bytes")

        def check(artifact: Artifact) -> None:
            if not store.verify_artifact(artifact):
                bad.add(artifact.sha256)
            progress.advance(task, artifact.size)

        largest_first = sorted(there, key=lambda artifact: -artifact.size)
        run_parallel(check, largest_first, workers=os.cpu_count() or 1, stop=threading.Event())
        progress.end(task)
    good = {artifact.sha256 for artifact in there} - bad
    return (
        [artifact for artifact in artifacts if artifact.sha256 not in good],
        [artifact for artifact in there if artifact.sha256 in bad],
    )


class _Fetch:
    """One run: what its threads share."""

    task = "fetch"

    def __init__(self, store: Store, places: Locations, web: Web, progress: Progress) -> None:
        self._store = store
        self._web = web
        self._progress = progress
        self._places = places
        self._lock = threading.Lock()
        self._failures: list[tuple[Artifact, list[str], bool]] = []
        self._received = 0

    def run(self, artifacts: list[Artifact]) -> int:
        """Fetch `artifacts`; the bytes received."""
        self._progress.begin(self.task, total=sum(artifact.size for artifact in artifacts), unit="bytes")
        try:
            largest_first = sorted(artifacts, key=lambda artifact: (-artifact.size, artifact.sha256))
            run_parallel(self._one, largest_first, workers=self._web.connections, stop=self._web.stop)
        except BaseException:
            self._progress.end(self.task, "stopped")
            raise
        if self._failures:
            self._progress.end(self.task, "failed")
            raise self._error()
        self._progress.end(self.task)
        return self._received

    def _one(self, artifact: Artifact) -> None:
        """Fetch one artifact; a failure is remembered, so that the user hears of all that is missing at once."""
        with self._store.add_artifact(artifact, stop=self._web.stop.is_set) as partial:
            if partial is None:
                if not self._web.stop.is_set():
                    self._progress.advance(self.task, artifact.size)
                return
            attempt = _Attempt(partial, self)
            attempt.advance()
            if partial.complete and attempt.finish():
                return
            if self._from_cache(attempt) or self._from_mirrors(attempt):
                return
        if self._web.stop.is_set():
            return
        with self._lock:
            self._failures.append((artifact, attempt.answers(), attempt.wrong))
            if len(self._failures) >= _ENOUGH_FAILURES:
                self._web.stop.set()

    def _from_cache(self, attempt: _Attempt) -> bool:
        """Take a file that was read while locking, instead of fetching it twice."""
        kept = self._store.cache(CACHE) / "by-digest" / attempt.artifact.sha256
        if attempt.partial.size or not kept.exists():
            return False
        try:
            attempt.download(str(kept))
        except FetchFailure:
            attempt.wrong = False  # of the cache, which is no mirror
            return False
        with suppress(OSError):
            kept.unlink()
        return True

    def _from_mirrors(self, attempt: _Attempt) -> bool:
        """Ask mirror after mirror, and again those with a passing fault, each round after a longer pause."""
        mirrors = list(self._places.mirrors_for(attempt.artifact))
        number = 1
        while True:
            again, pause, before = [], 0.0, attempt.partial.size
            for mirror in sorted(mirrors, key=lambda mirror: not self._web.reachable(mirror.address)):
                if self._web.stop.is_set():
                    return False
                try:
                    self._from_mirror(attempt, mirror)
                    return True
                except FetchFailure as refusal:
                    attempt.refused(mirror, refusal)
                    if refusal.passing:
                        again.append(mirror)
                        pause = max(pause, refusal.pause)
            if not again or number > self._web.retries:
                return False
            mirrors = again
            self._web.pause(number, pause)
            if attempt.partial.size - before < _WORTHWHILE:  # a connection that breaks every few MiB still gets there
                number += 1

    def _from_mirror(self, attempt: _Attempt, mirror: Mirror) -> None:
        last = FetchFailure("no such file", missing=True)
        for location in self._places.locations(mirror, attempt.artifact):
            try:
                attempt.download(location)
                return
            except FetchFailure as refusal:
                if not refusal.missing:
                    raise
                last = refusal
        raise last

    def received(self, amount: int) -> None:
        """Count bytes from the network."""
        with self._lock:
            self._received += amount

    def _error(self) -> MirrorError | IntegrityError:
        failures = sorted(self._failures, key=lambda failure: failure[0].filename)
        details = []
        for artifact, answers, _ in failures:
            details.append(f"{artifact.filename} (sha256 {artifact.sha256[:12]}, {artifact.size} bytes):")
            details += [f"  {answer}" for answer in answers] or ["  no mirror is known that could have it"]
        first = failures[0][0]
        brief = f"{first.filename}: no mirror has served the file that the lock names"
        if len(failures) > 1:
            brief = f"{len(failures)} files could not be fetched from any mirror, {first.filename} among them"
        wrong = all(failure[2] for failure in failures)
        return (IntegrityError if wrong else MirrorError)(
            brief,
            details="\n".join(details),
            hint="`rtbuild mirrors` shows what was found; more mirrors or folders can be named in rtbuild.toml "
            "(debian_mirrors, python_indexes)",
        )


class _Attempt:
    """The work on one artifact: its partial file, and what each mirror gave instead of it."""

    def __init__(self, partial: Partial, run: _Fetch) -> None:
        self.partial = partial
        self.artifact = partial.artifact
        self.wrong = False
        self._run = run
        self._told = 0
        self._answers: dict[str, str] = {}

    def refused(self, mirror: Mirror, refusal: FetchFailure) -> None:
        """Remember what `mirror` gave."""
        self._answers[mirror.name] = refusal.brief

    def answers(self) -> list[str]:
        """`mirror: what it gave`, in order."""
        return [f"{name}: {brief}" for name, brief in self._answers.items()]

    def download(self, location: str) -> None:
        """Take the rest of the artifact from `location` and put it in place. Raises `FetchFailure`, `StoreError`."""
        resumed = self.partial.size > 0
        try:
            self._receive(location)
        except FetchFailure as refusal:
            if not resumed or refusal.passing or refusal.missing:
                raise
            self.partial.restart()  # the bytes from before may be what is wrong: this mirror deserves a try of its own
            self._receive(location)

    def finish(self) -> bool:
        """Put the artifact in place; False, with its bytes forgotten, where they are wrong."""
        try:
            self.partial.commit()
        except IntegrityError:
            return False
        return True

    def advance(self) -> None:
        """Tell how far it is; a second start tells nothing until it is past the first."""
        if self.partial.size > self._told:
            self._run._progress.advance(self._run.task, self.partial.size - self._told)
            self._told = self.partial.size

    def _receive(self, location: str) -> None:
        partial, size = self.partial, self.artifact.size
        with self._run._web.open(location, offset=partial.size) as stream:
            if stream.total is not None and stream.total != size:
                raise self._wrong(f"a file of {stream.total} bytes instead of {size}")
            if stream.offset != partial.size:
                partial.restart()
            if stream.offset != partial.size:
                raise FetchFailure("another part of the file than the one asked for")
            for chunk in stream.chunks:
                if partial.size == 0 and chunk[:64].lstrip()[:5].lower() in (b"<!doc", b"<html"):
                    raise FetchFailure("an HTML page instead of the file")
                if partial.size + len(chunk) > size:
                    raise self._wrong(f"more than the {size} bytes of the file")
                partial.write(chunk)
                self._run.received(len(chunk))
                self.advance()
        if not partial.complete:
            raise FetchFailure(f"broke off after {partial.size} of {size} bytes", passing=True)
        try:
            partial.commit()
        except IntegrityError as error:
            raise self._wrong(f"other bytes ({error.details})") from None

    def _wrong(self, brief: str) -> FetchFailure:
        self.wrong = True
        return FetchFailure(brief)
