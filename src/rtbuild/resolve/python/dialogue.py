"""The parent's side of a resolution: starts the resolver's process, serves it the index, and reads its answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from rtbuild.errors import MirrorError, ResolutionError
from rtbuild.progress import Progress
from rtbuild.resolve.python.index import Index
from rtbuild.resolve.python.pages import DistributionFile, Page
from rtbuild.resolve.python.prefetch import Prefetch

_UNUSABLE = "metadata-that-cannot-be-used"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to resolve: direct requirements, constraints on anything, and versions to keep unless they do not fit."""

    requirements: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    preferences: Mapping[str, str]


def ask_resolver(
    question: Question, index: Index, prefetch: Prefetch, *, task: str, progress: Progress
) -> tuple[DistributionFile, ...]:
    """The file of every package that the question leads to, by name. `task` is the running task of `progress`.

    Raises `ResolutionError` where no set of packages fits, and what `Index` raises.
    """
    target = index.target
    with tempfile.TemporaryDirectory(prefix="rtbuild-resolve-") as folder:
        message = {
            "requirements": question.requirements,
            "constraints": question.constraints,
            "preferences": dict(question.preferences),
            "as_of": index.as_of.isoformat(),
            "python": target.python,
            "platform_tags": target.platform_tags,
            "environment": dict(target.environment),
            "folder": folder,
        }
        found = _Conversation(index, prefetch, task=task, progress=progress).hold(message, Path(folder))
    return tuple(_file(index.page(name), Version(version)) for name, version in found)


def _file(page: Page, version: Version) -> DistributionFile:
    file = page.file(version)
    if file is None:
        raise ResolutionError(f"the resolver chose {page.name} {version}, which the index does not have for the target")
    return file


class _Conversation:
    """One resolver process and what it was served."""

    def __init__(self, index: Index, prefetch: Prefetch, *, task: str, progress: Progress) -> None:
        self._index = index
        self._prefetch = prefetch
        self._task = task
        self._progress = progress
        self._served: dict[str, DistributionFile] = {}
        self._pages: dict[str, Page] = {}
        self._pinned: set[str] = set()
        self._unusable: dict[str, str] = {}

    def hold(self, question: Mapping[str, Any], folder: Path) -> Sequence[tuple[str, str]]:
        """Ask, serve, and return (name, version) pairs."""
        # A whole new environment: no PIP_* variable and no configuration file of the machine may change a lock.
        environment = {
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "PIP_CONFIG_FILE": os.devnull,
            "TMPDIR": str(folder),
            "HOME": str(folder),
            "PYTHONUTF8": "1",
        }
        with (folder / "stderr").open("w+b") as errors:
            process = subprocess.Popen(
                # By its path, so that it loads pip and nothing of rtbuild; -P keeps its neighbours off its import path.
                [sys.executable, "-P", str(Path(__file__).with_name("adapter.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                cwd=folder,
            )
            try:
                assert process.stdin is not None
                assert process.stdout is not None
                answer = self._serve(question, process.stdin, process.stdout)
                process.wait()
            except BrokenPipeError:
                answer = None
            finally:
                # Also on Ctrl-C and on any error of the index: nothing stays behind.
                process.kill()
                process.wait()
                for stream in (process.stdin, process.stdout):
                    if stream is not None:
                        _close(stream)
            if answer is None:
                errors.seek(0)
                tail = errors.read().decode("utf-8", "replace").strip()[-4000:]
                raise ResolutionError("pip's resolver ended without an answer", details=tail)
        if "failure" in answer:
            raise self._unsatisfiable(answer["failure"], answer["names"], question["constraints"], answer["warnings"])
        return [(name, version) for name, version in answer["result"]]

    def _serve(self, question: Mapping[str, Any], questions: IO[bytes], replies: IO[bytes]) -> Mapping[str, Any] | None:
        _send(questions, question)
        for line in replies:
            message = json.loads(line)
            if "pinned" in message:
                if message["pinned"] not in self._pinned:
                    self._pinned.add(message["pinned"])
                    self._progress.advance(self._task)
            elif "rejected" in message:
                self._progress.note(f"{message['rejected']}: {message['times']} versions do not fit, trying others")
            elif message.get("ask") == "page":
                _send(questions, self._page(message["of"]))
            elif message.get("ask") == "metadata":
                file = self._served[message["of"]]
                self._prefetch.passed_over(self._pages[file.name], file)
                _send(questions, self._metadata(file))
            else:
                return dict(message)
        return None

    def _page(self, name: str) -> str:
        try:
            page = self._pages[name] = self._index.page(name)
        except MirrorError as error:
            details = [text for text in (self._prefetch.wanted_by(name), error.details) if text]
            hint = f"check the spelling of {name}" + (f"; {error.hint}" if error.hint else "")
            raise MirrorError(error.brief, details="\n".join(details), hint=hint) from error
        # pip cuts off at `as_of` too, and local packages are of that very moment.
        latest = self._index.as_of - timedelta(seconds=1)
        entries = []
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
                    # Of every file, an sdist too: the parent reads it where the index has none (see `index`).
                    "core-metadata": True,
                }
            )
        return json.dumps({"meta": {"api-version": "1.1"}, "name": name, "files": entries})

    def _metadata(self, file: DistributionFile) -> str:
        try:
            return self._index.text(file)
        except ResolutionError as error:
            # One odd old file that the resolver looks at is no reason to give up: pip passes over what is not as named.
            self._unusable[file.filename] = error.brief
            return f"Metadata-Version: 2.1\nName: {_UNUSABLE}\nVersion: 0\n"

    def _unsatisfiable(
        self, lines: Sequence[str], names: Sequence[str], constraints: Sequence[str], warnings: Sequence[str]
    ) -> ResolutionError:
        empty = [name for name in sorted(self._pages) if not self._pages[name].files]
        bounds = [one for one in constraints if canonicalize_name(Requirement(one).name) in names]
        if set(names) & set(empty) or (empty and not names):
            brief = f"{', '.join(empty)}: no file can be used for {self._index.target}"
        elif len(lines) + len(bounds) == 1 and names:
            brief = f"{names[0]}: no version fits"
        elif names:
            brief = f"the requirements on {', '.join(names)} contradict each other"
        else:
            brief = "the requirements cannot be satisfied"
        told = [self._pages[name].explain() for name in dict.fromkeys([*names, *empty]) if name in self._pages]
        constrained = [f"held to {one}" for one in bounds]
        warnings = [line for line in warnings if _UNUSABLE not in line]
        return ResolutionError(
            brief,
            details="\n".join([*lines, *constrained, *told, *self._unusable.values(), *warnings]),
            hint="change the version in the recipe or in --upgrade-package, or move as_of to a later moment",
        )


def _send(stream: IO[bytes], message: object) -> None:
    stream.write(json.dumps(message).encode() + b"\n")
    stream.flush()


def _close(stream: IO[bytes]) -> None:
    with suppress(BrokenPipeError):
        stream.close()
