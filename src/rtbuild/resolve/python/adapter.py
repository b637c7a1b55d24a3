"""The program of the process that runs pip's resolver, for a target that is not the running interpreter.

Only this module imports pip-tools, and pip for more than the address of its default index (see `rtbuild.mirror.find`).
It runs in a process of its own: pip reads the environment, sets up logging for the whole process and has to be patched
to resolve for another Python, none of which may happen to a library user's process. And a resolution that never ends
can be killed without a trace.

For each `Start` that it reads, the process forks, and the fork sends one result; `messages` documents the conversation.
So pip is loaded once, but no resolution sees what another one left behind. pip's session gets a
transport that passes every request to the parent, so pip cannot reach a network, an extra index or a folder of wheels.

What is patched, and why (tested with pip 26.3 and pip-tools 7.6):

- `packaging.markers.default_environment`: pip evaluates markers for the running interpreter, whatever `--platform`
  says.
- The finder gets a `TargetPython` and the resolver its `py_version_info`: pip-tools ignores `--platform`.
- `CandidateEvaluator._sort_key`: locked versions are preferences. As constraints (pip-tools' `existing_constraints`)
  they would hold an upgraded package back to what all others were locked to, instead of moving what the upgrade
  forces to move.
- `PipReporter.pinning`: reports progress.
- `session.user_agent` and `index_command._create_truststore_ssl_context`: 0.2 s for connections that are never made.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, Literal, NoReturn, TextIO
from urllib.parse import unquote, urlsplit

from pip._internal.cli import index_command
from pip._internal.exceptions import DistributionNotFound, InstallationError, PipError
from pip._internal.index.package_finder import CandidateEvaluator, PackageFinder
from pip._internal.models.target_python import TargetPython
from pip._internal.network import session as pip_session
from pip._internal.resolution.resolvelib import resolver as pip_resolver
from pip._internal.resolution.resolvelib.reporter import PipReporter
from pip._vendor.packaging import markers
from pip._vendor.packaging.utils import canonicalize_name
from pip._vendor.packaging.version import Version
from pip._vendor.requests import PreparedRequest, Response
from pip._vendor.requests.adapters import BaseAdapter
from pip._vendor.resolvelib import ResolutionImpossible
from piptools._internal import _pip_api
from piptools.exceptions import PipToolsError
from piptools.repositories import PyPIRepository
from piptools.resolver import BacktrackingResolver

from rtbuild.resolve.python.messages import Chosen, Impossible, Report, Start, decode_answer, decode_start, encode

_INDEX = "https://index.invalid/simple"
"""The address that pip is given for the index. RFC 2606 guarantees that `.invalid` never resolves."""
_FILES = "https://index.invalid/files"
_JSON = "application/vnd.pypi.simple.v1+json"


def main() -> None:
    """Hold one conversation after the other, until standard input ends."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as reports:
        # Whatever pip prints goes to stderr, so that it cannot end up between the messages.
        os.dup2(2, 1)
        parent = _Parent(sys.stdin, reports)
        while line := sys.stdin.readline():
            fork = os.fork()
            if fork == 0:
                _converse(decode_start(line), parent)
            if os.waitpid(fork, 0)[1] != 0:
                sys.exit(1)


def _converse(start: Start, parent: _Parent) -> NoReturn:
    status = 1
    try:
        parent.tell(resolve(start, parent))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def resolve(start: Start, parent: _Parent) -> Chosen | Impossible:
    """Resolve with pip, asking `parent` for pages and metadata."""
    environment = dict(start["environment"])
    markers.default_environment = lambda: dict(environment)
    pip_resolver.PipReporter = functools.partial(_Reporter, parent)
    pip_session.user_agent = lambda: "rtbuild"
    index_command._create_truststore_ssl_context = lambda: None
    repository = _TargetRepository(start, parent)
    make = _pip_api.create_install_requirement_from_line
    asked = [make(line) for line in start["requirements"]]
    asked += [make(line, constraint=True) for line in start["constraints"]]
    resolver = BacktrackingResolver(
        constraints=[requirement for requirement in asked if requirement.match_markers()],
        existing_constraints={},
        repository=repository,
        allow_unsafe=True,
    )
    warnings = _Warnings()
    logging.getLogger("pip").addHandler(warnings)
    # pip logs a discarded file as information, not as a warning.
    logging.getLogger("pip").setLevel(logging.INFO)
    try:
        requirements = resolver.resolve()
    except DistributionNotFound as error:
        reasons, names = _explain(error)
    except (PipError, PipToolsError, InstallationError) as error:
        reasons, names = str(error).splitlines(), []
    else:
        versions = {canonicalize_name(requirement.name): _version_of(requirement) for requirement in requirements}
        return {"kind": "chosen", "packages": dict(sorted(versions.items()))}
    return {"kind": "impossible", "reasons": reasons, "names": names, "warnings": warnings.lines}


