"""The store: a folder with everything that rtbuild keeps, and what can be done with it.

Any number of processes may use a store at once. Every file appears complete under its final name or not at all, so a
killed process leaves at most partial downloads and temporary folders, which the next one resumes or removes.

    format                  the number of this arrangement of folders
    artifacts/<sha256>      .debs, wheels and sdists, as the lock names them
    partial/<sha256>        downloads to resume
    layout/                 an OCI image layout with every layer and image
    realisations/           which derivation resulted in which layer, and which trees a layer is made of
    trees/                  wheel trees, and wheels that were built
    cache/<name>/           what can be had again at any time, such as indexes
    logs/                   logs of builds
    locks/                  lock files: the lease of the store, and one for each task that excludes others
    tmp/                    temporary folders of running processes
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from rtbuild.digest import DiffId, Digest, Key, Sha256, hex_of
from rtbuild.errors import StoreError
from rtbuild.files import remove_unfinished, sync_folder, write_atomically
from rtbuild.oci.folders import LayerFolders, read_folders
from rtbuild.oci.layout import Layout
from rtbuild.progress import Progress, Silent
from rtbuild.store.artifacts import Partial, hash_artifact, open_partial
from rtbuild.store.diff_ids import keep_diff_id, load_diff_id
from rtbuild.store.early import take_hash
from rtbuild.store.files import lock_file, store_errors
from rtbuild.store.folders import keep_folders, load_folders
from rtbuild.store.format import FORMAT, is_store
from rtbuild.store.lease import Lease, lease_of
from rtbuild.store.realisation import Realisation
from rtbuild.store.realisations import (
    latest_key,
    read_realisation,
    read_realisations,
    remove_realisation,
    write_realisation,
)
from rtbuild.store.summaries import Summary, read_summary, write_summary
from rtbuild.store.temporary import TEMPORARY, remove_leftovers, temporary_folder
from rtbuild.store.trees import write_tree_keys

# Most commands neither collect nor inspect, and some read no lock.
if TYPE_CHECKING:
    from rtbuild.lockfile.model import Artifact
    from rtbuild.store.collect import GcReport, Roots
    from rtbuild.store.inspect import StoreReport

_PID_SIZE = 10  # digits, and spaces after them
_SUMMARIES = "cache/summaries"
_FOLDERS_OF_LAYERS = "cache/folders"
_DIFF_IDS = "cache/diff-ids"
_FOLDERS = ("artifacts", "partial", "layout", "trees", "cache", "logs", "realisations", "locks", TEMPORARY)


class Store:
    """A content-addressed folder. While a `Store` lives, no other process collects garbage in it."""

    def __init__(self, root: Path, lease: Lease | None) -> None:
        self.root = root
        self._lease = lease

    @classmethod
    def open(cls, root: Path, progress: Progress | None = None) -> Store:
        """Open the store in the folder `root`. A missing or empty folder becomes a store.

        It waits while another process collects garbage, and removes what killed processes left.

        Raises:
            StoreError: if the folder cannot be used, holds anything else, or another version of rtbuild made it.
        """
        root = root.absolute()
        with store_errors(f"use {root} as a store"):
            if not is_store(root):
                write_atomically(root / "format", f"{FORMAT}\n".encode())
            for name in _FOLDERS:
                (root / name).mkdir(exist_ok=True)
            lease = lease_of(root, progress or Silent())
            remove_leftovers(root / TEMPORARY)
            remove_unfinished(root / "trees")
            Layout(root / "layout").remove_unfinished()
        return cls(root, lease)

    @classmethod
    def existing(cls, root: Path, progress: Progress | None = None) -> Store:
        """Open the store in the folder `root` as `open` does, but create none.

        Raises:
            StoreError: if there is no store, or `open` fails.
        """
        with store_errors(f"use {root} as a store"):
            if not is_store(root):
                raise StoreError(f"there is no store in {root.absolute()}", hint="name an existing one with --store")
        return cls.open(root, progress)

    @classmethod
    def read_only(cls, root: Path, progress: Progress | None = None) -> Store:
        """Open the store in the folder `root` for reading. It may be on read-only media.

        A missing or empty folder is an empty store, and stays as it is. It waits as `open` does.

        Raises:
            StoreError: if the folder cannot be read, holds anything else, or another version of rtbuild made it.
        """
        root = root.absolute()
        with store_errors(f"use {root} as a store"):
            is_store(root)
            try:
                lease = lease_of(root, progress or Silent(), create=False)
            except FileNotFoundError:
                lease = None  # nothing was ever put there
        return cls(root, lease)

    def artifact_path(self, sha256: Sha256) -> Path:
        """Return the path of the artifact with this digest, whether it exists or not."""
        return self.root / "artifacts" / sha256

    def has_artifact(self, artifact: Artifact) -> bool:
        """Return whether the artifact is there with the right size; its bytes are not read."""
        try:
            return self.artifact_path(artifact.sha256).stat().st_size == artifact.size
        except OSError:
            return False

    def verify_artifact(self, artifact: Artifact) -> bool:
        """Return whether the artifact is there and its bytes are right. A corrupt file is removed.

        Raises:
            StoreError: if the file cannot be read or removed.
        """
        path = self.artifact_path(artifact.sha256)
        return _verify(path, artifact.sha256)

    def add_artifact(
        self, artifact: Artifact, *, stop: Callable[[], bool] = lambda: False
    ) -> AbstractContextManager[Partial | None]:
        """Open an artifact for writing: `write` its bytes, then `commit`. It has the bytes of an earlier attempt.

        It waits while another process or thread writes the same artifact, and is None once that one has finished, or
        when `stop()` returns True.
        """
        return open_partial(
            artifact,
            self.root / "partial",
            self.artifact_path(artifact.sha256),
            present=lambda: self.has_artifact(artifact),
            stop=stop,
        )

    def sync_artifacts(self) -> None:
        """Wait until every artifact that was committed survives a power cut.

        Raises:
            StoreError: if the disk fails.
        """
        folder = self.root / "artifacts"
        with store_errors(f"write {folder}"):
            sync_folder(folder)

    @property
    def layout(self) -> Layout:
        """The OCI image layout with every layer built."""
        return Layout(self.root / "layout")

    @property
    def trees(self) -> Path:
        """The folder of wheel trees, by key."""
        return self.root / "trees"

    @property
    def logs(self) -> Path:
        """The folder of the logs of builds."""
        return self.root / "logs"

    def cache(self, name: str) -> Path:
        """Return a folder for what can be had again at any time, such as indexes.

        Raises:
            StoreError: if it cannot be created.
        """
        folder = self.root / "cache" / name
        with store_errors(f"write {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def realisation(self, key: Key, compressor: str | None = None) -> Realisation | None:
        """Return what the derivation `key` resulted in, if it was built here; see `has_layer` for its blob.

        There is one record for each compressor: that of `compressor` is returned if its blob is there, otherwise one
        whose blob is there, or any.

        Raises:
            StoreError: if a record cannot be read.
        """
        folder = self.root / "realisations"
        if compressor is not None:
            wanted = read_realisation(folder, key, compressor)
            if wanted is not None and self.has_layer(wanted):
                return wanted
        records = read_realisations(folder, key)
        return next((record for record in records if self.has_layer(record)), records[0] if records else None)

    def forget(self, realisation: Realisation) -> None:
        """Remove the record of `realisation`; its blob stays.

        Raises:
            StoreError: if it cannot be removed.
        """
        remove_realisation(self.root / "realisations", realisation)

    def record(self, realisation: Realisation) -> None:
        """Record `realisation` as the latest of its layer, beside those of other compressors.

        Raises:
            StoreError: if it cannot be written.
        """
        write_realisation(self.root / "realisations", realisation)

    def record_trees(self, key: Key, compressor: str, trees: Collection[Key]) -> None:
        """Record which wheel trees and built wheels the layer `key` is made of, so that `gc` keeps them as long.

        Args:
            key: The key of the layer's derivation.
            compressor: The compressor of the layer, which is also that of its trees.
            trees: The keys of the files in `trees`.

        Raises:
            StoreError: if the record cannot be written.
        """
        write_tree_keys(self.root / "realisations", key, compressor, trees)

    def latest(self, release: str, platform: str, layer: str) -> Realisation | None:
        """Return the realisation recorded last for this layer of this release and platform, if it is still there.

        Raises:
            StoreError: if the record cannot be read.
        """
        key = latest_key(self.root / "realisations", release, platform, layer)
        return self.realisation(key) if key is not None else None

    def folders(self, realisation: Realisation) -> LayerFolders:
        """Return the folders and symbolic links of a layer in the store.

        Raises:
            StoreError: if the layer cannot be read.
            IntegrityError: if it is malformed.
        """
        kept = load_folders(self.root / _FOLDERS_OF_LAYERS, realisation.diff_id)
        if kept is None:
            with store_errors(f"read layer {realisation.layer}"):
                kept = read_folders(self.layout.blob_path(realisation.blob))
            self.add_folders(realisation.diff_id, kept)
        return kept

    def add_folders(self, diff_id: DiffId, folders: LayerFolders) -> None:
        """Keep the folders of a layer, which only saves time."""
        keep_folders(self.root / _FOLDERS_OF_LAYERS, diff_id, folders)

    def known_diff_id(self, blob: Digest) -> tuple[DiffId, int] | None:
        """Return the diff ID that was computed from `blob`, and the size of its tar in bytes, if they were kept."""
        return load_diff_id(self.root / _DIFF_IDS, blob)

    def add_diff_id(self, blob: Digest, diff_id: DiffId, size: int) -> None:
        """Keep the diff ID that was computed from `blob`, which only saves time."""
        keep_diff_id(self.root / _DIFF_IDS, blob, diff_id, size)

    def has_layer(self, realisation: Realisation) -> bool:
        """Return whether the layer's blob is there with the right size; its bytes are not read."""
        try:
            return self.layout.blob_path(realisation.blob).stat().st_size == realisation.blob_size
        except OSError:
            return False

    def summary(self, name: Sha256) -> Summary | None:
        """Return the summary of a release called `name`, if there is one; see `has_layer` for its layers."""
        return read_summary(self.root / _SUMMARIES, name)

    def add_summary(self, name: Sha256, summary: Summary) -> None:
        """Keep the summary of a release, unless the store is missing or read-only: it only saves time."""
        if self._lease is not None:
            write_summary(self.root / _SUMMARIES, name, summary)

    def verify_layer(self, realisation: Realisation) -> bool:
        """Return whether the layer's blob is there and its bytes are right. A corrupt file is removed.

        Raises:
            StoreError: if the file cannot be read or removed.
        """
        return _verify(self.layout.blob_path(realisation.blob), hex_of(realisation.blob))

    def temporary(self, prefix: str) -> AbstractContextManager[Path]:
        """Create a folder on the store's own file system, from which results can be renamed; it is removed at exit."""
        return temporary_folder(self.root / TEMPORARY, prefix)

    @contextmanager
    def exclusive(self, name: str, progress: Progress) -> Iterator[None]:
        """Keep other processes and threads from doing `name` at the same time. Not re-entrant.

        `progress` is notified if it has to wait.

        Raises:
            StoreError: if the lock file cannot be written.
        """
        path = self.root / "locks" / (quote(name, safe="") + ".lock")
        with store_errors(f"lock {path}"):
            descriptor = lock_file(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if descriptor is None:
                progress.note(f"waiting for {_holder(path)} ({name})")
                descriptor = lock_file(path, fcntl.LOCK_EX)
        assert descriptor is not None  # a blocking lock is always granted
        try:
            with suppress(OSError):  # only for the message above
                # Of a fixed size: ext4 waits for the disk after a file was truncated and written (auto_da_alloc).
                os.pwrite(descriptor, f"{os.getpid():<{_PID_SIZE}}".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def gc(self, roots: Callable[[], Roots], progress: Progress | None = None) -> GcReport:
        """Remove everything that `roots()` does not name, once no other process uses the store.

        `roots` (such as `Workspace.wanted`) is called after the wait: a build that ended meanwhile may have recorded in
        a lock what it built. Do not call this while another thread of this process uses the store.

        Raises:
            StoreError: if there is no store, or something cannot be removed.
        """
        from rtbuild.store.collect import collect

        if self._lease is None:
            raise StoreError(f"there is no store in {self.root}")
        self._lease.upgrade(progress or Silent())
        try:
            wanted = roots()
            with store_errors(f"remove files from {self.root}"):
                return collect(self.root, wanted)
        finally:
            self._lease.downgrade()

    def verify(self, progress: Progress | None = None) -> StoreReport:
        """Hash everything whose digest is known, and remove and report what is bad.

        Raises:
            StoreError: if a file cannot be read or removed.
        """
        from rtbuild.store.inspect import verify

        with store_errors(f"verify {self.root}"):
            return verify(self.root, progress or Silent())

    def du(self) -> dict[str, int]:
        """Return how many bytes of disk each kind of content takes.

        Raises:
            StoreError: if the store cannot be read.
        """
        from rtbuild.store.inspect import sizes

        with store_errors(f"read {self.root}"):
            return sizes(self.root)


def _verify(path: Path, sha256: str) -> bool:
    """Return whether a file has this sha256; remove it if it has another."""
    actual = take_hash(path) or hash_artifact(path)
    if actual == sha256:
        return True
    if actual is not None:
        with store_errors(f"remove the corrupt file {path}"):
            path.unlink(missing_ok=True)
    return False


def _holder(path: Path) -> str:
    """Return who holds the lock at `path`, for a message."""
    with suppress(OSError):
        text = path.read_text().strip()
        if text.isdigit() and int(text) != os.getpid():
            return f"process {text}"
    return "another task"
