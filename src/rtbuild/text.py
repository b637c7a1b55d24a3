"""Small pieces of text that messages and reports are put together from."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Besides the control characters: halves of surrogate pairs, which stand for bytes that are not UTF-8, the ends of lines
# of Unicode, and what turns the direction of a line around (CVE-2021-42574).
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028-\u202e\u2066-\u2069]")


def size_text(size: int) -> str:
    """Return a number of bytes in the largest decimal unit that leaves at least one whole (`98.2 MB`)."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"


def amount_text(amount: int, unit: str) -> str:
    """Return an amount with its unit: `bytes` as kB, MB or GB (powers of ten), any other unit as it is."""
    return size_text(amount) if unit == "bytes" else f"{amount} {unit}".rstrip()


def count(noun: str, number: int, *, plural: str | None = None) -> str:
    """Return a number of things (`1 layer`, `2 layers`); `plural` is for nouns that do not just add an s."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def printable(text: str) -> str:
    """Return `text` on one line, with an escape such as `\\x1b` for each character that a terminal might obey.

    The names of files in an image are anybody's: printed as they are, they could write lines of their own.
    """
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def name_hint(name: str, known: Iterable[str], kind: str) -> str:
    """Return the hint for an unknown name: the known name that was probably meant, otherwise all names of that `kind`.

    `kind` is a plural, such as `layers`.
    """
    import difflib  # here, because most runs have no unknown name

    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known {kind}: {', '.join(known) or 'none'}"
