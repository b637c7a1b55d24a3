"""Small pieces of text: digests and tables."""

from __future__ import annotations

from collections.abc import Sequence


def short(digest: str | None) -> str:
    """The first 12 hexadecimal digits of a key or digest, `-` for none: enough to recognise, not to trust."""
    return digest.removeprefix("sha256:")[:12] if digest else "-"


def encodable(text: str) -> str:
    """`text` with escapes for halves of surrogate pairs, which names of files may have and no output takes.

    The escapes are those of JSON too, so that a JSON text stays the same document.
    """
    return text.encode("utf-8", "backslashreplace").decode()


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns padded to their widest cell, two spaces apart; no rows give the head alone."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows))
    return "\n".join(line.rstrip() for line in lines)
