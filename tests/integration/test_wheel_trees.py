"""Wheel trees with a real engine, the target's Python and real wheels: reproducible, and what pip would install."""

from __future__ import annotations

import csv
import io
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from rtbuild.engine.engine import Engine
from rtbuild.formats.tar import END
from rtbuild.lockfile.model import Lock
from rtbuild.mirror.download import fetch_artifacts
from rtbuild.recipe.model import PythonLayer, Release
from rtbuild.settings import Settings
from rtbuild.store.store import Store
from rtbuild.wheels.realise import WheelTree, realise_trees
from rtbuild.wheels.sdists import realise_wheels
from rtbuild.wheels.toolroot import tool_debs, unpack_debs
from rtbuild.workspace import Workspace
from tests.fakes.environments import environment

pytestmark = pytest.mark.integration

WHEELS = (
    "argcomplete",  # scripts of its own in .data
    "gcloud-aio-auth",  # shares files with the next
    "gcloud-aio-storage",
    "greenlet",  # headers, a C extension
    "gunicorn",  # console scripts
    "jinja2",  # modules that do not compile for some Pythons
    "markupsafe",
    "pip",  # scripts named after the Python
    "prometheus-client",  # ships compiled modules
    "setuptools",  # a .pth
    "urllib3",
)


@pytest.fixture(scope="module")
def release(workspace: Workspace) -> Release:
    """8.0.0 without removals: pip does not know what the recipes remove."""
    release = workspace.release("8.0.0")
    whole = (replace(layer, removals=()) if isinstance(layer, PythonLayer) else layer for layer in release.layers)
    return replace(release, layers=tuple(whole))


@pytest.fixture(scope="module")
def small(lock: Lock, settings: Settings) -> Lock:
    """The lock with a few wheels and every sdist, all of them in the store of the settings."""
    # Local packages have tests of their own.
    pythons = tuple(
        artifact for artifact in lock.pythons if artifact.name in WHEELS or not (artifact.is_wheel or artifact.local)
    )
    small = replace(lock, pythons=pythons, debs=tool_debs(lock.debs))
    fetch_artifacts(small.remote, Store.open(settings.store), settings)
    return small


def fresh_store(folder: Path, lock: Lock, settings: Settings) -> Store:
    """Return a new store with nothing but the artifacts of the lock."""
    store, source = Store.open(folder), Store.open(settings.store)
    for artifact in lock.remote:
        target = store.artifact_path(artifact.sha256)
        if not target.exists():
            try:
                os.link(source.artifact_path(artifact.sha256), target)
            except OSError:
                target.write_bytes(source.artifact_path(artifact.sha256).read_bytes())
    return store


@pytest.fixture(scope="module")
def first(
    release: Release, small: Lock, settings: Settings, engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Store, tuple[WheelTree, ...]]:
    store = fresh_store(tmp_path_factory.mktemp("first"), small, settings)
    return store, realise_trees(release, small, environment(store, engine))


@pytest.fixture
def other_umask() -> Iterator[None]:
    old = os.umask(0o077)
    yield
    os.umask(old)


def members(tree: WheelTree) -> dict[str, tuple[int, bytes]]:
    """Return mode and content of each file by absolute path."""
    with tree.frames.open("rb") as stream:
        plain = zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True).read()
    files = {}
    with tarfile.open(fileobj=io.BytesIO(plain + END)) as archive:
        for entry in archive:
            content = archive.extractfile(entry)
            assert content is not None
            files[f"/{entry.name}"] = (entry.mode, content.read())
    return files


def test_trees_built_twice_are_equal(
    release: Release,
    small: Lock,
    settings: Settings,
    engine: Engine,
    first: tuple[Store, tuple[WheelTree, ...]],
    tmp_path: Path,
    other_umask: None,
) -> None:
    """The second time in two parts, in another order, with another umask and one job."""
    store = fresh_store(tmp_path / "store", small, settings)
    again: dict[str, WheelTree] = {}
    for half in (small.pythons[1::2], small.pythons[::2]):
        part = replace(small, pythons=half)
        trees = realise_trees(release, part, environment(store, engine, jobs=1))
        again |= {tree.package: tree for tree in trees}
    shared = {"gcloud-aio-auth", "gcloud-aio-storage"}  # which files they leave to each other depends on both
    for tree in first[1]:
        if tree.package not in shared:
            assert again[tree.package].key == tree.key
            assert again[tree.package].frames.read_bytes() == tree.frames.read_bytes(), tree.package


