"""The `export` verb on a workspace on disk, with package indexes on 127.0.0.1."""

from __future__ import annotations

import platform as running
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.pylock import Package, Pylock
from uv import find_uv_bin

from rtbuild.digest import Sha256
from rtbuild.errors import LockError, MirrorError, RecipeError
from rtbuild.formats.project_page import ProjectFile, render_project_page
from rtbuild.lockfile.model import PythonArtifact
from rtbuild.lockfile.read import write_lock
from rtbuild.platform import PLATFORMS, host_platform
from rtbuild.settings import Settings
from rtbuild.verbs.export import export
from rtbuild.workspace import Workspace
from tests.fakes import locks
from tests.fakes.package_index import Distribution, PackageIndex, make_sdist, make_wheel
from tests.fakes.serving import only_loopback
from tests.fakes.workspaces import RELEASE, put, write_workspace

ARM64 = PLATFORMS["linux/arm64"]
GATE = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
BACKEND = """\
import shutil

def build_wheel(folder, config_settings=None, metadata_directory=None):
    return shutil.copy("gate_keeper-1.0-py3-none-any.whl", folder).rpartition("/")[2]
"""
"""A build backend that needs no other package, so that installing its package asks no index."""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace whose release has a lock for each platform."""
    release = RELEASE.replace('["linux/amd64"]', '["linux/amd64", "linux/arm64"]')
    workspace = Workspace.find(write_workspace(tmp_path, release=release))
    for platform in PLATFORMS.values():
        write_lock(workspace.lock_path("8.0.0", platform), locks.lock(platform=platform))
    return workspace


def test_requirements_for_this_machine_by_default(workspace: Workspace) -> None:
    lines = export(workspace, "8.0").splitlines()
    assert lines[0].startswith(f"# release 8.0.0 for {host_platform()}, Python 3.9.2")
    assert lines[1] == "apache-airflow==2.6.0 \\"


def test_another_platform_and_format(workspace: Workspace) -> None:
    assert export(workspace, "8.0.0", platform=ARM64).startswith("# release 8.0.0 for linux/arm64,")
    pylock = tomllib.loads(export(workspace, "8.0.0", platform=ARM64, format="pylock", no_index=True))
    assert [package["name"] for package in pylock["packages"]] == ["apache-airflow", "pip"]


def test_an_unknown_release(workspace: Workspace) -> None:
    with pytest.raises(RecipeError, match=r"unknown release '9\.9'"):
        export(workspace, "9.9")


def test_a_release_without_a_lock(workspace: Workspace) -> None:
    workspace.lock_path("8.0.0", ARM64).unlink()
    with pytest.raises(LockError):
        export(workspace, "8.0", platform=ARM64)


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    only_loopback(monkeypatch)
    with PackageIndex() as index:
        yield index


def locked(index: PackageIndex, distribution: Distribution) -> PythonArtifact:
    """Publish `distribution` and return it as a lock names it."""
    index.publish(distribution)
    return replace(
        locks.wheel(distribution.name, distribution.version),
        filename=distribution.filename,
        path=index.path_of(distribution.filename).removeprefix("/"),
        size=len(distribution.content),
        sha256=Sha256(distribution.sha256),
    )


def write_pythons(workspace: Workspace, *pythons: PythonArtifact) -> None:
    """Lock `pythons` for the Python that runs the tests."""
    lock = locks.lock(
        platform=host_platform(),
        python_version=running.python_version(),
        pythons=pythons,
        build_pythons=(locks.wheel("setuptools"),),  # which sdists and local packages are built with
    )
    write_lock(workspace.lock_path("8.0.0", host_platform()), lock)


def settings_of(workspace: Workspace, *indexes: str, private: tuple[str, ...] = ()) -> Settings:
    """Return settings that name `indexes`."""
    store, engine = workspace.root / "store", workspace.root / "engine"
    return Settings(store=store, engine_dir=engine, retries=0, python_indexes=indexes, private_packages=private)


def exported(workspace: Workspace, settings: Settings) -> list[Package]:
    """Return the packages of a pylock whose addresses the indexes of `settings` gave."""
    return list(Pylock.from_dict(tomllib.loads(export(workspace, "8.0", format="pylock", settings=settings))).packages)


def urls(packages: list[Package]) -> list[str | None]:
    """Return the address of each package's file."""
    return [file.url for package in packages for file in [*(package.wheels or []), package.sdist] if file is not None]


def test_a_pylock_names_the_address_of_each_file(workspace: Workspace, index: PackageIndex) -> None:
    spam, eggs = locked(index, make_wheel("spam", "1.0")), locked(index, make_sdist("eggs", "2.0"))
    write_pythons(workspace, spam, eggs)
    packages = exported(workspace, settings_of(workspace, index.url))
    assert urls(packages) == [index.base + index.path_of(eggs.filename), index.base + index.path_of(spam.filename)]
    assert [package.index for package in packages] == [index.url, index.url]
    pages = [path for path in index.requested if path.startswith("/simple/")]
    assert len(pages) == 1  # it shows where the index has all its files


