"""What a wheel installs, worked out without installing it: final paths, modes and where each content comes from."""

from __future__ import annotations

import os
import posixpath
import re
import stat
import struct
import zipfile
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from configparser import Error as ConfigError
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

import installer
from installer.destinations import WheelDestination
from installer.exceptions import InstallerError
from installer.records import RecordEntry
from installer.scripts import Script
from installer.sources import WheelContentElement, WheelSource
from installer.utils import Scheme as SchemeName
from installer.utils import canonicalize_name, fix_shebang

from rtbuild.errors import BuildError, IntegrityError
from rtbuild.wheels.scheme import Scheme

INSTALLER = b"pip\n"
"""Content of the file INSTALLER (PEP 376): `pip` is what a user of the image manages these packages with."""

_LOCAL_HEADER = 30
_PIECE = 4 << 20
_ENCRYPTED = 0x1
_VERSIONED_PIP = re.compile(r"pip3\.\d+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file that a wheel installs: `content` made when installing, or else the member `source` of the wheel."""

    executable: bool
    source: zipfile.ZipInfo | None = None
    content: bytes | None = None

    @property
    def size(self) -> int:
        """Bytes of the installed file."""
        return self.source.file_size if self.source is not None else len(self.content or b"")


class Wheel(WheelSource):
    """An open wheel. `parts` are by absolute path of the installed file; RECORD is not among them, `record` is its
    path.

    `parts` hold for one `Scheme`. Use `open_wheel`.
    """

    validation_error = ValueError

    def __init__(self, label: str, archive: zipfile.ZipFile, descriptor: int, scheme: Scheme) -> None:
        self.label = label
        self._archive = archive
        self._descriptor = descriptor
        self._dist_info = dist_info_folder(label, archive)
        distribution, _, version = self._dist_info.removesuffix(".dist-info").rpartition("-")
        super().__init__(distribution, version)
        destination = _Destination(label, scheme, canonicalize_name(distribution))
        installer.install(self, destination, {"INSTALLER": INSTALLER})
        self.parts = destination.parts
        self.record = destination.record

    def read(self, part: Part) -> bytes:
        """The content of an installed file; raises `IntegrityError` where the wheel is damaged."""
        return part.content if part.source is None else self._read(part.source)  # type: ignore[return-value]

    def pieces(self, part: Part) -> Iterator[bytes]:
        """The same, a few MiB at a time: some wheels have libraries of a hundred MB."""
        if part.source is None or part.size <= _PIECE:
            yield self.read(part)
        else:
            yield from self._pieces(part.source)

    def place(self, source: zipfile.ZipInfo) -> tuple[int, int, bool]:
        """Where a member's stored bytes begin in the wheel, how many they are, and whether they are deflated.

        Raises `IntegrityError` where the wheel is damaged.
        """
        if source.flag_bits & _ENCRYPTED or source.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BuildError(f"{self.label}: {source.filename} is stored in a way that wheels do not use")
        try:
            name, extra = struct.unpack("<HH", os.pread(self._descriptor, 4, source.header_offset + 26))
        except struct.error as error:
            raise IntegrityError(f"{self.label}: {source.filename} is damaged", details=str(error)) from error
        start = source.header_offset + _LOCAL_HEADER + name + extra
        return start, source.compress_size, source.compress_type == zipfile.ZIP_DEFLATED

    @property
    def dist_info_dir(self) -> str:
        """The wheel's own spelling of it."""
        return self._dist_info

    @property
    def data_dir(self) -> str:
        """PEP 427 gives both folders one stem."""
        return f"{self._dist_info.removesuffix('.dist-info')}.data"

    @property
    def dist_info_filenames(self) -> list[str]:
        """Names below the .dist-info folder."""
        start = f"{self._dist_info}/"
        return [name.removeprefix(start) for name in self._archive.namelist() if name.startswith(start)]

    def read_dist_info(self, filename: str) -> str:
        """One of these files as text."""
        try:
            return self._read(self._archive.getinfo(f"{self._dist_info}/{filename}")).decode()
        except KeyError:
            raise BuildError(f"{self.label}: not a wheel: it has no {filename}") from None
        except UnicodeDecodeError as error:
            raise BuildError(f"{self.label}: its {filename} is not UTF-8", details=str(error)) from error

    def validate_record(self) -> None:
        """The lock's sha256 says that the wheel is what its publisher uploaded, and the installed RECORD is made
        anew."""

    def get_contents(self) -> Iterator[WheelContentElement]:
        """Every file, unread: the destination decides when."""
        for info in self._archive.infolist():
            if info.filename.endswith("/"):
                continue
            _check_path(self.label, info.filename)
            if "__pycache__" in info.filename.split("/"):
                continue  # compiled by whoever built the wheel; installer would leave it out with a warning
            yield (info.filename, "", ""), cast(BinaryIO, _Member(self, info)), is_executable(info)

    def _read(self, info: zipfile.ZipInfo) -> bytes:
        # ZipFile.open costs more than the decompression of a usual module; offsets and sizes come from it all the same.
        start, size, deflated = self.place(info)
        content = os.pread(self._descriptor, size, start)
        if deflated:
            try:
                content = zlib.decompress(content, -zlib.MAX_WBITS, max(info.file_size, 1))
            except zlib.error as error:
                raise IntegrityError(f"{self.label}: {info.filename} is damaged", details=str(error)) from error
        if len(content) != info.file_size or zlib.crc32(content) != info.CRC:
            raise IntegrityError(f"{self.label}: {info.filename} is damaged")
        return content

    def _pieces(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        position, left, deflated = self.place(info)
        decoder = zlib.decompressobj(-zlib.MAX_WBITS) if deflated else None
        rest = b""
        size = checksum = 0
        try:
            while size < info.file_size:
                stored = rest
                if not stored:
                    stored = os.pread(self._descriptor, min(_PIECE, left), position)
                    position += len(stored)
                    left -= len(stored)
                piece = decoder.decompress(stored, _PIECE) if decoder else stored
                rest = decoder.unconsumed_tail if decoder else b""
                if not piece and not stored:
                    break
                size += len(piece)
                checksum = zlib.crc32(piece, checksum)
                yield piece
        except zlib.error as error:
            raise IntegrityError(f"{self.label}: {info.filename} is damaged", details=str(error)) from error
        if size != info.file_size or checksum != info.CRC:
            raise IntegrityError(f"{self.label}: {info.filename} is damaged")


@contextmanager
def open_wheel(path: Path, scheme: Scheme, *, label: str | None = None) -> Iterator[Wheel]:
    """Open the wheel at `path` (whatever its name there) as it would be installed under `scheme`. `label` is its name
    in messages.

    Raises `IntegrityError` for a damaged archive, `BuildError` for one that is no installable wheel.
    """
    label = label or path.name
    try:
        with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            yield _understood(label, archive, stream.fileno(), scheme)
    except zipfile.BadZipFile as error:
        raise IntegrityError(f"{label}: not a wheel: {str(error).lower()}") from error


def _understood(label: str, archive: zipfile.ZipFile, descriptor: int, scheme: Scheme) -> Wheel:
    try:
        return Wheel(label, archive, descriptor, scheme)
    except (InstallerError, ConfigError, AssertionError, ValueError) as error:
        raise BuildError(f"{label}: not an installable wheel", details=str(error) or None) from error


class _Member:
    """A member of a wheel that is read when somebody wants it; the part of a stream that installer may use."""

    def __init__(self, wheel: Wheel, info: zipfile.ZipInfo) -> None:
        self.wheel = wheel
        self.info = info


class _Destination(WheelDestination):
    """Takes note of what installer would write."""

    def __init__(self, label: str, scheme: Scheme, distribution: str) -> None:
        self._label = label
        self._scheme = scheme
        self._is_pip = distribution == "pip"
        self._generated: set[str] = set()
        self._folders = {
            "purelib": scheme.library,
            "platlib": scheme.library,
            "scripts": scheme.scripts,
            "data": scheme.data,
            "headers": f"{scheme.headers}/{distribution}",
        }
        self.parts: dict[str, Part] = {}
        self.record = ""

    def write_script(self, name: str, module: str, attr: str, section: str) -> RecordEntry:
        """A console or GUI script."""
        if self._is_pip and _VERSIONED_PIP.match(name):
            # pip's wheel names the Python that built it; pip installs the name of the Python it is for (pip._internal.
            # operations.install.wheel.get_console_script_specs).
            name = f"pip{self._scheme.python}"
        if "/" in name or name in ("", ".", ".."):
            raise BuildError(f"{self._label}: {name!r} is not a name for a script")
        script = Script(name, module, attr, section)  # type: ignore[arg-type]
        _, content = script.generate(self._scheme.interpreter, "posix")
        path = f"{self._scheme.scripts}/{name}"
        self._generated.add(path)
        self.parts[path] = Part(executable=True, content=content)
        return RecordEntry(path, None, None)

    def write_file(self, scheme: SchemeName, path: object, stream: BinaryIO, is_executable: bool) -> RecordEntry:
        """A file of the wheel, or one that installer adds."""
        target = f"{self._folders[scheme]}/{path}"
        if target in self._generated:
            return RecordEntry(
                target, None, None
            )  # old setuptools put scripts for entry points into wheels; pip ignores those too
        member: object = stream
        if not isinstance(member, _Member):
            self.parts[target] = Part(executable=is_executable, content=stream.read())
        elif scheme != "scripts":
            self.parts[target] = Part(executable=is_executable, source=member.info)
        else:
            content = member.wheel.read(Part(executable=is_executable, source=member.info))
            with fix_shebang(BytesIO(content), self._scheme.interpreter) as fixed:
                self.parts[target] = Part(executable=is_executable, content=fixed.read())
        return RecordEntry(target, None, None)

    def finalize_installation(self, scheme: SchemeName, record_file_path: str, records: object) -> None:
        """RECORD needs the contents' hashes, so it is made where they are read."""
        self.record = f"{self._folders[scheme]}/{record_file_path}"


def record_hash(digest: bytes) -> str:
    """A sha256 as RECORD has it (PEP 376, PEP 427)."""
    return f"sha256={urlsafe_b64encode(digest).decode().rstrip('=')}"


def is_executable(info: zipfile.ZipInfo) -> bool:
    """As pip decides it (pip._internal.utils.unpacking.zip_item_is_executable)."""
    mode = info.external_attr >> 16
    return bool(mode and stat.S_ISREG(mode) and mode & 0o111)


def dist_info_folder(label: str, archive: zipfile.ZipFile) -> str:
    """The name of the wheel's .dist-info folder; raises `BuildError` where it has none, or several."""
    found = {name.split("/", 1)[0] for name in archive.namelist() if "/" in name}
    folders = sorted(name for name in found if name.endswith(".dist-info"))
    if len(folders) != 1 or "-" not in folders[0]:
        raise BuildError(
            f"{label}: not a wheel: it must have exactly one .dist-info folder", details=", ".join(folders) or None
        )
    return folders[0]


def _check_path(label: str, path: str) -> None:
    """Refuse what would end outside of its folder."""
    if (
        posixpath.normpath(path) != path
        or path.startswith(("/", "../"))
        or path == ".."
        or "\\" in path
        or "\0" in path
    ):
        raise BuildError(f"{label}: {path!r} is not a path for a file in a wheel")
