"""The parent's side of a resolution: ask pip's resolver, serve it the index, read its result.

`messages` documents the conversation, and `adapter` is the other side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from rtbuild.errors import MirrorError, ResolutionError
from rtbuild.formats.project_page import ProjectFile, render_project_page
from rtbuild.progress import Progress
from rtbuild.resolve.python.index import Index
from rtbuild.resolve.python.messages import Answer, Ask, Chosen, Impossible, Start, decode_report, encode
from rtbuild.resolve.python.pages import DistributionFile, TargetPage
from rtbuild.resolve.python.prefetch import Prefetch
from rtbuild.resolve.python.process import PipProcess

_UNUSABLE = "metadata-that-cannot-be-used"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to resolve: direct requirements, constraints on any package, and versions to keep as long as they fit."""

    requirements: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    preferences: Mapping[str, str]


def ask_resolver(
    pip: PipProcess, question: Question, index: Index, prefetch: Prefetch, *, task: str, progress: Progress
) -> tuple[DistributionFile, ...]:
    """Return a file for every package that the question leads to, sorted by name.

    `task` is the running task of `progress` to advance.

    Raises:
        ResolutionError: if no set of packages fits.
        MirrorError: if an index or a file is not served.
        IntegrityError: if the index serves other bytes than it promised.
    """
    conversation = Conversation(question, index, prefetch, task=task, progress=progress)
    result = pip.converse(conversation)
    if result["kind"] == "impossible":
        raise conversation.explain(result)
    return tuple(_file(index.page(name), Version(version)) for name, version in result["packages"].items())


def _file(page: TargetPage, version: Version) -> DistributionFile:
    file = page.file(version)
    if file is None:
        raise ResolutionError(f"the resolver chose {page.name} {version}, which the index does not have for the target")
    return file


class Conversation:
    """One conversation with the resolver, and what was served in it."""

    def __init__(self, question: Question, index: Index, prefetch: Prefetch, *, task: str, progress: Progress) -> None:
        self._question = question
        self._index = index
        self._prefetch = prefetch
        self._task = task
        self._progress = progress
        self._served: dict[str, DistributionFile] = {}
        self._pages: dict[str, TargetPage] = {}
        self._pinned: set[str] = set()
        self._usable: set[str] = set()
        self._unusable: dict[str, ResolutionError] = {}

    def hold(self, folder: Path, answers: IO[bytes], reports: IO[bytes]) -> Chosen | Impossible | None:
        """Ask the question, serve what the process asks for, and return the result; see `process.Speaker`."""
        _send(answers, self._start(folder))
        for line in reports:
            report = decode_report(line)
            match report["kind"]:
                case "page" | "metadata":
                    _send(answers, self._answer(report))
                case "pinned":
                    if report["name"] not in self._pinned:
                        self._pinned.add(report["name"])
                        self._progress.advance(self._task)
                case "rejected":
                    self._progress.note(f"{report['name']}: {report['times']} versions do not fit, trying others")
                case "chosen" | "impossible":
                    return report
        return None

    def explain(self, result: Impossible) -> ResolutionError:
        """Return the error for a question that cannot be satisfied."""
        reasons, names = result["reasons"], result["names"]
        empty = [name for name in sorted(self._pages) if not self._pages[name].files]
        bounds = [text for text in self._question.constraints if canonicalize_name(Requirement(text).name) in names]
        if set(names) & set(empty) or (empty and not names):
            brief = f"{', '.join(empty)}: no file can be used for {self._index.target}"
        elif len(reasons) + len(bounds) == 1 and names:
            brief = f"{names[0]}: no version fits"
        elif names:
            brief = f"the requirements on {', '.join(names)} contradict each other"
        else:
            brief = "the requirements cannot be satisfied"
        pages = [self._pages[name].explain() for name in dict.fromkeys([*names, *empty]) if name in self._pages]
        constrained = [f"constrained to {text}" for text in bounds]
        hint: str | None = "change the version in the recipe or in --upgrade-package, or move as_of to a later moment"
        unusable = [error.brief for error in self._unusable.values()]
        warnings = [line for line in result["warnings"] if _UNUSABLE not in line]
        unreadable = self._unreadable(names)
        if unreadable is not None:
            # pip only knows that it found nothing.
            brief, hint, warnings = unreadable.brief, unreadable.hint or hint, []
            unusable.remove(brief)
        return ResolutionError(
            brief, details="\n".join([*reasons, *constrained, *pages, *unusable, *warnings]), hint=hint
        )

    def _unreadable(self, names: Sequence[str]) -> ResolutionError | None:
        """Return the error of a package of which every file that would fit has metadata that cannot be used."""
        for filename, error in self._unusable.items():
            name = self._served[filename].name
            if name in names and name not in self._usable:
                return error
        return None

    def _start(self, folder: Path) -> Start:
        target = self._index.target
        return {
            "requirements": list(self._question.requirements),
            "constraints": list(self._question.constraints),
            "preferences": dict(self._question.preferences),
            "as_of": self._index.as_of.isoformat(),
            "python": list(target.python),
            "platform_tags": list(target.platform_tags),
            "environment": dict(target.environment),
            "folder": str(folder),
        }

    def _answer(self, ask: Ask) -> Answer:
        if ask["kind"] == "page":
            return {"content": self._page(ask["subject"])}
        file = self._served[ask["subject"]]
        self._prefetch.passed_over(self._pages[file.name], file)
        return {"content": self._metadata(file)}

    def _page(self, name: str) -> str:
        try:
            page = self._pages[name] = self._index.page(name)
        except MirrorError as error:
            details = [text for text in (self._prefetch.wanted_by(name), error.details) if text]
            hint = f"check the spelling of {name}" + (f"; {error.hint}" if error.hint else "")
            raise MirrorError(error.brief, details="\n".join(details), hint=hint) from error
        # pip cuts off at `as_of` too, and the files of local packages carry that very time.
        latest = self._index.as_of - timedelta(seconds=1)
        entries: list[ProjectFile] = []
        for file in page.files:
            self._served[file.filename] = file
            entries.append(
                {
                    "filename": file.filename,
                    "url": f"/files/{file.filename}",
                    "hashes": {"sha256": file.sha256},
                    "requires-python": file.requires_python,
                    "yanked": False if file.yanked is None else file.yanked or True,
                    "upload-time": min(file.uploaded, latest).isoformat(),
                    # Every file has metadata, even an sdist: `Index` reads it from the file if it is not served apart.
                    "core-metadata": True,
                }
            )
        return render_project_page(name, entries)

    def _metadata(self, file: DistributionFile) -> str:
        try:
            text = self._index.text(file)
        except ResolutionError as error:
            # A single odd old file is no reason to give up: pip discards a file whose metadata has another name.
            self._unusable[file.filename] = error
            return f"Metadata-Version: 2.1\nName: {_UNUSABLE}\nVersion: 0\n"
        self._usable.add(file.name)
        return text


def _send(stream: IO[bytes], message: Start | Answer) -> None:
    stream.write(encode(message).encode())
    stream.flush()
