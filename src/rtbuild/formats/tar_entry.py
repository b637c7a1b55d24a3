"""A member of a layer's tar: its kind, its attributes and where it links to."""

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
    """A tar member without its content.

    Not frozen: reading fills it step by step, and layers have tens of thousands of members.

    Attributes:
        path: Relative, without `./` and without a trailing slash.
        type: One of the constants above.
        mode: The 12 permission bits.
        uid: The numeric owner.
        gid: The numeric group.
        size: Bytes of content; 0 unless it is a regular file.
        mtime: Whole seconds since 1970.
        link: The target of a symbolic or hard link.
        device: Major and minor number of a device.
        xattrs: Extended attributes by name.
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
