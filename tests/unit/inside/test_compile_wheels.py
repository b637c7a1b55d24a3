"""The compile script: bytecode depends on the task alone, not on other tasks, their order or the number of workers.

Here it runs on the Python that runs the tests; the integration tests run it on the target's.
"""

from __future__ import annotations

import importlib.util
import json
import marshal
import os
import random
import shutil
import struct
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from rtbuild.errors import BuildError
from rtbuild.inside.compile_wheels import Rewriter, compile_module, has_unstable_set, hashed_by_address, stable
from rtbuild.wheels.compile import compile_tasks
from rtbuild.wheels.compiled import open_compiled
from rtbuild.wheels.scheme import debian_scheme
from rtbuild.wheels.wheel import open_wheel
from tests.fakes.local_engine import compile_in
from tests.fakes.wheels import make_wheel

SCHEME = debian_scheme("3.11")
LIBRARY = SCHEME.library
MTIME = 1_683_000_000


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder as the container gets it, with a few wheels whose modules share names and constants."""
    folder = tmp_path / "work"
    (folder / "tasks").mkdir(parents=True)
    (folder / "wheels").mkdir()
    script = resources.files("rtbuild.inside").joinpath("compile_wheels.py")
    (folder / "compile_wheels.py").write_bytes(script.read_bytes())
    for number in range(6):
        names = random.Random(number).choices(["alpha", "beta", "path", "name", "value", "os"], k=6)
        source = "import os\n" + "".join(
            f"def {name}_{number}(self, {name}):\n    return ({name!r}, 'shared', {place})\n"
            for place, name in enumerate(names)
        )
        add_task(folder, f"wheel{number}", {f"p{number}/m{place}.py": source for place in range(4)})
    return folder


def add_task(folder: Path, name: str, files: dict[str, str | bytes], position: str | None = None) -> None:
    wheel = make_wheel(folder / "wheels" / name, files)
    with open_wheel(wheel, SCHEME) as opened:
        for number, task in enumerate(compile_tasks(opened, SCHEME)):
            text = json.dumps({"wheel": name, "mtime": MTIME, "modules": task.modules})
            (folder / "tasks" / f"{position or name}.{number}").write_text(text)


def compiled(work: Path, out: Path, jobs: int = 1) -> dict[str, bytes]:
    compile_in(work, out, jobs=jobs)
    return {path.name: path.read_bytes() for path in out.iterdir()}


def test_workers_order_and_other_tasks_do_not_matter(work: Path, tmp_path: Path) -> None:
    together = compiled(work, tmp_path / "together", jobs=1)
    assert len(together) == 6
    assert compiled(work, tmp_path / "parallel", jobs=4) == together
    for name in together:
        alone = tmp_path / f"alone-{name}"
        shutil.copytree(work, alone)
        for task in (alone / "tasks").iterdir():
            if task.name != name:
                task.unlink()
        assert compiled(alone, tmp_path / f"out-{name}") == {name: together[name]}


def test_a_compiled_module_can_be_imported(work: Path, tmp_path: Path) -> None:
    compiled(work, tmp_path / "out")
    with open_compiled([tmp_path / "out" / "wheel0.0"]) as modules:
        path = f"{LIBRARY}/p0/m1.py"
        pyc = modules[path]
        assert set(modules) == {f"{LIBRARY}/p0/m{place}.py" for place in range(4)}
    assert pyc[:4] == importlib.util.MAGIC_NUMBER
    assert struct.unpack("<2I", pyc[4:12]) == (0, MTIME), "PEP 552: by the source's time and size"
    code = marshal.loads(pyc[16:])
    assert code.co_filename == path
    names: dict[str, object] = {}
    exec(code, names)
    assert any(name.endswith("_0") for name in names)


def test_modules_that_do_not_compile_are_left_out(work: Path, tmp_path: Path) -> None:
    bad: dict[str, str | bytes] = {
        "a.py": "print 'two'\n",
        "b.py": "{{ cookiecutter.name }} = \n",
        "c.py": b"\0",
        "d.py": b"# coding: latin-9000\n",
        "e.py": b"x = '\xff'\n",
        "good.py": "x = 1\n",
        "warns.py": "x = 1 is 1\n",
        "bom.py": b"\xef\xbb\xbfx = 1\n",
        "latin.py": b"# coding: latin-1\nx = '\xe9'\n",
    }
    add_task(work, "bad", bad)
    compiled(work, tmp_path / "out")
    with open_compiled([tmp_path / "out" / "bad.0"]) as modules:
        assert {path.rpartition("/")[2] for path in modules} == {"good.py", "warns.py", "bom.py", "latin.py"}


def test_a_random_hash_seed_is_refused(work: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-S",
        str(work / "compile_wheels.py"),
        str(work / "tasks"),
        str(work / "wheels"),
        "x",
        "1",
    ]
    done = subprocess.run(command, env={}, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode != 0
    assert "PYTHONHASHSEED" in done.stderr


def test_a_damaged_wheel_fails_the_build(work: Path, tmp_path: Path) -> None:
    task = work / "tasks" / "wheel3.0"
    content = json.loads(task.read_text())
    content["modules"][0][1] += 3
    task.write_text(json.dumps(content))
    with pytest.raises(BuildError) as caught:
        compiled(work, tmp_path / "out", jobs=2)
    assert "wheel3.0" in str(caught.value.details)


VALUES = [
    *(None, ..., True, False, 0, -1, 2**31 - 1, -(2**31), 2**31, -(2**31) - 1, 2**90 + 12345, -(2**64)),
    *(1.5, -0.0, 1e300, 2 + 3j, b"", b"\0\xff", "", "name", "\xe9\u20ac", "\ud800", "x" * 300, "\xe9" * 300),
    *((), (1, ("a", None)), tuple(range(300)), frozenset({1, None, "a", (2, None)})),
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_marshal_reads_what_the_rewriter_writes(value: Any) -> None:
    read = marshal.loads(Rewriter(marshal.dumps((value, value))).rewritten())
    assert read == (value, value)
    assert repr(read[0]) == repr(value) or isinstance(value, frozenset)
    assert [type(one) for one in read] == [type(value)] * 2


CODE = """
import os as system
class Outer:
    'documented'
    value: int = 1
    def method(self, first, /, second=..., *rest, only=(None, 'a'), **others):
        inside = {None, 1, 'a', (2, ...)}
        def closure(x):
            nonlocal first
            first = [y for y in rest if y in {None, 'b', ...} and x]
            return super().__init__, __class__, first
        try:
            with open(inside) as file:
                yield from closure(lambda z: f'{z!r} {inside} \\ud800')
        except (ValueError, *rest) as error:
            raise SystemExit(error) from None
        finally:
            del second
