"""Unified diffs, read strictly: every line of a file is understood, or the file is refused.

The form is that of POSIX `diff -u`, with the headers of `git diff` for files that come and go. What stands before the
first file is for people. Lines are bytes, since a patch has to fit whatever encoding its target has.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@(?: .*)?\r?\Z")
_MODE = re.compile(rb"(new|deleted) file mode 100(644|755)\Z")
_COMMAND = b"diff -"
_GIT = b"diff --git "
_NOTHING = b"/dev/null"
# What follows the blank depends on the language of whoever ran diff.
_NO_NEWLINE = b"\\ "
_BINARY = b"Binary files "
_ONLY = b"Only in "
# They would change more than text, or what this diff cannot say.
_REFUSED = (
    (b"rename ", "renames a file"),
    (b"copy ", "copies a file"),
    (b"similarity index ", "renames or copies a file"),
    (b"dissimilarity index ", "replaces a file as a whole"),
    (b"old mode ", "changes the mode of a file"),
    (b"new mode ", "changes the mode of a file"),
    (b"GIT binary patch", "changes a file that is not text"),
    (_ONLY, "names a file without its lines (diff -N shows them)"),
    (_BINARY, "changes a file that is not text"),
)


class DiffError(ValueError):
    """A diff that cannot be read. `line` is the number of its line, from 1."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunk:
    """A piece of a file: the lines `before`, with their ends, that become `after`.

    `start` is the number of lines that come before the piece in the old file, `new_start` in the new one; `line` is the
    number of the hunk's own line in the diff.
    """

    start: int
    new_start: int
    before: tuple[bytes, ...]
    after: tuple[bytes, ...]
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDiff:
    """What happens to one file. `path` is relative to where the patch is applied, `line` where the diff speaks of it.

    `created` and `deleted` say that it is there on one side only; without hunks it is an empty file that comes or goes.
    `executable` is the mode of a created one.
    """

    path: str
    hunks: tuple[Hunk, ...]
    created: bool = False
    deleted: bool = False
    executable: bool = False
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """What git says of a file above its hunks; nothing where another diff was at work."""

    path: str = ""
    created: bool = False
    deleted: bool = False
    executable: bool = False


def read_diff(content: bytes) -> tuple[FileDiff, ...]:
    """The files that a diff changes, in its order, at least one and each once. Raises `DiffError`."""
    return _Reader(content).files()


