"""Applying patches to files: to the letter, or not at all.

A patch is for one exact file of one exact version, so a hunk whose lines are not where it says is an error, and nothing
is searched for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rtbuild.errors import BuildError
from rtbuild.formats.unified_diff import FileDiff, Hunk
from rtbuild.recipe.model import Patch

Read = Callable[[str], bytes | None]
"""Gives the content of a file by its path; None where there is no such file."""

_SHOWN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchedFile:
    """What a patch makes of a file: its new content, or None where it goes. `executable` is for one that comes."""

    content: bytes | None
    executable: bool = False


class _Misfit(Exception):
    """A diff that is not for the file there is; `hunk` is the one that does not fit, `line` the file's, from 1."""

    def __init__(self, diff: FileDiff, text: str, *, hunk: Hunk | None = None, line: int | None = None) -> None:
        super().__init__(text)
        self.diff = diff
        self.hunk = hunk
        self.line = line


def apply_patch(patch: Patch, read: Read, *, target: str) -> dict[str, PatchedFile]:
    """The files that `patch` changes, by path. `target` names in messages what they are of.

    Raises `BuildError` where the patch does not apply, and where they hold its changes already.
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
            details=f"{error}\nthe patch asks for it in line {line} of recipes/patches/{patch.id}.patch",
            hint=f"make the patch anew from the files of {target}",
        ) from None
    raise BuildError(
        f"patch {patch.id}: upstream already contains it in {target}",
        hint="remove it from the release's patches",
    )


def _apply(diffs: Sequence[FileDiff], read: Read) -> dict[str, PatchedFile]:
    return {diff.path: _changed(diff, read(diff.path)) for diff in diffs}


def _changed(diff: FileDiff, content: bytes | None) -> PatchedFile:
    if diff.created:
        if content is not None:
            raise _Misfit(diff, "the file is there already, and the patch creates it")
        made = b"".join(line for hunk in diff.hunks for line in hunk.after)
        return PatchedFile(content=made, executable=diff.executable)
    if content is None:
        raise _Misfit(diff, "there is no such file")
    lines = _lines(content)
    made_lines: list[bytes] = []
    position = 0
    for hunk in diff.hunks:
        _check(diff, hunk, lines)
        made_lines += [*lines[position : hunk.start], *hunk.after]
        position = hunk.start + len(hunk.before)
    made_lines += lines[position:]
    if not all(line.endswith(b"\n") for line in made_lines[:-1]):
        raise _Misfit(diff, "a line that has no end would get into the middle of the file", line=len(lines))
    if diff.deleted:
        if made_lines:
            raise _Misfit(diff, "the file has lines that are not in the patch, which deletes it", line=position + 1)
        return PatchedFile(content=None)
    return PatchedFile(content=b"".join(made_lines))


def _check(diff: FileDiff, hunk: Hunk, lines: Sequence[bytes]) -> None:
    end = hunk.start + len(hunk.before)
    found = lines[hunk.start : end]
    if tuple(found) == hunk.before and hunk.start <= len(lines):
        return
    offset = next((i for i, pair in enumerate(zip(found, hunk.before, strict=False)) if pair[0] != pair[1]), len(found))
    number = hunk.start + offset + 1
    expected = _shown(hunk.before[offset]) if offset < len(hunk.before) else "more lines"
    there = _shown(found[offset]) if offset < len(found) else f"the end of the file, which has {len(lines)} lines"
    text = f"line {number} should be {expected}, and is {there}"
    if tuple(lines[hunk.start : hunk.start + len(hunk.after)]) == hunk.after:
        text += "\nwhat this part of the patch changes is changed already"
    elif places := [start + 1 for start in range(len(lines)) if _stands_at(hunk, lines, start)]:
        text += f"\nthe lines that this part of the patch asks for begin in line {', '.join(map(str, places[:3]))}"
    raise _Misfit(diff, text, hunk=hunk, line=number)


def _stands_at(hunk: Hunk, lines: Sequence[bytes], start: int) -> bool:
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
    """Lines with their ends. `splitlines` would end them at a carriage return, too."""
    *whole, rest = content.split(b"\n")
    return [line + b"\n" for line in whole] + ([rest] if rest else [])


def _shown(line: bytes) -> str:
    text = line.decode(errors="backslashreplace")
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
