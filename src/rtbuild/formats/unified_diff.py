"""A strict parser of unified diffs: every line is understood, or the diff is rejected.

The format is that of POSIX `diff -u`, with the headers of `git diff` for created and deleted files. Text before the
first file is a comment. Lines are bytes, because a patch has to fit its target in any encoding.

    diff --git a/x.sh b/x.sh            optional; needed for an empty file and for the mode of a created one
    new file mode 100755                or `deleted file mode`
    index 0000000..7898192              ignored
    --- /dev/null                       or `a/x.sh`
    +++ b/x.sh                          or `/dev/null`
    @@ -0,0 +1,2 @@                     a hunk: first line and number of lines, old and new
    +#!/bin/sh
    +true
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

_HUNK = re.compile(rb"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@(?: .*)?\r?\Z")
_MODE = re.compile(rb"(new|deleted) file mode 100(644|755)\Z")
_COMMAND = b"diff -"
_GIT = b"diff --git "
_NOTHING = b"/dev/null"
# The text after the space depends on the locale in which diff ran.
_NO_NEWLINE = b"\\ "
_BINARY = b"Binary files "
_ONLY = b"Only in "
# Changes of more than text, and files whose lines are missing.
_UNSUPPORTED = (
    (b"rename ", "renames are not supported"),
    (b"copy ", "copies are not supported"),
    (b"similarity index ", "renames and copies are not supported"),
    (b"dissimilarity index ", "replacing a whole file is not supported"),
    (b"old mode ", "mode changes are not supported"),
    (b"new mode ", "mode changes are not supported"),
    (b"GIT binary patch", "binary files are not supported"),
    (_ONLY, "the lines of a file are missing (diff -N includes them)"),
    (_BINARY, "binary files are not supported"),
)


class DiffError(ValueError):
    """A diff that cannot be parsed. `line` is the number of the line at fault, from 1."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunk:
    """A change to a block of lines.

    Attributes:
        start: The number of lines before the block in the old file.
        new_start: The number of lines before the block in the new file.
        before: The old lines, with their line breaks.
        after: The new lines, with their line breaks.
        line: The line of the diff that the hunk starts in, from 1.
    """

    start: int
    new_start: int
    before: tuple[bytes, ...]
    after: tuple[bytes, ...]
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDiff:
    """The changes to one file.

    Attributes:
        path: Relative to the folder that the patch is applied to.
        hunks: The changes in the order of lines; none for an empty file that is created or deleted.
        created: Whether the file is missing before.
        deleted: Whether the file is missing after.
        executable: The mode of a created file.
        line: The line of the diff that its part starts in, from 1.
    """

    path: str
    hunks: tuple[Hunk, ...]
    created: bool = False
    deleted: bool = False
    executable: bool = False
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """What git's header says about a file; the defaults if another tool made the diff."""

    path: str = ""
    created: bool = False
    deleted: bool = False
    executable: bool = False


def read_diff(content: bytes) -> tuple[FileDiff, ...]:
    """Return the files that a diff changes, in its order: at least one, and each of them once.

    Raises:
        DiffError: if the diff cannot be parsed, or has a change that is not supported.
    """
    return _Reader(content).files()


