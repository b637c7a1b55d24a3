"""The `mirrors` verb: which mirrors this machine knows, and what each of them can serve."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

from rtbuild.errors import IntegrityError
from rtbuild.mirror.addresses import redacted
from rtbuild.mirror.cache import AnswerCache
from rtbuild.mirror.failure import FetchFailure
from rtbuild.mirror.find import Mirrors, find_mirrors
from rtbuild.mirror.parallel import run_parallel
from rtbuild.mirror.remote import add_sites, open_web
from rtbuild.mirror.simple_api import read_project
from rtbuild.mirror.site import Mirror
from rtbuild.mirror.sources import Answer, Sources
from rtbuild.progress import Progress, Silent
from rtbuild.recipe.model import Suite
from rtbuild.resolve.debian.keyring import Keyring, debian_keyring
from rtbuild.resolve.debian.release_file import read_release_file
from rtbuild.settings import Settings, load_settings
from rtbuild.workspace import Workspace

_PROBE = "pip"  # every Python package index has this project, because its users install with pip
_SKIPPED = "not asked, because the settings name an index"
_TIMEOUT = 10.0  # seconds; this is a report, not a download worth waiting for


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorReport:
    """What one mirror can serve."""

    kind: str
    """`debian` or `python`."""
    address: str
    """An address without its password, or a folder."""
    origin: str
    """What names the mirror: `settings`, a file such as `/etc/apt/sources.list`, or a variable."""
    serves: tuple[str, ...]
    """The suites, or kinds of files, that it has."""
    problem: str | None = None
    """Why it cannot serve more; None if nothing is wrong."""
    proxy: str | None = None
    """The proxy that it is asked through, without a password, if it comes with one; `DIRECT` for none. None for the
    proxy of the environment, if there is one."""


def mirrors(
    workspace: Workspace,
    release: str | None = None,
    *,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> tuple[MirrorReport, ...]:
    """Ask every mirror found on this machine what it can serve.

    A Debian mirror serves a suite if its InRelease passes the checks that locking makes. A package index is asked for
    the page of one project.

    Args:
        workspace: The folder with recipes and locks.
        release: Ask for the suites of this release only: a version (`8.0.0`) or a series (`8.0`). By default, ask for
            those of every release and private engine.
        settings: Which mirrors to ask; by default those of `rtbuild.toml` in the workspace. The mirrors that this
            machine's apt and pip use are asked as well.
        progress: Listener for progress; none by default.

    Raises:
        RecipeError: if a recipe is missing or malformed.
    """
    settings = settings or load_settings({}, workspace.root)
    suites = wanted_suites(workspace, release)
    return probe_mirrors(find_mirrors(settings), suites, settings, keyring=debian_keyring(), progress=progress)


def probe_mirrors(
    known: Mirrors, suites: Sequence[Suite], settings: Settings, *, keyring: Keyring, progress: Progress | None = None
) -> tuple[MirrorReport, ...]:
    """Ask each of the `known` mirrors for the InRelease of each suite, or for an index page.

    An InRelease must be signed by a key in `keyring`.
    """
    progress = progress or Silent()
    web = open_web(replace(settings, timeout=min(settings.timeout, _TIMEOUT), retries=min(settings.retries, 1)))
    add_sites(web, known)
    answers = AnswerCache(None, web)  # without a folder: the report says what can be served now
    asked = [mirror for mirror in known.python if mirror in known.indexes or mirror.folder is not None]
    candidates = [*known.debian, *asked]
    reports: dict[int, MirrorReport] = {}

    def ask(number: int) -> None:
        if number < len(known.debian):
            reports[number] = _probe_debian(candidates[number], suites, answers, keyring)
        else:
            reports[number] = _probe_python(candidates[number], answers)
        progress.advance(task)

    task = "ask mirrors"
    progress.begin(task, total=len(candidates), unit="mirrors")
    try:
        run_parallel(ask, range(len(candidates)), workers=web.connections, stop=threading.Event())
    finally:
        web.close()
    progress.end(task)
    skipped = [_report("python", mirror, [], [_SKIPPED]) for mirror in known.python if mirror not in asked]
    unused = [_report("debian", mirror, [], []) for mirror in known.unused]
    return (*(reports[number] for number in range(len(candidates))), *skipped, *unused)


def wanted_suites(workspace: Workspace, release: str | None = None) -> tuple[Suite, ...]:
    """Return the suites that `release` takes packages from; without one, those of all releases and private engines.

    Raises:
        RecipeError: if a recipe is missing or malformed.
    """
    if release is not None:
        suites = list(workspace.release(release).suites)
    else:
        suites = [suite for version in workspace.releases() for suite in workspace.release(version).suites]
        suites += [suite for name in workspace.engines() for suite in workspace.engine(name).suites]
    return tuple({(suite.archive, suite.suite, suite.snapshot): suite for suite in suites}.values())


def why_untrusted(suite: Suite, content: bytes, keyring: Keyring) -> str | None:
    """Return why locking would refuse `content` as the InRelease of `suite`; None if it would not."""
    try:
        read_release_file(suite, cast(Sources, _OneAnswer(content)), keyring=keyring, progress=Silent())
    except IntegrityError as error:
        return (error.details or error.brief).removeprefix(f"{_OneAnswer.mirror}: ")
    return None


class _OneAnswer:
    """The part of `Sources` that reading an InRelease needs."""

    mirror = "mirror"

    def __init__(self, content: bytes) -> None:
        self._content = content

    def debian_index(self, suite: Suite, path: str) -> Iterator[Answer]:
        yield Answer(mirror=self.mirror, content=self._content)


def _probe_debian(mirror: Mirror, suites: Sequence[Suite], answers: AnswerCache, keyring: Keyring) -> MirrorReport:
    serves, problems = [], []
    for suite in suites:
        dated = mirror.at(suite.snapshot) if suite.snapshot else mirror
        name = f"{suite.suite} at {suite.snapshot}" if suite.snapshot else suite.suite
        try:
            reply = answers.get(dated.place(f"dists/{suite.suite}/InRelease"), accept="*/*")
        except FetchFailure as failure:
            if not failure.missing:
                problems.append(f"{name}: {failure.brief}")
            if failure.unreachable:
                break
            continue
        reason = why_untrusted(suite, reply.content, keyring)
        if reason is None:
            serves.append(name)
        else:
            problems.append(f"{name}: {reason}")
    if mirror.folder is not None and not serves and mirror.folder.is_dir():
        serves, problems = ["files by name"], []
    if not serves and not problems:
        problems = ["has none of the suites"]
    return _report("debian", mirror, serves, problems)


def _probe_python(mirror: Mirror, answers: AnswerCache) -> MirrorReport:
    try:
        page = read_project(mirror, _PROBE, answers)
    except FetchFailure as failure:
        if mirror.folder is not None and mirror.folder.is_dir():
            return _report("python", mirror, ["files by name"], [])
        return _report("python", mirror, [], [failure.brief])
    if not any(file.get("upload-time") for file in page["files"]):
        return _report("python", mirror, ["files"], ["gives no upload times (PEP 700), which locking needs"])
    return _report("python", mirror, ["index with upload times", "files"], [])


def _report(kind: str, mirror: Mirror, serves: list[str], problems: list[str]) -> MirrorReport:
    return MirrorReport(
        kind=kind,
        address=mirror.name,
        origin=mirror.origin,
        serves=tuple(serves),
        problem="; ".join(filter(None, [*problems, mirror.note])) or None,
        proxy=mirror.proxy and redacted(mirror.proxy),
    )
