"""The sdist of a package whose source lies in the recipes: one sequence of bytes, whoever makes it."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.errors import LockError, StaleLockError
from rtbuild.lockfile.check import stale_parts
from rtbuild.lockfile.export import export_lock
from rtbuild.lockfile.local import as_locked
from rtbuild.lockfile.model import Lock, PythonArtifact
from rtbuild.lockfile.read import read_lock, write_lock
from rtbuild.lockfile.why import reasons_for
from rtbuild.platform import PLATFORMS
from rtbuild.recipe.model import Release
from rtbuild.recipe.read import read_release
from rtbuild.recipe.sdist import LocalSdist, local_sdists
from rtbuild.resolve.python.sdist import read_sdist
from rtbuild.store.store import Store
from rtbuild.wheels.local import store_local
from rtbuild.workspace import Workspace
from tests.fakes import locks
from tests.fakes.packages import FOLDER, MODULE, PYPROJECT, write_workspace_with_package

AMD64 = PLATFORMS["linux/amd64"]
AS_OF = 1682985600


def sdist(root: Path) -> LocalSdist:
    (made,) = local_sdists(read_release(root, "8.0.0"))
    return made


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return read_release(write_workspace_with_package(tmp_path / "project"), "8.0.0")


@pytest.fixture
def artifact(release: Release) -> PythonArtifact:
    """The package as it is locked."""
    (made,) = local_sdists(release)
    return as_locked(locks.wheel("gate-keeper", "1.0.0", layer="gate", requires=("spam",)), made)


def lock_of(release: Release, artifact: PythonArtifact) -> Lock:
    tools = (locks.wheel("setuptools", layer=""),)
    pythons = (artifact, locks.wheel("spam"))
    return locks.lock(
        pythons=pythons, build_pythons=tools, inputs=release.inputs, as_of=release.as_of, layers=(), image=None
    )


def test_its_bytes_are_known(release: Release) -> None:
    """Other bytes are another artifact: who moves this digest makes every lock with a local package stale."""
    (made,) = local_sdists(release)
    assert made.filename == "gate_keeper-1.0.0.tar"
    assert (made.size, made.uploaded) == (len(made.content), release.as_of)
    assert made.sha256 == "50da93c2560182aeefef3dc394da86312a27994bbb0bd474917d6511379b8b9d"


def test_what_is_in_it(release: Release) -> None:
    (made,) = local_sdists(release)
    with tarfile.open(fileobj=io.BytesIO(made.content)) as archive:
        members = archive.getmembers()
    assert [(one.name, oct(one.mode)) for one in members] == [
        ("gate_keeper-1.0.0/PKG-INFO", "0o644"),
        ("gate_keeper-1.0.0/README.md", "0o644"),
        ("gate_keeper-1.0.0/pyproject.toml", "0o644"),
        ("gate_keeper-1.0.0/src/gate_keeper/__init__.py", "0o644"),
        ("gate_keeper-1.0.0/src/gate_keeper/data/bell", "0o755"),
    ]
    assert {(one.mtime, one.uid, one.gid, one.uname, one.gname) for one in members} == {(AS_OF, 0, 0, "", "")}


def test_it_says_what_it_requires(release: Release) -> None:
    (made,) = local_sdists(release)
    read = read_sdist(made.filename, made.content)
    assert read.build_requires == ("setuptools>=64", "wheel")
    assert read.metadata.decode().splitlines()[1:] == [
        "Name: gate-keeper",
        "Version: 1.0.0",
        "Requires-Python: >=3.9",
        "Provides-Extra: night",
        "Requires-Dist: spam>=1",
        "Requires-Dist: lantern",
        'Requires-Dist: owl; (os_name == "posix") and extra == "night"',
    ]


def test_place_times_modes_and_left_overs_do_not_show(tmp_path: Path) -> None:
    first = write_workspace_with_package(tmp_path / "one")
    other = tmp_path / "somewhere" / "else"
    shutil.copytree(first, other)
    for path in sorted((other / FOLDER).rglob("*")):
        os.utime(path, (1, 1))
        path.chmod(0o700 if path.stat().st_mode & 0o100 else 0o600)
    (other / FOLDER / "src/gate_keeper/__pycache__/new.pyc").write_bytes(b"\x00")
    assert sdist(other).content == sdist(first).content


@pytest.mark.parametrize("change", ["content", "mode", "new file", "moment"])
def test_what_shows(tmp_path: Path, change: str) -> None:
    root = write_workspace_with_package(tmp_path)
    before = sdist(root)
    module = root / FOLDER / MODULE
    match change:
        case "content":
            module.write_text("# nothing\n")
        case "mode":
            module.chmod(0o755)
        case "new file":
            module.with_name("new.py").write_text("")
        case "moment":
            release = root / "recipes/releases/8.0.0.toml"
            release.write_text(release.read_text().replace("2023-05-02T", "2023-05-03T"))
    assert sdist(root).sha256 != before.sha256


# --- in the store ----------------------------------------------------------------------------------------------------


def test_it_is_put_into_the_store(release: Release, artifact: PythonArtifact, tmp_path: Path) -> None:
    store, lock = Store.open(tmp_path / "store"), lock_of(release, artifact)
    store_local(release, lock, store)
    assert store.verify_artifact(artifact)
    assert [path.name for path in (store.root / "artifacts").iterdir()] == [artifact.sha256]
    store_local(release, lock, store)


@pytest.mark.parametrize("content", [b"", b"other bytes", b"x" * 1_000_000])
def test_a_damaged_one_is_made_again(
    release: Release, artifact: PythonArtifact, tmp_path: Path, content: bytes
) -> None:
    store = Store.open(tmp_path / "store")
    store.artifact_path(artifact.sha256).write_bytes(content)
    (store.root / "partial" / artifact.sha256).write_bytes(content)
    store_local(release, lock_of(release, artifact), store)
    assert store.verify_artifact(artifact)


def test_source_that_is_not_the_locked_one_is_never_stored(
    release: Release, artifact: PythonArtifact, tmp_path: Path
) -> None:
    store = Store.open(tmp_path / "store")
    lock = lock_of(release, replace(artifact, sha256=locks.wheel("other").sha256))
    with pytest.raises(StaleLockError) as caught:
        store_local(release, lock, store)
    assert caught.value.brief == (f"gate-keeper: its source in {FOLDER} is not what the lock of 8.0.0 was made from")
    assert caught.value.hint == "make the lock again with: rtbuild lock 8.0.0 --platform linux/amd64"
    assert list((store.root / "artifacts").iterdir()) == []


# --- in the lock -----------------------------------------------------------------------------------------------------


def test_the_lock_names_it(release: Release, artifact: PythonArtifact, tmp_path: Path) -> None:
    path, lock = tmp_path / "lock.toml", lock_of(release, artifact)
    write_lock(path, lock)
    assert read_lock(path) == lock
    assert lock.remote == (*lock.debs, lock.pythons[1], *lock.build_pythons)
    text = path.read_text()
    assert f'path = "{FOLDER}"\nfilename = "gate_keeper-1.0.0.tar"\n' in text
    assert text.count("local = true\n") == 1
    path.write_text(text.replace("gate_keeper-1.0.0.tar", "gate_keeper-1.0.0-py3-none-any.whl"))
    with pytest.raises(LockError, match=r"python\[0\]\.local: gate_keeper-1\.0\.0-py3-none-any\.whl is"):
        read_lock(path)
    path.write_text(text.replace('name = "setuptools"', 'name = "setuptools"\nlocal = true'))
    with pytest.raises(LockError, match=r"python-build\[0\]\.local: unknown field"):
        read_lock(path)


def stale(root: Path, lock: Lock) -> list[str]:
    """What `lock --check` says of the package."""
    workspace = Workspace(root=root)
    return [line for line in stale_parts(workspace.release("8.0.0"), lock) if "gate" in line]


def test_check_says_that_its_source_changed(release: Release, artifact: PythonArtifact, tmp_path: Path) -> None:
    root, lock = tmp_path / "project", lock_of(release, artifact)
    assert stale(root, lock) == []
    (root / FOLDER / MODULE).write_text("# nothing\n")
    assert stale(root, lock) == [
        f"{FOLDER}/{MODULE} has changed since the lock was made",
        f"gate-keeper: its source in {FOLDER} is not what the lock was made from",
    ]


def test_check_says_that_a_mode_changed(release: Release, artifact: PythonArtifact, tmp_path: Path) -> None:
    root = tmp_path / "project"
    (root / FOLDER / MODULE).chmod(0o755)
    found = [f"gate-keeper: its source in {FOLDER} is not what the lock was made from"]
    assert stale(root, lock_of(release, artifact)) == found


def test_check_says_that_its_version_changed(release: Release, artifact: PythonArtifact, tmp_path: Path) -> None:
    root = tmp_path / "project"
    (root / FOLDER / "pyproject.toml").write_text(PYPROJECT.replace('"1.0.0"', '"1.1.0"'))
    assert "gate-keeper: the recipes want ==1.1.0, the lock has 1.0.0" in stale(root, lock_of(release, artifact))


def test_why_it_is_there(release: Release, artifact: PythonArtifact) -> None:
    (need,) = reasons_for(release, lock_of(release, artifact), "Gate.Keeper")
    assert (need.origin, need.chain, need.layer) == (f"local package {FOLDER}", ("gate-keeper",), "gate")
    (need,) = reasons_for(release, lock_of(release, artifact), "spam")
    assert (need.origin, need.chain) == (f"local package {FOLDER}", ("gate-keeper", "spam"))


def test_other_formats_say_where_its_source_is(release: Release, artifact: PythonArtifact) -> None:
    lock = lock_of(release, artifact)
    assert export_lock(lock, "requirements").splitlines()[1:] == [
        f"# gate-keeper==1.0.0 is on no index: pip install --no-deps ./{FOLDER}",
        "spam==1.0 \\",
        f"    --hash=sha256:{lock.pythons[1].sha256}",
    ]
    assert f'[[packages]]\nname = "gate-keeper"\n\n[packages.directory]\npath = "{FOLDER}"\n' in export_lock(
        lock, "pylock"
    )
