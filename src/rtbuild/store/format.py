"""How to tell a store from any other folder."""

from __future__ import annotations

from pathlib import Path

from rtbuild.errors import StoreError
from rtbuild.store.files import entries

FORMAT = "1"
"""The format of the store that this rtbuild reads and writes."""


def is_store(root: Path) -> bool:
    """Return whether the folder is a store; False if it is missing or empty.

    Raises:
        StoreError: if it holds something else, or a store of another format.
        OSError: if it cannot be read.
    """
    for _ in range(2):
        try:
            text = (root / "format").read_text(encoding="utf-8", errors="replace").strip()
            break
        except FileNotFoundError:
            # What a file system makes, or a process that was killed while it created the store
            others = {path.name for path in entries(root) if not path.name.startswith(".format.")} - {"lost+found"}
            if not others:
                return False
            # Another process may have made the store between the two looks
    else:
        shown = ", ".join(sorted(others)[:5])
        raise StoreError(
            f"{root} is not a store: it holds other files",
            details=f"no file `format`, but {shown}" + (f" and {len(others) - 5} more" if len(others) > 5 else ""),
            hint="choose a new or empty folder with --store or RTBUILD_STORE",
        )
    if text == FORMAT:
        return True
    if text.isdecimal():
        raise StoreError(
            f"{root / 'format'}: the store has format {text[:20]}, but this rtbuild supports format {FORMAT}",
            hint="use the newer rtbuild, or choose another store with --store",
        )
    raise StoreError(
        f"{root / 'format'}: the file does not contain the format of a store",
        hint=f"write {FORMAT} into it if the folder is an rtbuild store, or choose another with --store",
    )
