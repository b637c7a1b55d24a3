"""Small pieces of text: sizes, digests, tables."""

from __future__ import annotations

from collections.abc import Sequence


def amount_text(amount: int, unit: str) -> str:
    """`amount` of `unit` for a reader: bytes as kB, MB or GB (powers of ten), other units as they are."""
    return size_text(amount) if unit == "bytes" else f"{amount} {unit}".rstrip()


def size_text(size: int) -> str:
    """A number of bytes in the largest decimal unit that leaves at least one whole (`98.2 MB`)."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"


def short(digest: str | None) -> str:
    """The first 12 hexadecimal digits of a key or digest, `-` for none: enough to recognise, not to trust."""
    return digest.removeprefix("sha256:")[:12] if digest else "-"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns padded to their widest cell, two spaces apart; no rows give the head alone."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows))
    return "\n".join(line.rstrip() for line in lines)
