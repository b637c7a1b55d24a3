"""The suite's own rules (tests/conftest.py), tried on a small suite with the same configuration."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]

MODULES = {
    "build/test_runs.py": "def test_it() -> None: ...",
    "dist/test_lost.py": "def test_it() -> None: ...",
    "misnamed.py": "def test_it() -> None: ...",
    "test_empty.py": "",
    "test_module.py": "import pytest\npytest.importorskip('no_such_module')\ndef test_it() -> None: ...",
    "test_marks.py": """
import pytest

@pytest.mark.skip(reason="by mark")
def test_skip() -> None: ...

@pytest.mark.skipif(True, reason="by condition")
def test_skipif() -> None: ...

@pytest.mark.xfail
def test_xfail() -> None:
    assert False

def test_call() -> None:
    pytest.skip("by call")

@pytest.fixture
def fixture() -> None:
    pytest.skip("by fixture")

def test_fixture(fixture: None) -> None: ...
""",
}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest prints for a suite in which `dist` is a folder that it does not look into."""
    folder = tmp_path_factory.mktemp("suite")
    shutil.copy(PROJECT / "pyproject.toml", folder)
    (folder / "tests").mkdir()
    shutil.copy(PROJECT / "tests" / "conftest.py", folder / "tests")
    for name, text in MODULES.items():
        path = folder / "tests" / "unit" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    options = ["-p", "no:cacheprovider", "--continue-on-collection-errors", "-o", "norecursedirs=dist"]
    command = [sys.executable, "-m", "pytest", *options]
    wide = {**os.environ, "COLUMNS": "200"}
    run = subprocess.run(command, cwd=folder, env=wide, capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stderr
    return run.stdout


def test_a_folder_of_any_name_is_collected(result: str) -> None:
    assert "tests/unit/build" not in summary(result)
    assert " 1 passed" in result


@pytest.mark.parametrize("module", ["dist/test_lost.py", "misnamed.py", "test_empty.py"])
def test_a_module_that_is_not_collected_fails(result: str, module: str) -> None:
    assert f"FAILED ::tests/unit/{module} - Failed: no test of this module was collected" in summary(result)


@pytest.mark.parametrize(
    "test", ["test_marks.py::test_skip", "test_marks.py::test_skipif", "test_marks.py::test_fixture", "test_module.py"]
)
def test_a_skip_before_the_test_is_an_error(result: str, test: str) -> None:
    assert re.search(rf"^ERROR tests/unit/{re.escape(test)}( |$)", summary(result), re.MULTILINE)


@pytest.mark.parametrize("name", ["test_call", "test_xfail"])
def test_a_skip_in_the_test_is_a_failure(result: str, name: str) -> None:
    assert f"FAILED tests/unit/test_marks.py::{name}" in summary(result)


def test_the_reason_of_a_skip_is_printed(result: str) -> None:
    for reason in ("by mark", "by condition", "by call", "by fixture", "could not import 'no_such_module'"):
        assert reason in result


def summary(result: str) -> str:
    return result.partition("short test summary info")[2]