def test_a_pylock_has_no_login(workspace: Workspace, index: PackageIndex) -> None:
    """Neither that of the settings nor one that the index puts into the addresses of its files."""
    index.login = "user:secret"
    write_pythons(workspace, locked(index, make_wheel("spam", "1.0")))
    path = index.path_of("spam-1.0-py3-none-any.whl")
    file: ProjectFile = {"filename": "spam-1.0-py3-none-any.whl", "url": with_login(index.base + path)}
    index.replace("/simple/spam/", render_project_page("spam", [file]).encode())
    (package,) = exported(workspace, settings_of(workspace, with_login(index.url)))
    assert (urls([package]), package.index) == ([index.base + path], index.url)


def with_login(address: str) -> str:
    """Return `address` with the login of the tests."""
    return address.replace("://", "://user:secret@")


def test_each_file_is_named_at_an_index_that_has_it(workspace: Workspace, index: PackageIndex) -> None:
    with PackageIndex() as second:
        pythons = [locked(index, make_wheel("a", "1.0")), locked(second, make_wheel("b", "1.0"))]
        write_pythons(workspace, *pythons)
        packages = exported(workspace, settings_of(workspace, index.url, second.url))
    assert [package.index for package in packages] == [index.url, second.url]


def test_a_file_in_a_folder_of_the_settings(workspace: Workspace, index: PackageIndex, tmp_path: Path) -> None:
    wheel = make_wheel("spam", "1.0")
    write_pythons(workspace, locked(index, wheel))
    folder = tmp_path / "usb stick"
    folder.mkdir()
    (folder / wheel.filename).write_bytes(wheel.content)
    (package,) = exported(workspace, settings_of(workspace, str(folder)))
    assert (urls([package]), package.index) == ([(folder / wheel.filename).as_uri()], None)


def test_a_file_that_no_index_has(workspace: Workspace, index: PackageIndex) -> None:
    spam = locked(index, make_wheel("spam", "1.0"))
    write_pythons(workspace, replace(spam, filename="spam-1.0-1-py3-none-any.whl"))
    with pytest.raises(MirrorError, match=r"^spam-1\.0-1-py3-none-any\.whl: no package index has the file$") as caught:
        exported(workspace, settings_of(workspace, index.url))
    assert caught.value.details == f"{index.url}: its page of spam does not list the file"


def test_a_file_of_another_size(workspace: Workspace, index: PackageIndex) -> None:
    spam = locked(index, make_wheel("spam", "1.0"))
    write_pythons(workspace, replace(spam, size=spam.size + 1))
    with pytest.raises(MirrorError) as caught:
        exported(workspace, settings_of(workspace, index.url))
    assert caught.value.details == f"{index.url}: has {spam.size} bytes instead of {spam.size + 1}"


def test_a_private_package_is_asked_for_at_no_public_index(workspace: Workspace, index: PackageIndex) -> None:
    write_pythons(workspace, locked(index, make_wheel("spam", "1.0")))
    with PackageIndex() as first, pytest.raises(MirrorError, match=r"^spam-1\.0.*: no package index has the file$"):
        exported(workspace, settings_of(workspace, first.url, index.url, private=("spam",)))
    assert index.requested == []


@pytest.mark.slow
def test_uv_installs_a_pylock(workspace: Workspace, index: PackageIndex, tmp_path: Path) -> None:
    file, target = pylock_of_three(workspace, index), tmp_path / "target"
    install(
        tmp_path,
        find_uv_bin(),
        *("pip", "sync", "--no-config", "--no-index", "--python", sys.executable, "--target", target, file),
    )
    assert {path.name for path in target.glob("*.py")} == {"spam.py", "eggs.py", "gate_keeper.py"}


@pytest.mark.slow
def test_pip_installs_a_pylock_without_local_packages(
    workspace: Workspace, index: PackageIndex, tmp_path: Path
) -> None:
    file, target = pylock_of_three(workspace, index, no_local=True), tmp_path / "target"
    file = file.rename(tmp_path / "pylock.toml")  # which names nothing in the workspace
    install(
        tmp_path, sys.executable, "-m", "pip", "--isolated", "install", "--no-index", "--target", target, "-r", file
    )
    assert {path.name for path in target.glob("*.py")} == {"spam.py", "eggs.py"}


def pylock_of_three(workspace: Workspace, index: PackageIndex, *, no_local: bool = False) -> Path:
    """Write the pylock of two packages of an index, and of a local one unless `no_local`."""
    gate = make_wheel("gate-keeper", "1.0")
    local = replace(locks.wheel("gate-keeper", "1.0"), filename="gate_keeper-1.0.tar", path="recipes/gate", local=True)
    put(workspace.root / local.path / "pyproject.toml", GATE)
    put(workspace.root / local.path / "backend.py", BACKEND)
    (workspace.root / local.path / gate.filename).write_bytes(gate.content)
    spam, eggs = make_wheel("spam", "1.0", requires=["eggs"]), make_wheel("eggs", "2.0")
    write_pythons(workspace, locked(index, spam), locked(index, eggs), local)
    file = workspace.root / "pylock.toml"
    settings = settings_of(workspace, index.url)
    file.write_text(export(workspace, "8.0", format="pylock", settings=settings, no_local=no_local))
    return file


def install(folder: Path, *command: str | Path) -> None:
    """Run an installer that caches in `folder`."""
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "UV_CACHE_DIR": str(folder / "cache")}
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
