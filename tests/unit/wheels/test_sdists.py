"""Building wheels from sdists: what the container gets, which wheels are reused, and errors about sdists."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from rtbuild.digest import Sha256, sha256_bytes
from rtbuild.engine.engine import Engine
from rtbuild.errors import BuildError, IntegrityError, LockError
from rtbuild.lockfile.model import Lock, LockedPatch, PythonArtifact
from rtbuild.store.store import Store
from rtbuild.wheels.built import BuiltWheel
from rtbuild.wheels.sdists import build_requirements, realise_wheels
from tests.fakes import locks
from tests.fakes.environments import environment
from tests.fakes.package_index import make_wheel
from tests.fakes.releases import release
from tests.fakes.wheels import make_deb

BACKEND = '[build-system]\nbuild-backend = "flit_core.buildapi"\nbackend-path = ["src"]\n'


class WheelEngine:
    """An engine that writes a wheel for each task. `tasks` are those of the last build."""

    def __init__(self) -> None:
        self.builds = 0
        self.tasks: list[dict[str, Any]] = []
        self.filenames: tuple[str, ...] = ("demo-1.0-py3-none-any.whl",)

    def build(self, context: Path, *, output_local: Path, on_line: Callable[[str], None], **_: Any) -> None:
        self.builds += 1
        assert "build_wheels.py" in (context / "Dockerfile").read_text()
        assert (context / "work/build_wheels.py").is_file()
        self.tasks = json.loads((context / "work/tasks.json").read_text())
        for task in self.tasks:
            for name in [task["sdist"], *(digest for _, digest in task["build"])]:
                assert (context / "work/files" / name).is_file()
            folder = output_local / task["name"]
            folder.mkdir(parents=True)
            for filename in self.filenames:
                (folder / filename).write_bytes(f"wheel of {task['sdist']}".encode())
            on_line(f"#5 1.0 ended {task['name']}")


class Bench:
    """A store with the artifacts of a lock that has one sdist, and an engine."""

    def __init__(self, tmp_path: Path) -> None:
        self.store = Store.open(tmp_path / "store")
        self.engine = WheelEngine()
        python = make_deb(tmp_path / "python.deb", [("./usr/bin/python3.9", b"")]).read_bytes()
        deb = replace(locks.deb("python3.9-minimal", "3.9.2-1"), sha256=self.keep(python))
        self.shared = self.requirement("setuptools", layer="")
        self.own = self.requirement("flit-core", layer="demo")
        self.foreign = self.requirement("cython", layer="another-package")
        self.lock: Lock = locks.lock(
            debs=(deb,), pythons=(locks.wheel("other"),), build_pythons=(self.shared, self.own, self.foreign)
        )
        self.use(sdist({"pyproject.toml": BACKEND}))

    def keep(self, content: bytes) -> Any:
        """Put an artifact into the store and return its digest."""
        sha256 = sha256_bytes(content)
        self.store.artifact_path(sha256).write_bytes(content)
        return sha256

    def requirement(self, name: str, *, layer: str) -> PythonArtifact:
        return replace(locks.wheel(name, layer=layer), sha256=self.keep(make_wheel(name, "1.0").content))

    def use(self, content: bytes, filename: str = "demo-1.0.tar.gz") -> None:
        """Make `content` the sdist of the lock."""
        artifact = replace(locks.wheel("demo"), filename=filename, sha256=self.keep(content))
        self.lock = replace(self.lock, pythons=(artifact, locks.wheel("other")))

    def realise(self) -> dict[str, BuiltWheel]:
        return realise_wheels(release(), self.lock, environment(self.store, cast(Engine, self.engine)))


def sdist(files: dict[str, str]) -> bytes:
    """Return an sdist of `files`."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for path, content in files.items():
            info = tarfile.TarInfo(f"demo-1.0/{path}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content.encode()))
    return out.getvalue()


def zipped_sdist(files: dict[str, str]) -> bytes:
    """Return an sdist of `files` as a zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path, content in files.items():
            archive.writestr(f"demo-1.0/{path}", content)
    return out.getvalue()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_an_sdist_needs_the_shared_build_requirements_and_its_own(bench: Bench) -> None:
    assert build_requirements(bench.lock.pythons[0], bench.lock) == (bench.shared, bench.own)


def test_only_sdists_are_built(bench: Bench) -> None:
    wheels = bench.realise()
    artifact = bench.lock.pythons[0]
    assert wheels.keys() == {"demo"}
    assert wheels["demo"].filename == "demo-1.0-py3-none-any.whl"
    assert wheels["demo"].path.read_bytes() == f"wheel of {artifact.sha256}".encode()
    assert bench.engine.tasks == [
        {
            "name": "demo",
            "sdist": artifact.sha256,
            "filename": "demo-1.0.tar.gz",
            "epoch": 1_680_352_215,
            "build": [["setuptools", bench.shared.sha256], ["flit-core", bench.own.sha256]],
            "backend": "flit_core.buildapi",
            "backend-path": ["src"],
        }
    ]


def test_built_wheels_are_reused_and_rebuilt_if_damaged(bench: Bench) -> None:
    wheels = bench.realise()
    assert bench.realise() == wheels
    assert bench.engine.builds == 1
    wheels["demo"].path.write_bytes(b"")
    assert bench.realise() == wheels
    assert bench.engine.builds == 2


def test_the_key_depends_on_the_build_requirements_of_the_sdist_only(bench: Bench) -> None:
    bench.realise()
    bench.lock = replace(bench.lock, build_pythons=(bench.shared, bench.own))
    bench.realise()
    assert bench.engine.builds == 1
    bench.lock = replace(bench.lock, build_pythons=(bench.shared,))
    bench.realise()
    assert bench.engine.builds == 2


def test_the_key_depends_on_the_packages_of_the_root_it_is_built_in(bench: Bench, tmp_path: Path) -> None:
    """And on no others: the version of Python is the same in all of these locks."""
    bench.realise()
    unused = replace(locks.deb("curl"), sha256=bench.keep(b"curl"))
    bench.lock = replace(bench.lock, debs=(*bench.lock.debs, unused))
    bench.realise()
    assert bench.engine.builds == 1
    library = make_deb(tmp_path / "libc6.deb", [("./lib/libc.so.6", b"")]).read_bytes()
    libc = replace(locks.deb("libc6"), sha256=bench.keep(library))
    (python, _) = bench.lock.debs
    bench.lock = replace(bench.lock, debs=(replace(python, depends=("libc6",)), unused, libc))
    bench.realise()
    assert bench.engine.builds == 2


@pytest.mark.parametrize(
    ("content", "filename"),
    [(sdist({"setup.py": ""}), "demo-1.0.tar.gz"), (zipped_sdist({"setup.py": ""}), "demo-1.0.zip")],
)
def test_setuptools_is_the_default_backend(bench: Bench, content: bytes, filename: str) -> None:
    bench.use(content, filename)
    bench.realise()
    assert (bench.engine.tasks[0]["backend"], bench.engine.tasks[0]["backend-path"]) == (
        "setuptools.build_meta:__legacy__",
        [],
    )


def test_the_backend_of_a_zip_archive(bench: Bench) -> None:
    bench.use(zipped_sdist({"docs/pyproject.toml": "broken", "pyproject.toml": BACKEND}), "demo-1.0.zip")
    bench.realise()
    assert bench.engine.tasks[0]["backend"] == "flit_core.buildapi"


@pytest.mark.parametrize(
    ("text", "brief"),
    [
        ("[build-system", "invalid pyproject.toml"),
        ("build-system = 1", "invalid pyproject.toml"),
        ("[build-system]\nbuild-backend = 1", "invalid pyproject.toml"),
        ("[build-system]\nbackend-path = [1]", "invalid pyproject.toml"),
        ("[build-system]\nbackend-path = 1", "invalid pyproject.toml"),
        ("[build-system]\nbackend-path = ['../x']", "its backend-path '../x' is outside of the sdist"),
        ("[build-system]\nbackend-path = ['/usr']", "its backend-path '/usr' is outside of the sdist"),
    ],
)
def test_an_invalid_pyproject_is_an_error(bench: Bench, text: str, brief: str) -> None:
    bench.use(sdist({"pyproject.toml": text}))
    with pytest.raises(BuildError) as caught:
        bench.realise()
    assert caught.value.brief == f"demo-1.0.tar.gz: {brief}"
    assert bench.engine.builds == 0


@pytest.mark.parametrize("filename", ["demo-1.0.tar.gz", "demo-1.0.zip"])
@pytest.mark.parametrize("content", [b"", b"<html>", sdist({"pyproject.toml": BACKEND})[:60]])
def test_a_damaged_sdist_is_an_error(bench: Bench, content: bytes, filename: str) -> None:
    bench.use(content, filename)
    with pytest.raises(IntegrityError, match=f"{filename}: cannot be read as an archive"):
        bench.realise()


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("Name: other\nVersion: 1.0\n", "name: is 'demo', but PKG-INFO in demo-1.0.tar.gz says 'other'"),
        ("Name: Demo\nVersion: 1.1\n", "version: is '1.0', but PKG-INFO in demo-1.0.tar.gz says '1.1'"),
        (
            "Summary: x\n\nName: demo\nVersion: 1.0\n",
            "name: is 'demo', but PKG-INFO in demo-1.0.tar.gz says ''",
        ),
    ],
)
def test_the_sdist_of_another_package_is_not_built(bench: Bench, header: str, problem: str) -> None:
    bench.use(sdist({"PKG-INFO": f"Metadata-Version: 1.0\n{header}"}))
    with pytest.raises(LockError) as caught:
        bench.realise()
    position = [python.name for python in bench.lock.pythons].index("demo")
    assert caught.value.brief == f"runtime.lock/8.0.0/linux-amd64.toml: python[{position}].{problem}"
    assert bench.engine.builds == 0


def test_the_sdist_of_a_patched_package_has_the_published_version(bench: Bench) -> None:
    bench.use(sdist({"PKG-INFO": "Name: demo\nVersion: 1.0.0\n"}))
    (other, demo) = sorted(bench.lock.pythons, key=lambda python: python.name, reverse=True)
    patched = replace(demo, version="1.0+astro.1", patches=(LockedPatch(id="more", sha256=Sha256("e" * 64)),))
    bench.lock = replace(bench.lock, pythons=(patched, other))
    assert list(bench.realise()) == ["demo"]


def test_a_build_requirement_that_is_another_wheel(bench: Bench) -> None:
    mistaken = replace(bench.shared, sha256=bench.keep(make_wheel("setuptools", "1.1").content))
    bench.lock = replace(bench.lock, build_pythons=(mistaken, bench.own))
    with pytest.raises(LockError, match=r"python-build\[0\]\.version: is '1\.0', .* says '1\.1'"):
        bench.realise()
    damaged = replace(bench.shared, sha256=bench.keep(b"damaged"))
    bench.lock = replace(bench.lock, build_pythons=(damaged, bench.own))
    with pytest.raises(IntegrityError, match=r"setuptools-1\.0-py3-none-any\.whl: cannot be read as a wheel"):
        bench.realise()


@pytest.mark.parametrize(("filenames", "number"), [((), 0), (("a.whl", "b.whl"), 2)])
def test_a_build_must_produce_one_wheel(bench: Bench, filenames: tuple[str, ...], number: int) -> None:
    bench.engine.filenames = filenames
    with pytest.raises(BuildError, match=f"building it produced {number} wheels, expected one"):
        bench.realise()
