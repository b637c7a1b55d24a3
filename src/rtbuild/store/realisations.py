"""The records of what derivations resulted in, and which of them is the latest of its layer.

    by-key/<key>/<compressor>.json         a realisation; `<compressor>` is a digest of the compressor's name
    by-key/<key>.json                      a realisation of an earlier rtbuild, which had one for all compressors
    latest/<release>/<platform>/<layer>    the key that was recorded last

One layer has a record for each compressor, because each gives it another blob. Records of both spellings are read.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

from rtbuild.digest import DiffId, Key, Sha256, parse_digest, parse_sha256, sha256_bytes
from rtbuild.documents import parse_json
from rtbuild.files import write_atomically
from rtbuild.store.files import store_errors
from rtbuild.store.realisation import Realisation

_TEXTS = ("release", "platform", "layer", "media_type", "compressor")
_SIZES = ("size", "blob_size")


def read_realisation(folder: Path, key: Key, compressor: str) -> Realisation | None:
    """Return the realisation of `key` by `compressor`, if there is one. Damaged files are removed.

    Raises:
        StoreError: if a file cannot be read, or removed.
    """
    for path in (_record(folder, key, compressor), _old_record(folder, key)):
        realisation = _read(path, key)
        if realisation is not None and realisation.compressor == compressor:
            return realisation
    return None


def read_realisations(folder: Path, key: Key) -> tuple[Realisation, ...]:
    """Return every realisation of `key`, one for each compressor. Damaged files are removed.

    Raises:
        StoreError: if a file cannot be read, or removed.
    """
    by_compressor = {
        realisation.compressor: realisation
        for path in (_old_record(folder, key), *sorted((folder / "by-key" / key).glob("*.json")))
        if (realisation := _read(path, key)) is not None
    }
    return tuple(by_compressor.values())


def read_record(path: Path) -> Realisation | None:
    """Return the realisation in one of the files of `record_files`. A damaged file is removed.

    Raises:
        StoreError: if the file cannot be read, or removed.
    """
    return _read(path, _key_of(path))


def write_realisation(folder: Path, realisation: Realisation) -> None:
    """Record `realisation`, as the latest of its layer. Those of other compressors stay.

    Raises:
        StoreError: if the files cannot be written.
    """
    content = json.dumps(asdict(realisation), indent=1, sort_keys=True).encode()
    path = _record(folder, realisation.key, realisation.compressor)
    latest = _latest(folder, realisation.release, realisation.platform, realisation.layer)
    with store_errors(f"write {path}"):
        write_atomically(path, content)
        write_atomically(latest, realisation.key.encode())


def remove_realisation(folder: Path, realisation: Realisation) -> None:
    """Remove the record of `realisation`, in either spelling.

    Raises:
        StoreError: if a file cannot be removed.
    """
    for path in (
        _record(folder, realisation.key, realisation.compressor),
        _old_record(folder, realisation.key),
    ):
        found = _read(path, realisation.key)
        if found is not None and found.compressor == realisation.compressor:
            with store_errors(f"remove {path}"):
                path.unlink(missing_ok=True)


def latest_key(folder: Path, release: str, platform: str, layer: str) -> Key | None:
    """Return the key that was recorded last for one layer.

    Raises:
        StoreError: if the file cannot be read.
    """
    path = _latest(folder, release, platform, layer)
    with store_errors(f"read {path}"), suppress(FileNotFoundError, ValueError, UnicodeDecodeError):
        return Key(parse_sha256(path.read_text().strip()))
    return None


def record_files(folder: Path) -> list[Path]:
    """Return the file of every realisation, sorted."""
    paths = []
    for path in sorted((*(folder / "by-key").glob("*.json"), *(folder / "by-key").glob("*/*.json"))):
        with suppress(ValueError):
            _key_of(path)
            paths.append(path)
    return paths


def parse_realisation(content: bytes) -> Realisation:
    """Parse the content of a realisation file.

    Raises:
        ValueError: if it is not a realisation.
    """
    fields = parse_json(content)
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


def _read(path: Path, key: Key) -> Realisation | None:
    try:
        with store_errors(f"read {path}"), suppress(FileNotFoundError):
            realisation = parse_realisation(path.read_bytes())
            if realisation.key != key:
                raise ValueError("the realisation of another key")
            return realisation
    except ValueError:
        with store_errors(f"remove the damaged file {path}"):
            path.unlink(missing_ok=True)
    return None


def _record(folder: Path, key: Key, compressor: str) -> Path:
    return folder / "by-key" / key / f"{sha256_bytes(compressor.encode())[:16]}.json"


def _old_record(folder: Path, key: Key) -> Path:
    return folder / "by-key" / f"{key}.json"


def _key_of(record: Path) -> Key:
    folder = record.parent
    return Key(parse_sha256(record.stem if folder.name == "by-key" else folder.name))


def _latest(folder: Path, release: str, platform: str, layer: str) -> Path:
    return folder.joinpath("latest", *(quote(part, safe="") for part in (release, platform, layer)))
