"""The store as one value: where everything is, and what may be done with it.

A store is a folder that any number of processes use at once. Every file appears complete under its final name or not at
all, so a killed process leaves at most partial downloads and temporary folders, which the next one takes up or removes.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from rtbuild.digest import Key, Sha256
from rtbuild.errors import StoreError
from rtbuild.files import write_atomically
from rtbuild.lockfile.model import Artifact
from rtbuild.progress import Progress, Silent
from rtbuild.store.artifacts import Partial, hash_artifact, open_partial
from rtbuild.store.collect import GcReport, Roots, collect
from rtbuild.store.files import lock_file, store_errors
from rtbuild.store.inspect import StoreReport, sizes, verify
from rtbuild.store.realisation import Realisation
from rtbuild.store.realisations import latest_realisation, read_realisation, write_realisation
from rtbuild.store.temporary import TEMPORARY, remove_left_overs, temporary_folder

FORMAT = "1"
"""The arrangement of folders that this rtbuild reads and writes."""


class Store:
    """A content-addressed folder. While a `Store` lives, no other process collects garbage in it."""

    def __init__(self, root: Path, lease: Lease | None) -> None:
        self.root = root
        self._lease = lease

    @classmethod
    def open(cls, root: Path, progress: Progress | None = None) -> Store:
        """The store in folder `root`, which is made where it is missing. Raises `StoreError`.

        Waits while another process collects garbage. Removes what killed processes left.
        """
        root = root.absolute()
        with store_errors(f"use {root} as a store"):
            for name in _FOLDERS:
                (root / name).mkdir(parents=True, exist_ok=True)
            if not _require_format(root / "format"):
                write_atomically(root / "format", f"{FORMAT}\n".encode())
            lease = _lease(root, progress or Silent())
            remove_left_overs(root / TEMPORARY)
        return cls(root, lease)

    @classmethod
    def read_only(cls, root: Path, progress: Progress | None = None) -> Store:
        """The store in folder `root`, to look at alone: nothing in it is made, and it may lie on read-only media.

        One that is not there is empty. Waits as `open` does. Raises `StoreError`.
        """
        root = root.absolute()
        with store_errors(f"use {root} as a store"):
            _require_format(root / "format")
            try:
                lease = _lease(root, progress or Silent(), create=False)
            except FileNotFoundError:
                lease = None  # nothing was ever put there
        return cls(root, lease)

    def artifact_path(self, sha256: Sha256) -> Path:
        """Where the artifact with this digest is, or would be."""
        return self.root / "artifacts" / sha256

    def has_artifact(self, artifact: Artifact) -> bool:
        """True if the artifact is there with the right size; its bytes are not read."""
        try:
            return self.artifact_path(artifact.sha256).stat().st_size == artifact.size
        except OSError:
            return False

    def verify_artifact(self, artifact: Artifact) -> bool:
        """True if the artifact is there and its bytes are right. A corrupt file is removed, to be fetched again."""
        path = self.artifact_path(artifact.sha256)
        found = hash_artifact(path)
        if found == artifact.sha256:
            return True
        if found is not None:
            with store_errors(f"remove the corrupt {path}"):
                path.unlink(missing_ok=True)
        return False

    def add_artifact(
        self, artifact: Artifact, *, stop: Callable[[], bool] = lambda: False
    ) -> AbstractContextManager[Partial | None]:
        """The writer for an artifact: `write` its bytes, then `commit`. An earlier attempt's bytes are already in it.

        Waits while another process or thread writes the same artifact; None once that one has put it in place, or when
        `stop()` says so.
        """
        return open_partial(
            artifact,
            self.root / "partial",
            self.artifact_path(artifact.sha256),
            present=lambda: self.has_artifact(artifact),
            stop=stop,
        )

    @property
    def layout(self) -> Path:
        """The OCI image layout with every layer built."""
        return self.root / "layout"

    @property
    def trees(self) -> Path:
        """Wheel trees, by key."""
        return self.root / "trees"

    @property
    def logs(self) -> Path:
        """Logs of builds."""
        return self.root / "logs"

    def cache(self, name: str) -> Path:
        """A folder for what can be had again at any time, such as indexes."""
        folder = self.root / "cache" / name
        with store_errors(f"write {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def realisation(self, key: Key) -> Realisation | None:
        """What came out of the derivation `key`, if it was built here; see `has_layer` for whether its blob remains."""
        return read_realisation(self.root / "realisations", key)

    def record(self, realisation: Realisation) -> None:
        """Keep `realisation`; it becomes the latest of its layer."""
        write_realisation(self.root / "realisations", realisation)

    def latest(self, release: str, platform: str, layer: str) -> Realisation | None:
        """The realisation recorded last for this layer of this release and platform."""
        return latest_realisation(self.root / "realisations", release, platform, layer)

    def has_layer(self, realisation: Realisation) -> bool:
        """True if the layer's blob is in the layout with the right size; its bytes are not read."""
        path = self.layout / "blobs" / "sha256" / realisation.blob.removeprefix("sha256:")
        try:
            return path.stat().st_size == realisation.blob_size
        except OSError:
            return False

    def verify_layer(self, realisation: Realisation) -> bool:
        """True if the layer's blob is there and its bytes are right. A corrupt file is removed, to be built again."""
        path = self.layout / "blobs" / "sha256" / realisation.blob.removeprefix("sha256:")
        found = hash_artifact(path)
        if found is None or realisation.blob == f"sha256:{found}":
            return found is not None
        with store_errors(f"remove the corrupt {path}"):
            path.unlink(missing_ok=True)
        return False

    def temporary(self, prefix: str) -> AbstractContextManager[Path]:
        """A folder on the store's own file system, so that results can be renamed into place; removed at exit."""
        return temporary_folder(self.root / TEMPORARY, prefix)

    @contextmanager
    def exclusive(self, name: str, progress: Progress) -> Iterator[None]:
        """Do one thing at a time under `name`, among processes and threads. Says so when it waits. Not re-entrant."""
        path = self.root / "locks" / (quote(name, safe="") + ".lock")
        with store_errors(f"lock {path}"):
            descriptor = lock_file(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if descriptor is None:
                progress.note(f"waiting for {_holder(path)}, which is busy with {name}")
                descriptor = lock_file(path, fcntl.LOCK_EX)
        assert descriptor is not None  # a blocking lock is always granted
        try:
            with suppress(OSError):  # only for the message above
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def gc(self, keep: Callable[[], Roots], progress: Progress | None = None) -> GcReport:
        """Remove what `keep()` does not ask for. Waits until no other process uses the store. Raises `StoreError`.

        `keep` (such as `Workspace.wanted`) is called once the store is ours alone: a build that ended meanwhile may
        have recorded in a lock what it built. Not to be called while another thread of this process uses the store.
        """
        if self._lease is None:
            raise StoreError(f"there is no store in {self.root}")
        self._lease.upgrade(progress or Silent())
        try:
            wanted = keep()
            with store_errors(f"remove from {self.root}"):
                return collect(self.root, wanted)
        finally:
            self._lease.downgrade()

    def verify(self, progress: Progress | None = None) -> StoreReport:
        """Hash everything whose digest is known; what is bad is removed and named. Raises `StoreError`."""
        with store_errors(f"verify {self.root}"):
            return verify(self.root, progress or Silent())

    def du(self) -> dict[str, int]:
        """How many bytes of disk each kind of content takes."""
        with store_errors(f"read {self.root}"):
            return sizes(self.root)


_FOLDERS = ("artifacts", "partial", "layout", "trees", "cache", "logs", "realisations", "locks", TEMPORARY)


def _require_format(path: Path) -> bool:
    """True where the store says that it is one that we know, False where it says nothing yet. Raises `StoreError`."""
    try:
        found = path.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return False
    if found == FORMAT:
        return True
    if found.isdecimal():
        raise StoreError(
            f"{path}: a store of format {found[:20]!r}, this rtbuild knows format {FORMAT}",
            hint="use the newer rtbuild, or choose another store with --store",
        )
    raise StoreError(
        f"{path}: says no format of a store",
        hint="if the folder is a store of rtbuild, remove that file; otherwise choose another with --store",
    )


def _holder(path: Path) -> str:
    with suppress(OSError):
        text = path.read_text()
        if text.isdigit() and int(text) != os.getpid():
            return f"process {text}"
    return "another piece of work"


class Lease:
    """A shared lock on the whole store, held by every process that has it open; garbage collection needs it alone."""

    def __init__(self, path: Path, progress: Progress, *, create: bool) -> None:
        descriptor = lock_file(path, fcntl.LOCK_SH | fcntl.LOCK_NB, create=create)
        if descriptor is None:
            progress.note("waiting for another process, which collects the store's garbage")
            descriptor = lock_file(path, fcntl.LOCK_SH, create=create)
        assert descriptor is not None  # a blocking lock is always granted
        self._descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)

    def upgrade(self, progress: Progress) -> None:
        """Wait until this process is the only one."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.note("waiting until no other process uses the store")
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def downgrade(self) -> None:
        """Let others in again."""
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)


_leases: weakref.WeakValueDictionary[Path, Lease] = weakref.WeakValueDictionary()


def _lease(root: Path, progress: Progress, *, create: bool = True) -> Lease:
    # One per process and folder: two leases of one process would keep its own garbage collection waiting for ever.
    path = root.resolve() / "locks" / "in-use.lock"
    lease = _leases.get(path)
    if lease is None:
        lease = _leases[path] = Lease(path, progress, create=create)
    return lease