class _Reader:
    """Goes through the lines of a diff once."""

    def __init__(self, content: bytes) -> None:
        self._lines = content.split(b"\n")
        self._next = 0
        if self._lines.pop():
            raise DiffError(len(self._lines) + 1, "the last line has no end: the patch is cut off")

    def files(self) -> tuple[FileDiff, ...]:
        found: dict[str, FileDiff] = {}
        while (line := self._peek()) is not None and not _begins_file(line):
            if line.startswith(b"@@ -"):
                raise self._wrong("a hunk before the first file")
            if line.startswith((_BINARY, _ONLY)):
                self._refuse(line)
            self._next += 1
        while self._peek() is not None:
            file = self._file()
            if file.path in found:
                raise DiffError(file.line, f"{file.path} is changed a second time")
            found[file.path] = file
        if not found:
            raise DiffError(max(1, len(self._lines)), "no file is changed")
        return tuple(found.values())

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
            raise DiffError(first, "the file has no name, or two")
        if (header.created or header.deleted) and (header.created, header.deleted) != (old is None, new is None):
            raise DiffError(first, f"{path} comes or goes in one line and not in another")
        hunks = self._hunks(path)
        absent = [
            *((one.before for one in hunks) if old is None else ()),
            *((one.after for one in hunks) if new is None else ()),
        ]
        if any(absent) or len(absent) > 1:
            raise DiffError(hunks[0].line, f"{path} is not there on one side, and has lines on it")
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
            self._refuse(line)
            if match := _MODE.match(line):
                created = match[1] == b"new"
                header = replace(
                    header, created=created, deleted=not created, executable=created and match[2] == b"755"
                )
            elif not line.startswith(b"index "):
                raise self._wrong("not a header of a file")
            self._next += 1
        return header

    def _empty(self, header: _Header, line: int) -> FileDiff:
        if not (header.created or header.deleted):
            raise DiffError(line, f"nothing is said of {header.path}")
        return FileDiff(
            path=header.path,
            hunks=(),
            created=header.created,
            deleted=header.deleted,
            executable=header.executable,
            line=line,
        )

    def _git_path(self) -> str:
        # `a/PATH b/PATH`, where PATH itself may hold a blank.
        text = self._line().removeprefix(_GIT)
        path = text[2 : len(text) // 2]
        if text != b"a/" + path + b" b/" + path:
            raise self._wrong("expected a/PATH b/PATH with one PATH")
        found = self._checked(path)
        self._next += 1
        return found

    def _name(self, start: bytes, side: bytes) -> str | None:
        line = self._peek()
        if line is None or not line.startswith(start):
            raise self._wrong(f"expected a line that begins with {start.decode()!r}")
        # `diff -u` puts a date after a tab.
        name = line.removeprefix(start).partition(b"\t")[0].removesuffix(b"\r")
        found = None
        if name != _NOTHING:
            if not name.startswith(side):
                raise self._wrong(f"expected {side.decode()}PATH or /dev/null")
            found = self._checked(name.removeprefix(side))
        self._next += 1
        return found

    def _checked(self, name: bytes) -> str:
        try:
            path = name.decode()
        except UnicodeDecodeError:
            raise self._wrong("the path is not UTF-8") from None
        if path.startswith(("/", "../", '"')) or path in ("", ".", "..") or posixpath.normpath(path) != path:
            raise self._wrong(f"{path!r} is not a plain path")
        return path

    def _hunks(self, path: str) -> tuple[Hunk, ...]:
        hunks: list[Hunk] = []
        end = shift = 0
        while (line := self._peek()) is not None and not _begins_file(line):
            hunk = self._hunk()
            if hunk.start < end:
                raise DiffError(hunk.line, f"the hunk begins in line {hunk.start + 1} of {path}, inside the one before")
            if hunk.new_start != hunk.start + shift:
                number = hunk.start + shift + bool(hunk.after)
                raise DiffError(hunk.line, f"after the hunks before it, this one begins in line +{number}")
            if hunks and not _all_end((*hunks[-1].before[-1:], *hunks[-1].after[-1:])):
                raise DiffError(hunk.line, f"the hunk lies behind the end of {path}")
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
            self._refuse(self._line())
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
                blank = "; one without a character is none: an empty line begins with a blank" if line == b"" else ""
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
            raise DiffError(first, "the hunk has other lines than it says")
        if before == after:
            raise DiffError(first, "the hunk changes nothing")
        # Where a side has no lines, POSIX gives the line before them; else the first of them.
        start, new_start = int(match[1]) - (counts[0] > 0), int(match[3]) - (counts[1] > 0)
        if start < 0 or new_start < 0:
            raise DiffError(first, "lines are counted from 1")
        return Hunk(start=start, new_start=new_start, before=tuple(before), after=tuple(after), line=first)

    def _peek(self) -> bytes | None:
        return self._lines[self._next] if self._next < len(self._lines) else None

    def _line(self) -> bytes:
        return self._lines[self._next]

    def _refuse(self, line: bytes) -> None:
        for start, text in _REFUSED:
            if line.startswith(start):
                raise self._wrong(f"{text}, which a patch cannot do")

    def _wrong(self, text: str) -> DiffError:
        line = self._peek()
        found = "the patch ends here" if line is None else f"found {line[:60].decode(errors='backslashreplace')!r}"
        return DiffError(self._next + 1, f"{text}; {found}")


def _begins_file(line: bytes) -> bool:
    return line.startswith((_COMMAND, b"--- ", b"+++ "))


def _all_end(lines: Sequence[bytes]) -> bool:
    return all(line.endswith(b"\n") for line in lines)
