"""Targets for what rtbuild keeps in its store: a damaged file counts as missing, whatever is in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import cast

from rtbuild.digest import DiffId, Key, canonical_json, digest_of, parse_digest, sha256_bytes
from rtbuild.mirror.answers import Reply
from rtbuild.mirror.cache import AnswerCache
from rtbuild.mirror.http import Web
from rtbuild.oci.descriptor import MANIFEST, Descriptor, index_document
from rtbuild.oci.folders import LayerFolders
from rtbuild.oci.image import manifest
from rtbuild.progress import Silent
from rtbuild.store.collect import Roots
from rtbuild.store.diff_ids import keep_diff_id, load_diff_id
from rtbuild.store.early import hash_guessed, keep_guess
from rtbuild.store.folders import keep_folders, load_folders
from rtbuild.store.realisations import parse_realisation
from rtbuild.store.store import Store
from rtbuild.store.summaries import read_summary, write_summary
from rtbuild.wheels.built import find_wheel
from rtbuild.wheels.cache import TreeCache
from rtbuild.wheels.listing import Listings
from rtbuild.wheels.scheme import debian_scheme
from rtbuild.wheels.tree import TreeFile, TreeIndex, TreeWriter
from tests.fakes.package_index import make_wheel
from tests.fakes.store_content import realisation
from tests.fuzz.target import SCRATCH, Target

_BLOB = b"the bytes of a layer, a wheel or a tree"
_SHA256 = sha256_bytes(_BLOB)
_DIGEST = digest_of(_SHA256)
_KEY = Key("1" * 64)
_ADDRESS = "https://index.invalid/simple/spam/"
_WHEEL = make_wheel("spam", "1.0").content


def targets() -> list[Target]:
    """Return the targets of this module."""
    record = json.dumps(asdict(realisation())).encode()
    descriptor = Descriptor(media_type="x", digest=_DIGEST, size=len(_BLOB))
    image = manifest(descriptor, [descriptor])
    index = index_document([Descriptor(media_type=MANIFEST, digest=digest_of(sha256_bytes(image)), size=len(image))])
    wheel = canonical_json({"filename": "spam-1.0-py3-none-any.whl", "size": len(_BLOB), "sha256": _SHA256})
    return [
        Target("realisation", [record], parse_realisation, (ValueError,)),
        Target(
            "store-file", [record, image, index, wheel, _kept_tree()[0], f"{_KEY}\n".encode()], _store, (), slow=True
        ),
        Target("kept-folders", [_kept_folders()], _folders, ()),
        Target("kept-summary", [_kept_summary()], _summary, ()),
        Target("kept-diff-id", [f"{_DIGEST} 10240\n".encode()], _diff_id, ()),
        Target("kept-guess", [image], _guess, ()),
        Target("kept-answer", [_kept_answer()], _answer, (), _sealed_answer),
        Target("kept-listing", [_kept_listing()[1]], _listing, (), _sealed_listing),
        Target("wheel-tree", [_kept_tree()[0]], _find_tree, (), _sealed_tree),
        Target("built-wheel", [wheel], _built_wheel, ()),
    ]


def _store(content: bytes) -> None:
    """Put `content` wherever the store has a file with structure, then check the store and collect garbage."""
    root = SCRATCH.fresh() / "store"
    store = Store.open(root)
    kept = realisation()
    store.record(kept)
    digest = digest_of(sha256_bytes(content))
    layout = root / "layout"
    for path in (
        next((root / "realisations" / "by-key" / kept.key).iterdir()),
        root / "realisations" / "latest" / kept.release / "x" / kept.layer,
        root / "realisations" / "trees" / kept.key / "x",
        layout / "index.json",
        layout / "oci-layout",
        layout / "blobs" / "sha256" / digest.removeprefix("sha256:"),
        root / "trees" / f"{_KEY}.json",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (root / "trees" / f"{_KEY}.tar.zst").write_bytes(_BLOB)
    roots = Roots(keys=frozenset([kept.key]), manifests=frozenset([digest]))
    store.gc(lambda: roots)
    store.verify()
    assert store.verify().bad == ()


# --- files that only save time ---------------------------------------------------------------------------------------


def _kept_folders() -> bytes:
    folder = SCRATCH.fresh()
    keep_folders(folder, DiffId(_DIGEST), LayerFolders(folders={"usr": (0o755, 0, 0)}, links={"bin": "usr/bin"}))
    return (folder / _SHA256).read_bytes()


def _folders(content: bytes) -> None:
    folder = SCRATCH.fresh()
    (folder / _SHA256).write_bytes(content)
    load_folders(folder, DiffId(_DIGEST))


def _kept_summary() -> bytes:
    folder = SCRATCH.fresh()
    write_summary(folder, _SHA256, {"base-os": (_KEY, DiffId(_DIGEST))})
    return (folder / _SHA256).read_bytes()


def _summary(content: bytes) -> None:
    folder = SCRATCH.fresh()
    (folder / _SHA256).write_bytes(content)
    for key, diff_id in (read_summary(folder, _SHA256) or {}).values():
        assert len(key) == 64
        parse_digest(diff_id)


def _diff_id(content: bytes) -> None:
    folder = SCRATCH.fresh()
    keep_diff_id(folder, _DIGEST, DiffId(_DIGEST), 1)
    (folder / _SHA256).write_bytes(content)
    load_diff_id(folder, _DIGEST)


def _guess(content: bytes) -> None:
    """Let the manifest of the last build be `content`, whose layers are not there to be hashed."""
    root = SCRATCH.fresh()
    digest = digest_of(sha256_bytes(content))
    blob = root / "layout" / "blobs" / digest.replace(":", "/")
    blob.parent.mkdir(parents=True)
    blob.write_bytes(content)
    keep_guess(root, "8.0.0", "linux/amd64", digest)
    hash_guessed(root, "8.0.0", "linux/amd64")


class _Web:
    """The part of `Web` that the cache needs; nothing has changed since the cached answer."""

    def get(self, location: str, *, headers: dict[str, str], html: bool = False) -> Reply:
        assert all(isinstance(value, str) for value in headers.values())
        return Reply(location=location, content=b"", etag='"1"', changed="If-None-Match" not in headers)


def _kept_answer() -> bytes:
    folder = SCRATCH.fresh()
    AnswerCache(folder, cast(Web, _Web())).get(_ADDRESS)
    (path,) = (folder / "answers").iterdir()
    return path.read_bytes()


def _answer(content: bytes) -> None:
    folder = SCRATCH.fresh()
    cache = AnswerCache(folder, cast(Web, _Web()))
    cache.get(_ADDRESS)
    (path,) = (folder / "answers").iterdir()
    path.write_bytes(content)
    reply = cache.get(_ADDRESS)
    assert isinstance(reply.content_type, str)
    assert reply.location == _ADDRESS


def _sealed_answer(content: bytes) -> bytes:
    head, newline, body = content.partition(b"\n")
    return _with_digest(head, lambda fields: sha256_bytes(body)) + newline + body


@cache
def _kept_listing() -> tuple[str, bytes]:
    """Return the name and the content of the file with the listing of a wheel."""
    folder = SCRATCH.fresh()
    _list_wheel(folder)
    (path,) = (folder / "listings").iterdir()
    return path.name, path.read_bytes()


def _list_wheel(folder: Path) -> None:
    wheel = folder / "spam.whl"
    wheel.write_bytes(_WHEEL)
    listings = Listings(folder / "listings", debian_scheme("3.9"))
    assert listings.listing(wheel, sha256_bytes(_WHEEL), [], label="spam.whl").files


def _listing(content: bytes) -> None:
    name, _ = _kept_listing()
    folder = SCRATCH.fresh()
    (folder / "listings").mkdir()
    (folder / "listings" / name).write_bytes(content)
    _list_wheel(folder)


def _sealed_listing(content: bytes) -> bytes:
    text = content.partition(b"\n")[2]
    return sha256_bytes(_kept_listing()[0].encode() + text).encode() + b"\n" + text


# --- wheels and their trees ------------------------------------------------------------------------------------------


@cache
def _kept_tree() -> tuple[bytes, bytes]:
    """Return the record of a wheel tree and its frames."""
    folder = SCRATCH.fresh()

    def compose(out: TreeWriter) -> TreeIndex:
        out.write(_BLOB)
        return TreeIndex(files=(TreeFile(path="usr/a.py", mode=0o644, size=3),))

    TreeCache(folder).add(_KEY, compose)
    return (folder / f"{_KEY}.json").read_bytes(), (folder / f"{_KEY}.tar.zst").read_bytes()


def _find_tree(content: bytes) -> None:
    folder = SCRATCH.fresh()
    (folder / f"{_KEY}.tar.zst").write_bytes(_kept_tree()[1])
    (folder / f"{_KEY}.json").write_bytes(content)
    tree = TreeCache(folder).find(_KEY)
    assert tree is None or all(isinstance(path, str) for path in tree.index.directories)


def _sealed_tree(content: bytes) -> bytes:
    return _with_digest(content, lambda fields: sha256_bytes(canonical_json(fields)))


def _with_digest(document: bytes, digest: Callable[[object], str]) -> bytes:
    """Return a JSON object whose field `sha256` is right; `document` as it is if it is none."""
    with suppress(ValueError, RecursionError):
        fields = json.loads(document)
        if isinstance(fields, dict):
            fields.pop("sha256", None)
            return json.dumps({**fields, "sha256": digest(fields)}).encode()
    return document


def _built_wheel(content: bytes) -> None:
    store = Store.open(SCRATCH.fresh() / "store")
    store.trees.mkdir(exist_ok=True)
    (store.trees / f"{_KEY}.whl").write_bytes(_BLOB)
    (store.trees / f"{_KEY}.json").write_bytes(content)
    wheel = find_wheel("spam", _KEY, store, Silent())
    assert wheel is None or [type(field) for field in (wheel.filename, wheel.size)] == [str, int]
