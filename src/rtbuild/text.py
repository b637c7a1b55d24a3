"""Small pieces of text that messages and reports are put together from."""

from __future__ import annotations

from collections.abc import Iterable


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


def name_hint(name: str, known: Iterable[str], kind: str) -> str:
    """Return the hint for an unknown name: the known name that was probably meant, otherwise all names of that `kind`.

    `kind` is a plural, such as `layers`.
    """
    import difflib  # here, because most runs have no unknown name

    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known {kind}: {', '.join(known) or 'none'}"
