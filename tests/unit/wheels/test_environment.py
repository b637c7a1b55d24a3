"""The environment of a build."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

from rtbuild.engine.engine import Engine
from rtbuild.oci.layout import Layout
from rtbuild.progress import Silent
from rtbuild.settings import Settings
from rtbuild.store.store import Store
from rtbuild.wheels.environment import BuildEnvironment
from tests.fakes.environments import Notes, environment


def test_the_engine_is_opened_once_and_named(tmp_path: Path) -> None:
    store, notes = Store.open(tmp_path), Notes()
    opened = []

    def open_engine() -> Engine:
        opened.append("opened")
        return cast(Engine, "Docker 28")

    built_in = BuildEnvironment(
        store=store,
        settings=Settings(store=tmp_path, engine_dir=tmp_path / "engine"),
        open_engine=open_engine,
        progress=notes,
    )
    assert notes.texts == []
    assert built_in.engine is built_in.engine
    assert (opened, notes.texts) == (["opened"], ["engine: Docker 28"])


def test_the_settings_choose_jobs_and_compressor(tmp_path: Path) -> None:
    built_in = environment(Store.open(tmp_path), compression="gzip", jobs=3)
    assert built_in.jobs == 3
    assert built_in.compressor.name.startswith("deflate")
    assert isinstance(built_in.layout, Layout)


def test_logs_are_in_the_store(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    log = environment(store).log("8.0.0-python")
    assert log.parent == store.logs
    assert log.name.endswith("-8.0.0-python.log")


def test_what_a_step_prints_is_told_as_part_of_a_task(tmp_path: Path) -> None:
    details: list[tuple[str, str]] = []

    class Details(Silent):
        def detail(self, task: str, text: str) -> None:
            details.append((task, text))

    tell = replace(environment(Store.open(tmp_path)), progress=Details()).follow("layer python")
    for line in ("#7 [1/1] RUN dpkg", "#7 1.2 Setting up libc6", "#7 1.3", "#7 DONE 1.4s"):
        tell(line)
    assert details == [("layer python", "Setting up libc6")]