class _Parent:
    """The parent process, the only connection to the world."""

    def __init__(self, answers: TextIO, reports: TextIO) -> None:
        self._answers = answers
        self._reports = reports

    def tell(self, report: Report) -> None:
        self._reports.write(encode(report))
        self._reports.flush()

    def ask(self, kind: Literal["page", "metadata"], subject: str) -> str:
        """Return a page or metadata as text."""
        self.tell({"kind": kind, "subject": subject})
        line = self._answers.readline()
        if not line:
            # The parent is gone or has given up.
            sys.exit(1)
        return decode_answer(line)["content"]


class _ParentTransport(BaseAdapter):  # type: ignore[misc]
    """A transport that passes pip's requests to the parent."""

    def __init__(self, parent: _Parent) -> None:
        super().__init__()
        self._parent = parent

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
        path = unquote(urlsplit(request.url).path)
        if path.startswith("/simple/"):
            content = self._parent.ask("page", path.removeprefix("/simple/").strip("/"))
        else:
            content = self._parent.ask("metadata", path.rpartition("/")[2].removesuffix(".metadata"))
        response = Response()
        response.status_code = 200
        response.reason = "OK"
        response.url = request.url
        response.request = request
        response.headers["Content-Type"] = _JSON if path.startswith("/simple/") else "text/plain"
        response.raw = BytesIO(content.encode())
        return response

    def close(self) -> None:
        """Do nothing: nothing is open."""


class _TargetRepository(PyPIRepository):  # type: ignore[misc]
    """pip-tools' view of the index, for the target."""

    def __init__(self, start: Start, parent: _Parent) -> None:
        arguments = ["--index-url", _INDEX, "--prefer-binary", "--no-cache-dir", "--no-input", "--isolated"]
        arguments += ["--disable-pip-version-check", "--uploaded-prior-to", start["as_of"]]
        super().__init__(arguments, start["folder"])
        python = tuple(start["python"])
        target = TargetPython(
            platforms=start["platform_tags"],
            py_version_info=python,
            abis=[f"cp{python[0]}{python[1]}"],
            implementation="cp",
        )
        for scheme in ("https://", "http://", "file://"):
            self.session.mount(scheme, _ParentTransport(parent))
        self._finder = self.command._build_package_finder(
            options=self.options, session=self.session, target_python=target
        )
        _prefer(self._finder, start["preferences"])
        self.command.make_resolver = functools.partial(self.command.make_resolver, py_version_info=python)


def _prefer(finder: PackageFinder, preferences: Mapping[str, str]) -> None:
    """Make the finder try a package's preferred version first, if the requirements on the package allow it."""
    make = finder.make_candidate_evaluator

    def make_preferring(project_name: str, *args: Any, **options: Any) -> CandidateEvaluator:
        evaluator = make(project_name, *args, **options)
        preferred = preferences.get(canonicalize_name(project_name))
        if preferred is not None:
            usual, version = evaluator._sort_key, Version(preferred)
            evaluator._sort_key = lambda candidate: (candidate.version == version, *usual(candidate))
        return evaluator

    finder.make_candidate_evaluator = make_preferring


class _Reporter(PipReporter):  # type: ignore[misc]
    """Reports to the parent which versions are chosen and how many were rejected."""

    def __init__(self, parent: _Parent, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._parent = parent

    def pinning(self, candidate: Any) -> None:
        if candidate.name == candidate.project_name:
            self._parent.tell({"kind": "pinned", "name": candidate.project_name})

    def rejecting_candidate(self, criterion: Any, candidate: Any) -> None:
        super().rejecting_candidate(criterion, candidate)
        count = self.reject_count_by_package[candidate.name]
        if count in (20, 100, 500):
            self._parent.tell({"kind": "rejected", "name": candidate.name, "times": count})


class _Warnings(logging.Handler):
    """The last things that pip complained about, such as files discarded for their metadata."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = re.sub(r"\[/?[a-z ]*\]", "", record.getMessage())
        if record.levelno >= logging.WARNING or text.startswith("Discarding"):
            # The index address that pip was given means nothing to the user.
            text = re.sub(r" \(from https://index\.invalid/\S*\)", "", text.replace(f"{_FILES}/", ""))
            self.lines = [*self.lines[-9:], f"pip: {' '.join(text.split())}"]


def _explain(error: DistributionNotFound) -> tuple[list[str], list[str]]:
    """Return who needs what, one line each, and the names of the packages that they disagree on."""
    impossible = error.__cause__
    if not isinstance(impossible, ResolutionImpossible):
        return [str(error)], []
    lines: list[str] = []
    names: set[str] = set()
    for cause in impossible.causes:
        needed = cause.requirement.format_for_error()
        names.add(canonicalize_name(cause.requirement.project_name))
        by = f"{cause.parent.name} {cause.parent.version} needs" if cause.parent else "the recipe asks for"
        lines.append(f"{by} {needed}")
    return _unique(lines), sorted(names)


def _unique(lines: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(lines))


def _version_of(requirement: Any) -> str:
    (specifier,) = requirement.specifier
    return str(specifier.version)


if __name__ == "__main__":
    main()
