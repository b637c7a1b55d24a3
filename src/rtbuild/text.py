"""Amounts as a reader wants them."""

from __future__ import annotations


def size_text(size: int) -> str:
    """A number of bytes in the largest decimal unit that leaves at least one whole (`98.2 MB`)."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"


def amount_text(amount: int, unit: str) -> str:
    """`amount` of `unit`: bytes as kB, MB or GB (powers of ten), other units as they are."""
    return size_text(amount) if unit == "bytes" else f"{amount} {unit}".rstrip()