async def later(argument):
    async for one in argument:
        await one
"""


def test_rewritten_bytecode_is_what_was_compiled_whatever_it_uses() -> None:
    """Line and exception tables, closures, comprehensions: not all Pythons have the same fields in code objects."""
    code = compile(CODE, "/demo.py", "exec", 0, True, 0)
    content = stable(marshal.dumps(code), code)
    assert content != marshal.dumps(code)
    assert marshal.loads(content) == code
    assert stable(marshal.dumps(marshal.loads(content)), code) == content, "it depends on the code alone"


def test_bytecode_that_cannot_be_loaded_as_it_was_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    code = compile(CODE, "/demo.py", "exec", 0, True, 0)
    with pytest.raises(ValueError, match="understood"):
        stable(marshal.dumps(code) + b"N", code)
    with pytest.raises(ValueError, match=r"unknown type '\{'"):
        stable(marshal.dumps({"a": 1}), code)
    with pytest.raises(ValueError, match=r"/demo\.py: the rewritten bytecode is not what was compiled"):
        stable(marshal.dumps(compile("x = {None, 2}", "/demo.py", "exec")), code)


def test_python_takes_a_module_until_its_source_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The import system decides, as in the image: a hot fix counts, and nothing else is compiled again."""
    monkeypatch.setattr(sys, "pycache_prefix", None)  # beside its source, as in the image
    source = tmp_path / "hot.py"
    pyc = Path(importlib.util.cache_from_source(str(source)))

    def fixed(text: str, *, mtime: int) -> str:
        source.write_text(text)
        os.utime(source, (mtime, mtime))
        code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import hot"
        command = [sys.executable, "-I", "-B", "-v", "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return f"{done.stdout.strip()} {'matches' if f'matches {source}' in done.stderr else 'compiled'}"

    for fixed_module in ("print('old', 1 in {None, 1})\n", "print('old')\n"):
        module = compile_module(fixed_module.encode(), str(source), MTIME)
        assert module is not None
        pyc.parent.mkdir(exist_ok=True)
        pyc.write_bytes(module)
        assert fixed(fixed_module, mtime=MTIME).endswith("matches")
        assert fixed(fixed_module.replace("old", "new"), mtime=MTIME + 1).startswith("new")
        assert fixed(fixed_module.replace("old", "newer"), mtime=MTIME).startswith("newer")
        assert fixed(fixed_module.replace("old", "older"), mtime=MTIME - 1).endswith("compiled")


def test_sets_whose_order_depends_on_addresses_are_recognised() -> None:
    assert has_unstable_set(compile("def f(x):\n    return x in {None, 1}", "f", "exec"))
    assert has_unstable_set(compile("x in {(1, ...), 2}", "f", "exec"))
    assert not has_unstable_set(compile("x in {'a', 1}, (None, ...)", "f", "exec"))
    assert hashed_by_address((1, (2, None)))
