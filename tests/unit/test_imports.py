"""The import contracts of pyproject.toml cover every room."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PACKAGE = PROJECT / "src" / "rtbuild"
ROOMS = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} | {path.stem for path in PACKAGE.glob("[!_]*.py")}
LINTER = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
CONTRACTS = {contract["name"]: contract for contract in LINTER["contracts"]}


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([str(program), "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)


def test_a_room_in_no_contract_fails_the_lint(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "rtbuild", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    kept = lint_imports(tmp_path)
    assert (kept.returncode, " 0 broken" in kept.stdout) == (0, True), kept.stdout
    (tmp_path / "rtbuild" / "newroom").mkdir()
    (tmp_path / "rtbuild" / "newroom" / "__init__.py").write_text("")
    broken = lint_imports(tmp_path)
    assert broken.returncode == 1
    assert "not listed as layers:\n\n- rtbuild.newroom\n" in broken.stdout


@pytest.mark.parametrize(
    ("contract", "allowed"),
    [
        ("Only the engine room drives Docker", "engine"),
        ("Only the resolve room uses pip and pip-tools", "resolve"),
        ("Only the mirror room speaks HTTP", "mirror"),
        ("Only the command line prints", "cli"),
    ],
)
def test_a_library_is_forbidden_to_every_other_room(contract: str, allowed: str) -> None:
    listed = {module.split(".")[1] for module in CONTRACTS[contract]["source_modules"]}
    assert listed == ROOMS - {allowed}


def test_pip_is_forbidden_to_every_module_of_the_mirror_room_but_one() -> None:
    listed = CONTRACTS["Only the resolve room uses pip and pip-tools"]["source_modules"]
    modules = {f"rtbuild.mirror.{path.stem}" for path in (PACKAGE / "mirror").glob("[!_]*.py")}
    assert {name for name in listed if name.startswith("rtbuild.mirror")} == modules - {"rtbuild.mirror.find"}


def test_no_import_is_excused() -> None:
    assert not [name for name, contract in CONTRACTS.items() if contract.get("ignore_imports")]
