"""pip-tools as the resolver, for a target that is not this interpreter. Only this module imports pip-tools, and pip for
more than the address of its default index (see `rtbuild.mirror.find`).

This is the program of a child process (see `dialogue`). pip reads the environment, sets up logging for everybody and
has to be patched to resolve for another Python; none of that may happen to the process of a library's user, and a
resolution that goes astray can be ended without a trace. It reads one question (a line of JSON) and answers with one
result or failure. In between it asks the parent for pages of the index and metadata files: pip's session gets a
transport adapter that passes every request to the parent, and no other, so that pip cannot reach a network, an extra
index or a folder of wheels.

What is patched, and why (seen with pip 26.3, pip-tools 7.6):
- `packaging.markers.default_environment`: pip evaluates markers on the running interpreter, whatever `--platform` says;
- the finder gets a `TargetPython` and the resolver its `py_version_info`: pip-tools ignores `--platform`;
- `CandidateEvaluator._sort_key`: locked versions are preferences. As constraints (pip-tools' existing_constraints) they
  would hold an upgraded package back to what all others were locked to, instead of moving what the upgrade forces;
- `PipReporter.pinning`: to tell how far the resolution is.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, TextIO
from urllib.parse import unquote, urlsplit

from pip._internal.exceptions import DistributionNotFound, InstallationError, PipError
from pip._internal.index.package_finder import CandidateEvaluator, PackageFinder
from pip._internal.models.target_python import TargetPython
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

_INDEX = "https://index.invalid/simple"
"""Where pip believes to find the index: RFC 2606 promises that `.invalid` never resolves."""
_FILES = "https://index.invalid/files"
_JSON = "application/vnd.pypi.simple.v1+json"


def main() -> None:
    """Answer the one question on standard input."""
    # The parent ends this process; an interrupt from the terminal reaches both.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as replies:
        # Whatever pip prints must not land between the messages.
        os.dup2(2, 1)
        parent = _Parent(sys.stdin, replies)
        parent.tell(resolve(json.loads(sys.stdin.readline()), parent))


def resolve(question: Mapping[str, Any], parent: _Parent) -> dict[str, Any]:
    """`{"result": [[name, version], ...]}` or `{"failure": [...], "names": [...], "warnings": [...]}`."""
    environment = dict(question["environment"])
    markers.default_environment = lambda: dict(environment)
    pip_resolver.PipReporter = functools.partial(_Reporter, parent)
    repository = _TargetRepository(question, parent)
    make = _pip_api.create_install_requirement_from_line
    asked = [make(line) for line in question["requirements"]]
    asked += [make(line, constraint=True) for line in question["constraints"]]
    resolver = BacktrackingResolver(
        constraints=[requirement for requirement in asked if requirement.match_markers()],
        existing_constraints={},
        repository=repository,
        allow_unsafe=True,
    )
    heard = _Warnings()
    logging.getLogger("pip").addHandler(heard)
    # That a file was passed over is news to pip, not a warning.
    logging.getLogger("pip").setLevel(logging.INFO)
    try:
        found = resolver.resolve()
    except DistributionNotFound as error:
        return {**_explain(error), "warnings": heard.lines}
    except (PipError, PipToolsError, InstallationError) as error:
        return {"failure": str(error).splitlines(), "names": [], "warnings": heard.lines}
    return {"result": sorted([canonicalize_name(one.name), _version_of(one)] for one in found)}


class _Parent:
    """The process that asked, and that alone talks to the world."""

    def __init__(self, questions: TextIO, replies: TextIO) -> None:
        self._questions = questions
        self._replies = replies

    def tell(self, message: Mapping[str, Any]) -> None:
        self._replies.write(json.dumps(message) + "\n")
        self._replies.flush()

    def ask(self, kind: str, subject: str) -> str | None:
        """A page or metadata as text; None where the index has none."""
        self.tell({"ask": kind, "of": subject})
        line = self._questions.readline()
        if not line:
            # The parent is gone or has given up.
            sys.exit(1)
        content: str | None = json.loads(line)
        return content


class _ParentTransport(BaseAdapter):  # type: ignore[misc]
    """Answers pip's requests with what the parent says."""

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
        response.status_code = 404 if content is None else 200
        response.reason = "Not Found" if content is None else "OK"
        response.url = request.url
        response.request = request
        response.headers["Content-Type"] = _JSON if path.startswith("/simple/") else "text/plain"
        response.raw = BytesIO((content or "").encode())
        return response

    def close(self) -> None:
        """Nothing is open."""


class _TargetRepository(PyPIRepository):  # type: ignore[misc]
    """pip-tools' view of the index, for the target."""

    def __init__(self, question: Mapping[str, Any], parent: _Parent) -> None:
        arguments = ["--index-url", _INDEX, "--prefer-binary", "--no-cache-dir", "--no-input", "--isolated"]
        arguments += ["--disable-pip-version-check", "--uploaded-prior-to", question["as_of"]]
        super().__init__(arguments, question["folder"])
        python = tuple(question["python"])
        target = TargetPython(
            platforms=question["platform_tags"],
            py_version_info=python,
            abis=[f"cp{python[0]}{python[1]}"],
            implementation="cp",
        )
        for scheme in ("https://", "http://", "file://"):
            self.session.mount(scheme, _ParentTransport(parent))
        self._finder = self.command._build_package_finder(
            options=self.options, session=self.session, target_python=target
        )
        _prefer(self._finder, question["preferences"])
        self.command.make_resolver = functools.partial(self.command.make_resolver, py_version_info=python)


def _prefer(finder: PackageFinder, preferences: Mapping[str, str]) -> None:
    """Let the finder try a package's preferred version before all others, where its requirements admit it."""
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
    """Tells the parent what is decided and what has to be decided again."""

    def __init__(self, parent: _Parent, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._parent = parent

    def pinning(self, candidate: Any) -> None:
        if candidate.name == candidate.project_name:
            self._parent.tell({"pinned": candidate.project_name})

    def rejecting_candidate(self, criterion: Any, candidate: Any) -> None:
        super().rejecting_candidate(criterion, candidate)
        count = self.reject_count_by_package[candidate.name]
        if count in (20, 100, 500):
            self._parent.tell({"rejected": candidate.name, "times": count})


class _Warnings(logging.Handler):
    """The last things that pip complained about, such as files that it passed over for their metadata."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = re.sub(r"\[/?[a-z ]*\]", "", record.getMessage())
        if record.levelno >= logging.WARNING or text.startswith("Discarding"):
            # The index that pip believes in means nothing to the reader.
            text = re.sub(r" \(from https://index\.invalid/\S*\)", "", text.replace(f"{_FILES}/", ""))
            self.lines = [*self.lines[-9:], f"pip: {' '.join(text.split())}"]


def _explain(error: DistributionNotFound) -> dict[str, Any]:
    """Who wants what of the packages that do not go together, a line each."""
    cause = error.__cause__
    if not isinstance(cause, ResolutionImpossible):
        return {"failure": [str(error)], "names": []}
    lines: list[str] = []
    names: set[str] = set()
    for one in cause.causes:
        wanted = one.requirement.format_for_error()
        names.add(canonicalize_name(one.requirement.project_name))
        by = f"{one.parent.name} {one.parent.version} needs" if one.parent else "the recipe asks for"
        lines.append(f"{by} {wanted}")
    return {"failure": _unique(lines), "names": sorted(names)}


def _unique(lines: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(lines))


def _version_of(requirement: Any) -> str:
    (specifier,) = requirement.specifier
    return str(specifier.version)


if __name__ == "__main__":
    main()
