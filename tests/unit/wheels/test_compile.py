"""Compiling wheels: how they are divided into tasks, what the engine gets, and what it must return."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rtbuild.digest import sha256_file
from rtbuild.errors import BuildError
from rtbuild.lockfile.model import Lock
from rtbuild.store.store import Store
from rtbuild.wheels.compile import CompileWork, compile_tasks, compile_wheels
from rtbuild.wheels.compiled import open_compiled
from rtbuild.wheels.environment import BuildEnvironment
from rtbuild.wheels.scheme import debian_scheme
from rtbuild.wheels.wheel import open_wheel
from tests.fakes import locks
from tests.fakes.environments import environment
from tests.fakes.local_engine import LocalEngine, as_engine
from tests.fakes.wheels import make_deb, make_wheel

SCHEME = debian_scheme("3.11")
LIBRARY = SCHEME.library
MTIME = 1_683_000_000


def work(path: Path, files: dict[str, str]) -> CompileWork:
    """Make a wheel and return the work of compiling it."""
    wheel = make_wheel(path, files)
    with open_wheel(wheel, SCHEME) as opened:
        return CompileWork(name=path.name, wheel=wheel, mtime=MTIME, tasks=compile_tasks(opened, SCHEME))


class Bench:
    """An engine, and a store with the Python of a lock."""

    def __init__(self, tmp_path: Path) -> None:
        store = Store.open(tmp_path / "store")
        deb = make_deb(tmp_path / "python.deb", [("./usr/bin/python3.11", b"")])
        store.artifact_path(sha256_file(deb)).write_bytes(deb.read_bytes())
        self.engine = LocalEngine()
        self.tools: Lock = locks.lock(debs=(replace(locks.deb("python3.11-minimal"), sha256=sha256_file(deb)),))
        self.environment: BuildEnvironment = environment(store, as_engine(self.engine))
        self.folder = tmp_path / "work"
        self.folder.mkdir()

    def compile(self, *wheels: CompileWork) -> dict[str, dict[str, bytes]]:
        """Compile `wheels` and return the modules of each one by path."""
        archives = compile_wheels(
            wheels, scheme=SCHEME, tools=self.tools, folder=self.folder, environment=self.environment
        )
        modules = {}
        for name, paths in archives.items():
            with open_compiled(paths) as opened:
                modules[name] = dict(opened)
        return modules


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_large_wheels_are_divided_the_same_way_every_time(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {f"m{number}.py": "x = 1  # " + "." * 400_000 for number in range(12)}
    files["data.json"] = "{}"
    forwards = make_wheel(tmp_path / "forwards.whl", files)
    backwards = make_wheel(tmp_path / "backwards.whl", files, backwards=True)
    with open_wheel(forwards, SCHEME) as wheel, open_wheel(backwards, SCHEME) as other:
        tasks = compile_tasks(wheel, SCHEME)
        assert len(tasks) == 3
        parts = [[module[0] for module in task.modules] for task in tasks]
        assert parts == [[module[0] for module in task.modules] for task in compile_tasks(other, SCHEME)]
        assert sum(map(len, parts)) == 12
        assert sum(task.weight for task in tasks) == sum(
            wheel.parts[f"{LIBRARY}/{name}"].size for name in files if name.endswith(".py")
        )


def test_only_importable_modules_are_compiled(tmp_path: Path) -> None:
    files = {"demo/a.py": "", "demo/data.txt": "", "demo-1.0.data/scripts/tool.py": "", "demo-1.0.data/data/x.py": ""}
    (task,) = work(tmp_path / "demo", files).tasks
    assert [module[0] for module in task.modules] == [f"{LIBRARY}/demo/a.py"]


def test_modules_that_the_tree_leaves_out_are_not_compiled(tmp_path: Path) -> None:
    sizes = {"m0": 1_500_000, "m1": 400_000, "m2": 900_000, "m3": 900_000}
    wheel = make_wheel(tmp_path / "demo.whl", {f"{name}.py": "#" * size for name, size in sizes.items()})
    excluded = {f"{LIBRARY}/m0.py", SCHEME.compiled(f"{LIBRARY}/m2.py"), f"{LIBRARY}/missing.py"}
    with open_wheel(wheel, SCHEME) as opened:
        (task,) = compile_tasks(opened, SCHEME, excluded)
    assert [module[0] for module in task.modules] == [f"{LIBRARY}/m1.py", f"{LIBRARY}/m3.py"]
    assert task.weight == sizes["m1"] + sizes["m3"]


def test_each_wheel_gets_its_own_modules(bench: Bench, tmp_path: Path) -> None:
    alpha, beta = work(tmp_path / "alpha", {"alpha.py": "x = 1\n"}), work(tmp_path / "beta", {"beta.py": "y = 2\n"})
    modules = bench.compile(alpha, beta)
    assert {name: set(paths) for name, paths in modules.items()} == {
        "alpha": {f"{LIBRARY}/alpha.py"},
        "beta": {f"{LIBRARY}/beta.py"},
    }


def test_the_engine_gets_only_the_sources(bench: Bench, tmp_path: Path) -> None:
    wheel = work(tmp_path / "demo", {"demo.py": "x = 1\n", "data.bin": "large " * 10_000})
    bench.compile(wheel)
    context = bench.folder / "context"
    (task,) = (context / "work/tasks").iterdir()
    ((path, offset, size, _),) = json.loads(task.read_text())["modules"]
    assert (path, offset) == (f"{LIBRARY}/demo.py", 0)
    assert (context / "work/wheels" / task.name).stat().st_size == size < 100


def test_without_modules_there_is_no_container(bench: Bench, tmp_path: Path) -> None:
    assert bench.compile(work(tmp_path / "demo", {"data.txt": ""})) == {"demo": {}}
    assert bench.engine.builds == []


def test_a_missing_archive_is_an_error(bench: Bench, tmp_path: Path) -> None:
    bench.engine.spoil = lambda out: (out / "000000").unlink()
    with pytest.raises(BuildError, match="did not return 1 of 1 archives") as caught:
        bench.compile(work(tmp_path / "demo", {"demo.py": ""}))
    assert "compile.log" in str(caught.value.hint)
