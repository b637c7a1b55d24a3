"""The records of what derivations resulted in, one JSON file each, and which of them is the latest of its layer."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

from rtbuild.digest import DiffId, Key, Sha256, parse_digest, parse_sha256
from rtbuild.files import write_atomically
from rtbuild.store.files import store_errors
from rtbuild.store.realisation import Realisation

_TEXTS = ("release", "platform", "layer", "media_type", "compressor")
_SIZES = ("size", "blob_size")


def read_realisation(folder: Path, key: Key) -> Realisation | None:
    """Return the realisation of `key`, if there is one. A damaged file is removed.

    Raises:
        StoreError: if the file cannot be read, or removed.
    """
    path = folder / "by-key" / f"{key}.json"
    try:
        with store_errors(f"read {path}"):
            realisation = parse_realisation(path.read_bytes()) if path.is_file() else None
        if realisation is None or realisation.key == key:
            return realisation
    except ValueError:
        pass
    with store_errors(f"remove the damaged file {path}"):
        path.unlink(missing_ok=True)
    return None


def write_realisation(folder: Path, realisation: Realisation) -> None:
    """Record `realisation`, as the latest of its layer.

    Raises:
        StoreError: if the files cannot be written.
    """
    content = json.dumps(asdict(realisation), indent=1, sort_keys=True).encode()
    path = folder / "by-key" / f"{realisation.key}.json"
    latest = _latest(folder, realisation.release, realisation.platform, realisation.layer)
    with store_errors(f"write {path}"):
        write_atomically(path, content)
        write_atomically(latest, realisation.key.encode())


def latest_realisation(folder: Path, release: str, platform: str, layer: str) -> Realisation | None:
    """Return the realisation recorded last for one layer, if it is still there.

    Raises:
        StoreError: if a file cannot be read.
    """
    path = _latest(folder, release, platform, layer)
    with store_errors(f"read {path}"), suppress(FileNotFoundError, ValueError, UnicodeDecodeError):
        return read_realisation(folder, Key(parse_sha256(path.read_text().strip())))
    return None


def recorded_keys(folder: Path) -> list[Key]:
    """Return the key of every realisation file, sorted."""
    keys = []
    for path in sorted((folder / "by-key").glob("*.json")):
        with suppress(ValueError):
            keys.append(Key(parse_sha256(path.stem)))
    return keys


def parse_realisation(content: bytes) -> Realisation:
    """Parse the content of a realisation file.

    Raises:
        ValueError: if it is not a realisation.
    """
    fields = json.loads(content)
    if not isinstance(fields, dict) or set(fields) != set(Realisation.__dataclass_fields__):
        raise ValueError("not the fields of a realisation")
    for name in _TEXTS:
        if not isinstance(fields[name], str):
            raise ValueError(f"{name} is not a string")
    for name in _SIZES:
        if not isinstance(fields[name], int) or fields[name] < 0:
            raise ValueError(f"{name} is not a number of bytes")
    if not isinstance(fields["inputs"], list):
        raise ValueError("inputs is not a list")
    return Realisation(
        key=Key(parse_sha256(fields["key"])),
        diff_id=DiffId(parse_digest(fields["diff_id"])),
        blob=parse_digest(fields["blob"]),
        inputs=tuple(_input(pair) for pair in fields["inputs"]),
        **{name: fields[name] for name in (*_TEXTS, *_SIZES)},
    )


def _input(pair: object) -> tuple[str, Sha256]:
    if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
        raise ValueError("an input is not a name and a digest")
    return pair[0], parse_sha256(pair[1])


def _latest(folder: Path, release: str, platform: str, layer: str) -> Path:
    return folder.joinpath("latest", *(quote(part, safe="") for part in (release, platform, layer)))