def test_sdists_give_the_same_wheel_each_time(
    release: Release,
    small: Lock,
    settings: Settings,
    engine: Engine,
    first: tuple[Store, tuple[WheelTree, ...]],
    tmp_path: Path,
) -> None:
    sdists = tuple(artifact for artifact in small.pythons if not artifact.is_wheel)
    assert sdists
    only = replace(small, pythons=sdists[::-1])
    store = fresh_store(tmp_path / "store", only, settings)

    def wheels(where: Store, lock: Lock) -> dict[str, str]:
        built = realise_wheels(release, lock, environment(where, engine))
        return {name: wheel.sha256 for name, wheel in built.items()}

    assert wheels(store, only) == wheels(first[0], small)


def test_trees_are_what_pip_installs(
    release: Release, small: Lock, engine: Engine, first: tuple[Store, tuple[WheelTree, ...]], tmp_path: Path
) -> None:
    """Compared with a real pip, run as root in the target's root."""
    store, trees = first
    installed = pip_install(release, small, store, engine, tmp_path)
    ours: dict[str, tuple[int, bytes]] = {}
    wheels = {artifact.name for artifact in small.pythons if artifact.is_wheel}
    for tree in trees:
        if tree.package in wheels:
            ours |= members(tree)
    # pip gets files, not names. It also compiles scripts and keeps compiled modules of wheels.
    expected = {
        path: file
        for path, file in installed.items()
        if not path.endswith(("/REQUESTED", "/direct_url.json"))
        and not (path.endswith(".pyc") and (path.startswith("/usr/local/bin/") or ".cpython-39." not in path))
    }
    assert sorted(ours) == sorted(expected)
    assert {path: mode for path, (mode, _) in ours.items()} == {path: mode for path, (mode, _) in expected.items()}
    shared = ("gcloud_aio_auth", "gcloud_aio_storage")
    for path, (_, content) in ours.items():
        theirs = expected[path][1]
        if path.endswith("/RECORD"):
            if not any(name in path for name in shared):
                assert comparable(content) == comparable(theirs), path
        elif path.startswith("/usr/local/bin/"):
            # pip's own template has other quotes.
            assert content.replace(b'"', b"'") == theirs.replace(b'"', b"'"), path
        elif not path.endswith(".pyc"):
            assert content == theirs, path


def comparable(record: bytes) -> set[tuple[str, ...]]:
    """Return the lines of a RECORD, except scripts (see above) and files that only pip writes."""
    rows = {tuple(row) for row in csv.reader(io.StringIO(record.decode(), newline=""))}
    return {
        row
        for row in rows
        if "/bin/" not in row[0]
        and not row[0].endswith(("/REQUESTED", "/direct_url.json"))
        and not (row[0].endswith(".pyc") and ".cpython-39." not in row[0])
    }


def pip_install(
    release: Release, lock: Lock, store: Store, engine: Engine, folder: Path
) -> dict[str, tuple[int, bytes]]:
    """Return the mode and content of each file that a real pip installs below /usr/local, by path."""
    context = folder / "context"
    (context / "wheels").mkdir(parents=True)
    for artifact in lock.pythons:
        if artifact.is_wheel:
            os.link(store.artifact_path(artifact.sha256), context / "wheels" / artifact.filename)
            if artifact.name == "pip":
                os.link(store.artifact_path(artifact.sha256), context / "pip.whl")
    unpack_debs([store.artifact_path(deb.sha256) for deb in tool_debs(lock.debs)], context / "tools.tar")
    arguments = ["install", "--no-index", "--no-deps", "--root-user-action=ignore", "--disable-pip-version-check"]
    (context / "install.py").write_text(
        "import glob, os, sys, tarfile\n"
        "os.umask(0o022)\n"
        "os.makedirs('/tmp', exist_ok=True)\n"
        "sys.path.insert(0, '/work/pip.whl')\n"
        f"sys.argv = ['pip', *{json.dumps(arguments)}, *sorted(glob.glob('/work/wheels/*.whl'))]\n"
        "from pip._internal.cli.main import main\n"
        "if main():\n"
        "    sys.exit('pip failed')\n"
        "with tarfile.open('/out.tar', 'w') as archive:\n"
        "    archive.add('/usr/local')\n"
    )
    (context / "Dockerfile").write_text(
        "FROM scratch AS install\n"
        "ADD tools.tar /\n"
        "ENV PATH=/usr/bin:/bin LC_ALL=C.UTF-8 HOME=/root\n"
        'RUN --mount=type=bind,target=/work ["/usr/bin/python3", "/work/install.py"]\n'
        "FROM scratch\n"
        "COPY --from=install /out.tar /\n"
    )
    out = folder / "out"
    engine.build(context, log=folder / "log", title="pip install", output_local=out, platform=lock.platform)
    installed = {}
    with tarfile.open(out / "out.tar") as archive:
        for entry in archive:
            content = archive.extractfile(entry)
            if content is not None:
                installed[f"/{entry.name}"] = (entry.mode, content.read())
    return installed