class _Reader:
    """Reads the lines of a diff from first to last."""

    def __init__(self, content: bytes) -> None:
        self._lines = content.split(b"\n")
        self._next = 0
        if self._lines.pop():
            raise DiffError(len(self._lines) + 1, "the last line has no line break; the patch is truncated")

    def files(self) -> tuple[FileDiff, ...]:
        files: dict[str, FileDiff] = {}
        while (line := self._peek()) is not None and not _begins_file(line):
            if line.startswith(b"@@ -"):
                raise self._wrong("a hunk before the first file")
            if line.startswith((_BINARY, _ONLY)):
                self._reject(line)
            self._next += 1
        while self._peek() is not None:
            file = self._file()
            if file.path in files:
                raise DiffError(file.line, f"{file.path} is changed twice")
            files[file.path] = file
        if not files:
            raise DiffError(max(1, len(self._lines)), "the patch changes no file")
        return tuple(files.values())

    def _file(self) -> FileDiff:
        first = self._next + 1
        header = _Header()
        if self._line().startswith(_GIT):
            header = self._git_header()
            following = self._peek()
            if following is None or following.startswith(_COMMAND):
                return self._empty(header, first)
        elif self._line().startswith(_COMMAND):
            self._next += 1  # `diff -r` repeats its command for each file
        old, new = self._name(b"--- ", b"a/"), self._name(b"+++ ", b"b/")
        path = new or old
        if path is None or (old and new and old != new) or (header.path and path != header.path):
            raise DiffError(first, "the headers name no file, or different ones")
        if (header.created or header.deleted) and (header.created, header.deleted) != (old is None, new is None):
            raise DiffError(first, f"the headers of {path} disagree on whether it is created or deleted")
        hunks = self._hunks(path)
        absent = [
            *((hunk.before for hunk in hunks) if old is None else ()),
            *((hunk.after for hunk in hunks) if new is None else ()),
        ]
        if any(absent) or len(absent) > 1:
            raise DiffError(hunks[0].line, f"{path} is missing on one side but has lines there")
        return FileDiff(
            path=path,
            hunks=hunks,
            created=old is None,
            deleted=new is None,
            executable=header.executable,
            line=first,
        )

    def _git_header(self) -> _Header:
        header = _Header(path=self._git_path())
        while (line := self._peek()) is not None and not _begins_file(line):
            self._reject(line)
            if match := _MODE.match(line):
                created = match[1] == b"new"
                header = replace(
                    header, created=created, deleted=not created, executable=created and match[2] == b"755"
                )
            elif not line.startswith(b"index "):
                raise self._wrong("not a file header")
            self._next += 1
        return header

    def _empty(self, header: _Header, line: int) -> FileDiff:
        if not (header.created or header.deleted):
            raise DiffError(line, f"{header.path} is named without a change")
        return FileDiff(
            path=header.path,
            hunks=(),
            created=header.created,
            deleted=header.deleted,
            executable=header.executable,
            line=line,
        )

    def _git_path(self) -> str:
        # `a/PATH b/PATH`, where PATH itself may contain spaces.
        text = self._line().removeprefix(_GIT)
        path = text[2 : len(text) // 2]
        if text != b"a/" + path + b" b/" + path:
            raise self._wrong("expected a/PATH b/PATH with the same PATH")
        checked = self._checked(path)
        self._next += 1
        return checked

    def _name(self, start: bytes, side: bytes) -> str | None:
        line = self._peek()
        if line is None or not line.startswith(start):
            raise self._wrong(f"expected a line that starts with {start.decode()!r}")
        # `diff -u` puts a date after a tab.
        name = line.removeprefix(start).partition(b"\t")[0].removesuffix(b"\r")
        path = None
        if name != _NOTHING:
            if not name.startswith(side):
                raise self._wrong(f"expected {side.decode()}PATH or /dev/null")
            path = self._checked(name.removeprefix(side))
        self._next += 1
        return path

    def _checked(self, name: bytes) -> str:
        try:
            path = name.decode()
        except UnicodeDecodeError:
            raise self._wrong("the path is not UTF-8") from None
        if path.startswith(("/", "../", '"')) or path in ("", ".", "..") or posixpath.normpath(path) != path:
            raise self._wrong(f"{path!r} is not a normalised relative path")
        return path

    def _hunks(self, path: str) -> tuple[Hunk, ...]:
        hunks: list[Hunk] = []
        end = shift = 0
        while (line := self._peek()) is not None and not _begins_file(line):
            hunk = self._hunk()
            if hunk.start < end:
                where = f"line {hunk.start + 1} of {path}, inside the previous hunk"
                raise DiffError(hunk.line, f"the hunk starts in {where}")
            if hunk.new_start != hunk.start + shift:
                number = hunk.start + shift + bool(hunk.after)
                raise DiffError(hunk.line, f"the hunk should start in line +{number}, after the previous ones")
            if hunks and not _all_end((*hunks[-1].before[-1:], *hunks[-1].after[-1:])):
                raise DiffError(hunk.line, f"the hunk is after the end of {path}")
            end = hunk.start + len(hunk.before)
            shift += len(hunk.after) - len(hunk.before)
            hunks.append(hunk)
        if not hunks:
            raise self._wrong(f"no line of {path} is changed")
        return tuple(hunks)

    def _hunk(self) -> Hunk:
        first = self._next + 1
        match = _HUNK.match(self._line())
        if match is None:
            self._reject(self._line())
            raise self._wrong("neither a hunk nor a file")
        self._next += 1
        counts = [int(count) if count is not None else 1 for count in (match[2], match[4])]
        before: list[bytes] = []
        after: list[bytes] = []
        while len(before) < counts[0] or len(after) < counts[1]:
            line = self._peek()
            sign = (line or b"")[:1]
            if line is None or sign not in (b" ", b"-", b"+"):
                left = f"{counts[0] - len(before)} old and {counts[1] - len(after)} new lines"
                blank = "; an empty line has to start with a space" if line == b"" else ""
                raise self._wrong(f"{left} of the hunk in line {first} are missing{blank}")
            self._next += 1
            end = b"\n"
            if (self._peek() or b"").startswith(_NO_NEWLINE):
                end = b""
                self._next += 1
            if sign != b"+":
                before.append(line[1:] + end)
            if sign != b"-":
                after.append(line[1:] + end)
        if (len(before), len(after)) != (counts[0], counts[1]) or not _all_end((*before[:-1], *after[:-1])):
            raise DiffError(first, "the hunk's lines do not match its header")
        if before == after:
            raise DiffError(first, "the hunk changes nothing")
        # For a side without lines POSIX gives the line before the block, otherwise the first line of it.
        start, new_start = int(match[1]) - (counts[0] > 0), int(match[3]) - (counts[1] > 0)
        if start < 0 or new_start < 0:
            raise DiffError(first, "line numbers start at 1")
        return Hunk(start=start, new_start=new_start, before=tuple(before), after=tuple(after), line=first)

    def _peek(self) -> bytes | None:
        return self._lines[self._next] if self._next < len(self._lines) else None

    def _line(self) -> bytes:
        return self._lines[self._next]

    def _reject(self, line: bytes) -> None:
        for start, text in _UNSUPPORTED:
            if line.startswith(start):
                raise self._wrong(text)

    def _wrong(self, text: str) -> DiffError:
        line = self._peek()
        at = "the patch ends here" if line is None else f"found {line[:60].decode(errors='backslashreplace')!r}"
        return DiffError(self._next + 1, f"{text}; {at}")


def _begins_file(line: bytes) -> bool:
    return line.startswith((_COMMAND, b"--- ", b"+++ "))


def _all_end(lines: Sequence[bytes]) -> bool:
    return all(line.endswith(b"\n") for line in lines)
