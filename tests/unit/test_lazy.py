"""Packages whose public names load their modules when they are first used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import rtbuild.engine

INIT = """
from __future__ import annotations
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from shop import counter as counter
    from shop.counter import sell as sell
    from shop.counter import buy as purchase
else:
    from rtbuild.lazy import lazy_names
    __getattr__, __dir__ = lazy_names(__name__)
"""
COUNTER = """
def sell(): return "sold"
def buy(): return "bought"
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").write_text(INIT)
    (tmp_path / "shop/counter.py").write_text(COUNTER)
    return tmp_path


def run(package: Path, script: str) -> str:
    environment = {"PYTHONPATH": ":".join([str(package), *sys.path])}
    command = [sys.executable, "-c", f"import shop, sys; {script}"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_a_name_loads_its_module_when_it_is_first_used(package: Path) -> None:
    loaded = "'shop.counter' in sys.modules"
    assert run(package, f"print({loaded}, shop.sell(), {loaded}, vars(shop)['sell'] is shop.sell)") == (
        "False sold True True"
    )


def test_names_may_be_modules_and_have_another_name_in_their_module(package: Path) -> None:
    assert run(package, "print(shop.counter.sell(), shop.purchase())") == "sold bought"


def test_all_public_names_are_listed(package: Path) -> None:
    names = "['counter', 'purchase', 'sell']"
    assert run(package, "print(shop.__all__, set(shop.__all__) <= set(dir(shop)))") == f"{names} True"


def test_a_misspelt_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'rtbuild\.engine' has no attribute 'strat'"):
        rtbuild.engine.strat  # type: ignore[attr-defined]  # noqa: B018


def test_the_engine_room_is_cheap_to_import_and_offers_its_functions() -> None:
    script = "import rtbuild.engine as e, sys; print([m for m in ('docker', 'python_on_whales') if m in sys.modules])"
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert process.stdout == "[]\n"
    assert rtbuild.engine.__all__ == ["Engine", "EngineStatus", "find", "start", "status", "stop"]  # type: ignore[attr-defined]
