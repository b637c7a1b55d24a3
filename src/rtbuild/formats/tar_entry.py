"""One member of a layer's tar, as rtbuild sees it."""

from __future__ import annotations

from dataclasses import dataclass

REGULAR = "file"
DIRECTORY = "directory"
SYMLINK = "symlink"
HARDLINK = "hardlink"
CHARACTER = "character"
BLOCK = "block"
FIFO = "fifo"


@dataclass(slots=True, kw_only=True)
class Entry:
    """A tar member. `path` is relative without `./` and without a trailing slash; `mode` holds the 12 permission bits;
    `mtime` is whole seconds since 1970; `link` is the target of a symbolic or hard link; `xattrs` are name -> bytes.

    Not frozen: layers have tens of thousands of them.
    """

    path: str
    type: str = REGULAR
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: int = 0
    link: str = ""
    device: tuple[int, int] = (0, 0)
    xattrs: dict[str, bytes] | None = None
