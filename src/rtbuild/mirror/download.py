"""Downloading artifacts into the store: from any mirror, in parallel, resumed where an earlier run stopped."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from rtbuild.errors import IntegrityError, MirrorError
from rtbuild.lockfile.model import Artifact, DebArtifact, PythonArtifact
from rtbuild.mirror.cache import AnswerCache
from rtbuild.mirror.failure import FetchFailure
from rtbuild.mirror.find import Mirrors, find_mirrors
from rtbuild.mirror.http import Web
from rtbuild.mirror.locations import Locations
from rtbuild.mirror.parallel import run_parallel
from rtbuild.mirror.remote import CACHE, add_sites, open_web
from rtbuild.mirror.site import Mirror
from rtbuild.progress import Progress, Silent, unfinished
from rtbuild.recipe.model import Suite
from rtbuild.settings import Settings
from rtbuild.store.artifacts import Partial
from rtbuild.store.store import Store

_ENOUGH_FAILURES = 10
_WORTHWHILE = 1 << 20  # bytes; a try that brought as many does not count as a retry


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchReport:
    """What was fetched.

    Attributes:
        fetched: How many artifacts were missing and fetched.
        present: How many artifacts were in the store.
        bytes: How many bytes were received.
        seconds: How long it took.
        repaired: The file names of artifacts whose stored bytes were corrupt, and that were fetched again.
    """

    fetched: int
    present: int
    bytes: int
    seconds: float
    repaired: tuple[str, ...] = ()

    def with_more(self, other: FetchReport) -> FetchReport:
        """Return the report of this fetch and of `other`, which came after it."""
        return FetchReport(
            fetched=self.fetched + other.fetched,
            present=self.present + other.present,
            bytes=self.bytes + other.bytes,
            seconds=self.seconds + other.seconds,
            repaired=self.repaired + other.repaired,
        )


def fetch_artifacts(
    artifacts: Sequence[Artifact],
    store: Store,
    settings: Settings,
    *,
    suites: Sequence[Suite] = (),
    progress: Progress | None = None,
) -> FetchReport:
    """Put every artifact into `store`, from the mirrors that the settings name and those that this machine uses.

    Artifacts that are in the store are hashed first, and fetched again if they are corrupt. After a failure, what was
    fetched until then stays.

    Args:
        artifacts: What to fetch; an artifact that is named twice is fetched once.
        store: Where to put it.
        settings: The mirrors, and the limits on connections, retries and time.
        suites: The suites of the recipes. A .deb of a dated suite may be in the dated archive only.
        progress: Listener for progress; none by default.

    Raises:
        MirrorError: if no mirror has a file; it names every mirror and what it answered.
        IntegrityError: if mirrors serve files of that name, but all with wrong bytes.
        StoreError: if the store cannot be written, for example because the disk is full.
    """
    return fetch_from(find_mirrors(settings), artifacts, store, settings, suites=suites, progress=progress)


def fetch_from(
    mirrors: Mirrors,
    artifacts: Sequence[Artifact],
    store: Store,
    settings: Settings,
    *,
    suites: Sequence[Suite] = (),
    progress: Progress | None = None,
) -> FetchReport:
    """Put every artifact into `store`, from these mirrors only; see `fetch_artifacts`."""
    start = time.monotonic()
    progress = progress or Silent()
    distinct = list({artifact.sha256: artifact for artifact in artifacts}.values())
    missing, corrupt = _check_stored(distinct, store, progress)
    for artifact in corrupt:
        progress.note(f"{artifact.filename} in the store is corrupt and will be fetched again")
    received = 0
    if missing:
        web = open_web(settings)
        add_sites(web, mirrors)
        try:
            locations = Locations(mirrors, AnswerCache(store.cache(CACHE), web), suites=suites)
            received = _Fetch(store, locations, web, progress).run(missing)
        finally:
            web.close()
    return FetchReport(
        fetched=len(missing),
        present=len(distinct) - len(missing),
        bytes=received,
        seconds=time.monotonic() - start,
        repaired=tuple(artifact.filename for artifact in corrupt),
    )


def in_order(artifacts: Sequence[Artifact], connections: int) -> list[Artifact]:
    """Return the artifacts in the order in which to fetch them over so many connections.

    That is the largest first, so that no large one is left for the end. Before them comes the smallest of an index: all
    others wait for its page, which says where the index keeps files, and small projects have small pages. The other
    connections get packages of Debian meanwhile, which wait for nothing.
    """
    largest = sorted(artifacts, key=lambda artifact: (-artifact.size, artifact.sha256))
    pythons = [artifact for artifact in largest if isinstance(artifact, PythonArtifact)]
    debs = [artifact for artifact in largest if isinstance(artifact, DebArtifact)]
    start: list[Artifact] = [*pythons[-1:], *debs[: connections - 1]]
    first = {artifact.sha256 for artifact in start}
    return start + [artifact for artifact in largest if artifact.sha256 not in first]


def _check_stored(artifacts: list[Artifact], store: Store, progress: Progress) -> tuple[list[Artifact], list[Artifact]]:
    """Return the artifacts to fetch, and those of them that are in the store with wrong bytes."""
    stored = [artifact for artifact in artifacts if store.artifact_path(artifact.sha256).exists()]
    bad: set[str] = set()
    task = "check stored files"
    progress.begin(task, total=sum(artifact.size for artifact in stored), unit="bytes")

    def check(artifact: Artifact) -> None:
        if not store.verify_artifact(artifact):
            bad.add(artifact.sha256)
        progress.advance(task, artifact.size)

    largest_first = sorted(stored, key=lambda artifact: -artifact.size)
    run_parallel(check, largest_first, workers=os.cpu_count() or 1, stop=threading.Event())
    progress.end(task)
    good = {artifact.sha256 for artifact in stored} - bad
    return (
        [artifact for artifact in artifacts if artifact.sha256 not in good],
        [artifact for artifact in stored if artifact.sha256 in bad],
    )


@dataclass(frozen=True, slots=True)
class _Failed:
    """An artifact that could not be fetched: what each mirror answered, and whether all that came was wrong bytes."""

    artifact: Artifact
    answers: list[str]
    wrong: bool


class _Fetch:
    """The state that the threads of one run share."""

    task = "fetch"

    def __init__(self, store: Store, locations: Locations, web: Web, progress: Progress) -> None:
        self._store = store
        self._locations = locations
        self._web = web
        self._progress = progress
        self._lock = threading.Lock()
        self._failed: list[_Failed] = []
        self._received = 0
        self._cached = store.cache(CACHE) / "by-digest"

    def run(self, artifacts: list[Artifact]) -> int:
        """Fetch `artifacts` and return the number of bytes received."""
        self._progress.begin(self.task, total=sum(artifact.size for artifact in artifacts), unit="bytes")
        try:
            ordered = in_order(artifacts, self._web.connections)
            run_parallel(self._fetch, ordered, workers=self._web.connections, stop=self._web.stop)
        except BaseException:
            self._progress.end(self.task, unfinished())
            raise
        if self._failed:
            self._progress.end(self.task, "failed")
            raise self._error()
        self._store.sync_artifacts()
        self._progress.end(self.task)
        return self._received

    def _fetch(self, artifact: Artifact) -> None:
        """Fetch one artifact. A failure is recorded and not raised, so that one error names all that is missing."""
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
            self._failed.append(_Failed(artifact, attempt.answers(), attempt.wrong))
            if len(self._failed) >= _ENOUGH_FAILURES:
                self._web.stop.set()

    def _from_cache(self, attempt: _Attempt) -> bool:
        """Take a file that was read while locking, instead of downloading it twice."""
        cached = self._cached / attempt.artifact.sha256
        if attempt.partial.size or not cached.exists():
            return False
        try:
            attempt.download(str(cached))
        except FetchFailure:
            attempt.wrong = False  # no mirror served wrong bytes, the cache did
            return False
        with suppress(OSError):
            cached.unlink()
        return True

    def _from_mirrors(self, attempt: _Attempt) -> bool:
        """Try one mirror after the other, and again those that failed transiently, after a longer pause each time."""
        mirrors = list(self._locations.mirrors_for(attempt.artifact))
        number = 1
        while True:
            again, pause, before = [], 0.0, attempt.partial.size
            for mirror in sorted(mirrors, key=lambda mirror: not self._web.reachable(mirror.address)):
                if self._web.stop.is_set():
                    return False
                try:
                    self._from_mirror(attempt, mirror)
                    return True
                except FetchFailure as failure:
                    attempt.record(mirror, failure)
                    if failure.transient:
                        again.append(mirror)
                        pause = max(pause, failure.pause)
            if not again or number > self._web.retries:
                return False
            mirrors = again
            self._web.pause(number, pause)
            if attempt.partial.size - before < _WORTHWHILE:  # a connection that breaks every few MiB still gets there
                number += 1

    def _from_mirror(self, attempt: _Attempt, mirror: Mirror) -> None:
        last = FetchFailure("no such file", missing=True)
        for location in self._locations.locations(mirror, attempt.artifact):
            try:
                attempt.download(location)
                return
            except FetchFailure as failure:
                if not failure.missing:
                    raise
                last = failure
        raise last

    def receive(self, attempt: _Attempt, location: str) -> None:
        """Download the rest of the artifact from `location` and put it into the store.

        Raises:
            FetchFailure: if `location` does not serve it.
            StoreError: if the store cannot be written.
        """
        partial, size = attempt.partial, attempt.artifact.size
        with self._web.open(location, offset=partial.size) as stream:
            if stream.total is not None and stream.total != size:
                raise attempt.wrong_bytes(f"has {stream.total} bytes instead of {size}")
            if stream.offset != partial.size:
                partial.restart()
            if stream.offset != partial.size:
                raise FetchFailure("sent another part of the file than the one requested")
            for chunk in stream.chunks:
                if partial.size == 0 and chunk[:64].lstrip()[:5].lower() in (b"<!doc", b"<html"):
                    raise FetchFailure("returned an HTML page instead of the file")
                if partial.size + len(chunk) > size:
                    raise attempt.wrong_bytes(f"sent more than {size} bytes")
                partial.write(chunk)
                with self._lock:
                    self._received += len(chunk)
                attempt.advance()
        if not partial.complete:
            raise FetchFailure(f"the connection broke after {partial.size} of {size} bytes", transient=True)
        try:
            partial.commit()
        except IntegrityError as error:
            raise attempt.wrong_bytes(f"sent wrong bytes ({error.details})") from None

    def advance(self, amount: int) -> None:
        """Report progress of `amount` bytes."""
        self._progress.advance(self.task, amount)

    def _error(self) -> MirrorError | IntegrityError:
        failed = sorted(self._failed, key=lambda failure: failure.artifact.filename)
        details = []
        for failure in failed:
            artifact = failure.artifact
            details.append(f"{artifact.filename} (sha256 {artifact.sha256[:12]}, {artifact.size} bytes):")
            details += [f"  {answer}" for answer in failure.answers] or ["  no known mirror can have it"]
        first = failed[0].artifact.filename
        brief = f"{first}: no mirror serves the file that the lock names"
        if len(failed) > 1:
            brief = f"no mirror serves {len(failed)} of the files that the lock names, such as {first}"
        kind = IntegrityError if all(failure.wrong for failure in failed) else MirrorError
        return kind(
            brief,
            details="\n".join(details),
            hint="run `rtbuild mirrors` to see which mirrors were found, or name more mirrors or folders in "
            "rtbuild.toml (debian_mirrors, python_indexes)",
        )


class _Attempt:
    """The work on one artifact: its partial file, and what each mirror answered."""

    def __init__(self, partial: Partial, run: _Fetch) -> None:
        self.partial = partial
        self.artifact = partial.artifact
        self.wrong = False
        self._run = run
        self._reported = 0
        self._answers: dict[str, str] = {}

    def record(self, mirror: Mirror, failure: FetchFailure) -> None:
        """Remember what `mirror` answered."""
        self._answers[mirror.name] = failure.brief

    def answers(self) -> list[str]:
        """Return `mirror: what it answered`, in the order in which they were asked."""
        return [f"{name}: {brief}" for name, brief in self._answers.items()]

    def download(self, location: str) -> None:
        """Download the artifact from `location`, once more from its start if the bytes of an earlier run do not fit.

        Raises:
            FetchFailure: if `location` does not serve it.
            StoreError: if the store cannot be written.
        """
        resumed = self.partial.size > 0
        try:
            self._run.receive(self, location)
        except FetchFailure as failure:
            if not resumed or failure.transient or failure.missing:
                raise
            self.partial.restart()  # the earlier bytes may be the wrong ones: this mirror gets a try of its own
            self._run.receive(self, location)

    def finish(self) -> bool:
        """Put the complete artifact into the store; return False, and drop its bytes, if they are wrong."""
        try:
            self.partial.commit()
        except IntegrityError:
            return False
        return True

    def advance(self) -> None:
        """Report progress; after a restart, only once it is past the point that was reported before."""
        if self.partial.size > self._reported:
            self._run.advance(self.partial.size - self._reported)
            self._reported = self.partial.size

    def wrong_bytes(self, brief: str) -> FetchFailure:
        """Return the failure for a mirror that serves other bytes than the lock names."""
        self.wrong = True
        return FetchFailure(brief)
