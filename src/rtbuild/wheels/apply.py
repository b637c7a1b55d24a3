"""Apply patches to files exactly: no fuzz, no offsets.

A patch is written for one exact version of a file. A hunk whose lines are not where it says is an error; they are not
looked for elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rtbuild.errors import BuildError
from rtbuild.formats.unified_diff import FileDiff, Hunk
from rtbuild.recipe.model import Patch

ReadFile = Callable[[str], bytes | None]
"""Returns the content of the file at a path, or None if there is no such file."""

_SHOWN_CHARACTERS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchedFile:
    """A file after a patch: its new content, or None if it is deleted. `executable` is set only for created files."""

    content: bytes | None
    executable: bool = False


class _Misfit(Exception):
    """A diff does not match the file; `hunk` is the part that does not match, `line` the line in the file, from 1."""

    def __init__(self, diff: FileDiff, text: str, *, hunk: Hunk | None = None, line: int | None = None) -> None:
        super().__init__(text)
        self.diff = diff
        self.hunk = hunk
        self.line = line


def apply_patch(patch: Patch, read: ReadFile, *, target: str) -> dict[str, PatchedFile]:
    """Return the files that `patch` changes, by path.

    Args:
        patch: The patch.
        read: Returns the content of a file before the patch.
        target: What the patch is for, in messages (`celery 5.2.7`).

    Raises:
        BuildError: if the patch does not apply, or the files already contain its changes.
    """
    try:
        return _apply(patch.diffs, read)
    except _Misfit as misfit:
        error = misfit
    try:
        _apply([_reversed(diff) for diff in patch.diffs], read)
    except _Misfit:
        place = error.diff.path if error.line is None else f"{error.diff.path} line {error.line}"
        line = error.diff.line if error.hunk is None else error.hunk.line
        raise BuildError(
            f"patch {patch.id} does not apply to {target}: {place}",
            details=f"{error}\nexpected by line {line} of recipes/patches/{patch.id}.patch",
            hint=f"regenerate the patch from the files of {target}",
        ) from None
    raise BuildError(
        f"patch {patch.id}: upstream already contains it in {target}",
        hint="remove it from the release's patches",
    )


def _apply(diffs: Sequence[FileDiff], read: ReadFile) -> dict[str, PatchedFile]:
    return {diff.path: _patched(diff, read(diff.path)) for diff in diffs}


def _patched(diff: FileDiff, content: bytes | None) -> PatchedFile:
    if diff.created:
        if content is not None:
            raise _Misfit(diff, "the patch creates this file, but it already exists")
        created = b"".join(line for hunk in diff.hunks for line in hunk.after)
        return PatchedFile(content=created, executable=diff.executable)
    if content is None:
        raise _Misfit(diff, "there is no such file")
    lines = _lines(content)
    result: list[bytes] = []
    position = 0
    for hunk in diff.hunks:
        _check(diff, hunk, lines)
        result += [*lines[position : hunk.start], *hunk.after]
        position = hunk.start + len(hunk.before)
    result += lines[position:]
    if not all(line.endswith(b"\n") for line in result[:-1]):
        raise _Misfit(diff, "a line without a line ending would end up in the middle of the file", line=len(lines))
    if diff.deleted:
        if result:
            raise _Misfit(
                diff, "the patch deletes this file, but the file has lines that the patch lacks", line=position + 1
            )
        return PatchedFile(content=None)
    return PatchedFile(content=b"".join(result))


def _check(diff: FileDiff, hunk: Hunk, lines: Sequence[bytes]) -> None:
    """Raise `_Misfit` unless `lines` hold what `hunk` expects, with a text that says what was found instead."""
    actual = lines[hunk.start : hunk.start + len(hunk.before)]
    if tuple(actual) == hunk.before and hunk.start <= len(lines):
        return
    pairs = enumerate(zip(actual, hunk.before, strict=False))
    offset = next((index for index, (there, expected) in pairs if there != expected), len(actual))
    number = hunk.start + offset + 1
    expected = _shown(hunk.before[offset]) if offset < len(hunk.before) else "more lines"
    there = _shown(actual[offset]) if offset < len(actual) else f"the end of the file ({len(lines)} lines)"
    text = f"line {number}: expected {expected}, found {there}"
    if tuple(lines[hunk.start : hunk.start + len(hunk.after)]) == hunk.after:
        text += "\nthe file already contains the change of this hunk"
    elif starts := [start + 1 for start in range(len(lines)) if _matches_at(hunk, lines, start)]:
        text += f"\nthe lines that this hunk expects start at line {', '.join(map(str, starts[:3]))}"
    raise _Misfit(diff, text, hunk=hunk, line=number)


def _matches_at(hunk: Hunk, lines: Sequence[bytes], start: int) -> bool:
    return bool(hunk.before) and tuple(lines[start : start + len(hunk.before)]) == hunk.before


def _reversed(diff: FileDiff) -> FileDiff:
    return replace(
        diff,
        created=diff.deleted,
        deleted=diff.created,
        hunks=tuple(
            replace(hunk, start=hunk.new_start, new_start=hunk.start, before=hunk.after, after=hunk.before)
            for hunk in diff.hunks
        ),
    )


def _lines(content: bytes) -> list[bytes]:
    """Split into lines with their endings. `splitlines` would also split at a carriage return."""
    *whole, rest = content.split(b"\n")
    return [line + b"\n" for line in whole] + ([rest] if rest else [])


def _shown(line: bytes) -> str:
    text = line.decode(errors="backslashreplace")
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "...")
