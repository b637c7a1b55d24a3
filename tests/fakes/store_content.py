"""Content of a store, put there without building or fetching anything."""

from __future__ import annotations

import time
from pathlib import Path

from rtbuild.digest import DiffId, Digest, Key, digest_of, sha256_bytes
from rtbuild.lockfile.model import Artifact
from rtbuild.progress import Silent
from rtbuild.store.realisation import Realisation
from rtbuild.store.store import Store


class Notes(Silent):
    """A `Progress` that keeps the notes."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)

    def wait(self) -> None:
        """Wait for the first one."""
        deadline = time.monotonic() + 60
        while not self.texts:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def realisation(layer: str = "airflow", blob: bytes = b"layer") -> Realisation:
    """Return the record of a layer whose compressed bytes are `blob`."""
    digest = digest_of(sha256_bytes(blob))
    return Realisation(
        key=Key(sha256_bytes(layer.encode() + blob)),
        release="8.0.0",
        platform="linux/amd64",
        layer=layer,
        diff_id=DiffId(digest),
        size=10,
        blob=digest,
        blob_size=len(blob),
        media_type="application/vnd.oci.image.layer.v1.tar+zstd",
        compressor="zstd 1.5.7",
        inputs=(("package source", sha256_bytes(b"s")),),
    )


def record_file(store: Store, realisation: Realisation) -> Path:
    """Return the file with the record of `realisation`, the only one of its key."""
    (path,) = (store.root / "realisations" / "by-key" / realisation.key).iterdir()
    return path


def put_artifact(store: Store, content: bytes) -> Artifact:
    """Put an artifact into the store."""
    artifact = Artifact(filename="a", path="a", size=len(content), sha256=sha256_bytes(content))
    with store.add_artifact(artifact) as partial:
        assert partial is not None
        partial.write(content)
        partial.commit()
    return artifact


def put_blob(store: Store, content: bytes) -> Digest:
    """Put a blob into the store's layout."""
    digest = digest_of(sha256_bytes(content))
    path = store.layout.blob_path(digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return digest
