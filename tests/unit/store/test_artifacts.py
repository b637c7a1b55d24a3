"""Artifacts in the store: complete or missing, whoever writes and however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtbuild.digest import sha256_bytes
from rtbuild.errors import IntegrityError, StoreError
from rtbuild.lockfile.model import Artifact
from rtbuild.store.artifacts import Partial
from rtbuild.store.store import Store
from tests.fakes.disks import largest_file
from tests.fakes.store_content import put_artifact
from tests.fakes.users import open_folder, somebody

CONTENT = bytes(range(256)) * 40


def artifact_of(content: bytes, name: str = "a.deb") -> Artifact:
    return Artifact(filename=name, path=f"pool/{name}", size=len(content), sha256=sha256_bytes(content))


def add(store: Store, content: bytes) -> Artifact:
    artifact = artifact_of(content)
    with store.add_artifact(artifact) as partial:
        assert partial is not None
        partial.write(content)
        partial.commit()
    return artifact


def test_an_artifact_is_stored_read_only(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    artifact = add(store, CONTENT)
    path = store.artifact_path(artifact.sha256)
    assert store.has_artifact(artifact)
    assert store.verify_artifact(artifact)
    assert path.read_bytes() == CONTENT
    assert path.stat().st_mode & 0o777 == 0o444
    assert list((tmp_path / "partial").iterdir()) == []


def test_the_names_of_all_artifacts_are_made_durable_at_once(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    put_artifact(store, b"content")
    store.sync_artifacts()
    (store.root / "artifacts").rename(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=r"cannot write .*/artifacts: "):
        store.sync_artifacts()


def test_an_interrupted_write_is_resumed(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    artifact = artifact_of(CONTENT)
    with store.add_artifact(artifact) as partial:
        assert partial is not None
        partial.write(CONTENT[:1000])
    assert not store.has_artifact(artifact)
    with store.add_artifact(artifact) as partial:
        assert partial is not None
        assert partial.size == 1000
        assert not partial.complete
        partial.write(CONTENT[1000:])
        assert partial.complete
        partial.commit()
    assert store.verify_artifact(artifact)


@pytest.fixture
def without_rights() -> Iterator[Path]:
    """A folder of a user who is not root, who the test then is: root may write into anything."""
    with open_folder() as folder, somebody():
        yield folder


def test_an_interrupted_commit_is_resumed_without_special_rights(without_rights: Path) -> None:
    store = Store.open(without_rights / "store")
    artifact = artifact_of(CONTENT)
    store.artifact_path(artifact.sha256).mkdir()  # stops it as a kill would: all is written, nothing renamed
    with store.add_artifact(artifact) as partial:
        assert partial is not None
        partial.write(CONTENT)
        with pytest.raises(StoreError, match="Is a directory"):
            partial.commit()
    store.artifact_path(artifact.sha256).rmdir()
    with store.add_artifact(artifact) as partial:
        assert partial is not None
        assert partial.complete
        partial.commit()
    assert store.verify_artifact(artifact)


def test_wrong_bytes_are_never_stored(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    artifact = artifact_of(CONTENT)
    with store.add_artifact(artifact) as partial:
        assert partial is not None
        partial.write(b"x" * len(CONTENT))
        with pytest.raises(IntegrityError, match=r"a\.deb: the file does not match the lock"):
            partial.commit()
        assert partial.size == 0
        partial.write(CONTENT[:5])
        with pytest.raises(IntegrityError, match="5 bytes instead of"):
            partial.commit()
        with pytest.raises(IntegrityError, match="more than the "):
            partial.write(CONTENT)
    assert not store.has_artifact(artifact)


@pytest.mark.parametrize("damage", [b"x" * len(CONTENT), CONTENT[:-1], b""])
def test_verifying_removes_a_corrupt_artifact(tmp_path: Path, damage: bytes) -> None:
    store = Store.open(tmp_path)
    artifact = add(store, CONTENT)
    path = store.artifact_path(artifact.sha256)
    path.chmod(0o644)
    path.write_bytes(damage)
    assert store.has_artifact(artifact) == (len(damage) == len(CONTENT))
    assert not store.verify_artifact(artifact)
    assert not path.exists()
    assert not store.verify_artifact(artifact)


def test_a_second_writer_waits_for_the_first(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    artifact = artifact_of(CONTENT)
    outcome: list[object] = []

    def second() -> None:
        with store.add_artifact(artifact) as partial:
            outcome.append(partial)

    with store.add_artifact(artifact) as partial:
        assert partial is not None
        thread = threading.Thread(target=second)
        thread.start()
        partial.write(CONTENT)
        time.sleep(0.15)
        assert outcome == []
        partial.commit()
    thread.join(60)
    assert outcome == [None]
    assert list((tmp_path / "partial").iterdir()) == []


WRITER = """
import sys, time
from pathlib import Path
from rtbuild.lockfile.model import Artifact
from rtbuild.store.store import Store
store = Store.open(Path(sys.argv[1]))
artifact = Artifact(filename="a.deb", path="a.deb", size=int(sys.argv[2]), sha256=sys.argv[3])
with store.add_artifact(artifact) as partial, store.temporary("work") as folder:
    partial.write(bytes(range(256)) * 4)
    (folder / "inside").mkdir(mode=0)
    print("ready", flush=True)
    time.sleep(60)
"""


def child(script: str, *arguments: object) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)


def test_the_download_of_a_killed_process_is_resumed(tmp_path: Path) -> None:
    artifact = artifact_of(CONTENT)
    with child(WRITER, tmp_path, artifact.size, artifact.sha256) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        store = Store.open(tmp_path)
        assert len(list((tmp_path / "tmp").iterdir())) == 2, "the folder of a live process stays"
        process.send_signal(signal.SIGKILL)
    assert not store.has_artifact(artifact)
    Store.open(tmp_path)
    assert list((tmp_path / "tmp").iterdir()) == []
    with store.add_artifact(artifact) as partial:
        assert partial is not None
        assert partial.size == 1024
        partial.write(CONTENT[1024:])
        partial.commit()
    assert store.verify_artifact(artifact)


def test_a_full_disk_is_an_error_and_the_download_resumes_with_space(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    content = os.urandom(120_000)
    artifact = artifact_of(content)
    with store.add_artifact(artifact) as partial:
        assert partial is not None
        with largest_file(100_000), pytest.raises(StoreError, match="File too large") as caught:
            write_in_pieces(partial, content)
        kept = partial.size
    assert caught.value.hint is not None
    assert "rtbuild store gc" in caught.value.hint
    with store.add_artifact(artifact) as partial:
        # A write that stopped in the middle may have left a few bytes more than were counted; they are hashed.
        assert partial is not None
        assert kept <= partial.size < kept + 4096
        partial.write(content[partial.size :])
        partial.commit()
    assert store.verify_artifact(artifact)


def write_in_pieces(partial: Partial, content: bytes) -> None:
    for start in range(0, len(content), 4096):
        partial.write(content[start : start + 4096])
