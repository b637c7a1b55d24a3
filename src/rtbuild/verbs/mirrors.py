"""What the mirrors that were found can serve, for `rtbuild mirrors`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rtbuild.mirror.cache import AnswerCache
from rtbuild.mirror.find import Mirror, Mirrors, find_mirrors
from rtbuild.mirror.http import FetchFailure, Web
from rtbuild.mirror.parallel import run_parallel
from rtbuild.mirror.simple_api import read_project
from rtbuild.progress import Progress, Silent
from rtbuild.recipe.model import Suite
from rtbuild.settings import Settings

_SIGNED = b"-----BEGIN PGP SIGNED MESSAGE-----"
_PROBE = "pip"  # a project that every index of Python packages has: whoever uses the index has pip


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorDescription:
    """One mirror. `kind`: `debian` or `python`; `origin`: who named it; `serves`: what it has."""

    kind: str
    address: str
    origin: str
    serves: tuple[str, ...]
    problem: str | None = None


def describe_mirrors(
    settings: Settings,
    suites: Sequence[Suite],
    *,
    mirrors: Mirrors | None = None,
    accepts: Callable[[Suite, bytes], str | None] | None = None,
    progress: Progress | None = None,
) -> tuple[MirrorDescription, ...]:
    """Ask every mirror found (or `mirrors`) for what it can serve: the InRelease of each of `suites`, an index page.

    `accepts` says what is wrong with an InRelease, None for nothing; without it, any signature will do.
    """
    progress = progress or Silent()
    mirrors = mirrors or find_mirrors(settings)
    web = Web(timeout=min(settings.timeout, 10.0), retries=min(settings.retries, 1), connections=settings.connections)
    answers = AnswerCache(None, web)  # what it can serve now, not what it could
    wanted = list(enumerate([*mirrors.debian, *mirrors.python]))
    found: dict[int, MirrorDescription] = {}

    def ask(item: tuple[int, Mirror]) -> None:
        number, mirror = item
        if number < len(mirrors.debian):
            found[number] = _describe_debian(mirror, suites, answers, accepts or _is_signed)
        else:
            found[number] = _describe_python(mirror, answers)
        progress.advance(task)

    task = "ask mirrors"
    progress.begin(task, total=len(wanted), unit="mirrors")
    try:
        run_parallel(ask, wanted, workers=web.connections, stop=threading.Event())
    finally:
        web.close()
    progress.end(task)
    return tuple(found[number] for number, _ in wanted)


def _describe_debian(
    mirror: Mirror, suites: Sequence[Suite], answers: AnswerCache, accepts: Callable[[Suite, bytes], str | None]
) -> MirrorDescription:
    serves, problems = [], []
    for suite in suites:
        dated = mirror.at(suite.snapshot) if suite.snapshot else mirror
        name = f"{suite.suite} at {suite.snapshot}" if suite.snapshot else suite.suite
        try:
            reply = answers.get(dated.place(f"dists/{suite.suite}/InRelease"), accept="*/*")
        except FetchFailure as refusal:
            if not refusal.missing:
                problems.append(f"{name}: {refusal.brief}")
            if refusal.unreachable:
                break
            continue
        wrong = accepts(suite, reply.content)
        if wrong is None:
            serves.append(name)
        else:
            problems.append(f"{name}: {wrong}")
    if mirror.folder is not None and not serves and mirror.folder.is_dir():
        serves, problems = ["files by name"], []
    if not serves and not problems:
        problems = ["has none of the suites"]
    return _description("debian", mirror, serves, problems)


def _describe_python(mirror: Mirror, answers: AnswerCache) -> MirrorDescription:
    try:
        page = read_project(mirror, _PROBE, answers)
    except FetchFailure as refusal:
        if mirror.folder is not None and mirror.folder.is_dir():
            return _description("python", mirror, ["files by name"], [])
        return _description("python", mirror, [], [refusal.brief])
    times = any(file.get("upload-time") for file in page["files"])
    if not times:
        return _description("python", mirror, ["files"], ["gives no upload times (PEP 700), which locking needs"])
    return _description("python", mirror, ["index with upload times", "files"], [])


def _description(kind: str, mirror: Mirror, serves: list[str], problems: list[str]) -> MirrorDescription:
    return MirrorDescription(
        kind=kind,
        address=mirror.name,
        origin=mirror.origin,
        serves=tuple(serves),
        problem="; ".join(problems) or None,
    )


def _is_signed(suite: Suite, content: bytes) -> str | None:
    return None if content.lstrip().startswith(_SIGNED) else "an InRelease without a signature"
