"""Build environments for tests, and a progress listener."""

from __future__ import annotations

from rtbuild.engine.engine import Engine
from rtbuild.progress import Progress, Silent
from rtbuild.settings import Settings
from rtbuild.store.store import Store
from rtbuild.wheels.environment import BuildEnvironment


def environment(
    store: Store,
    engine: Engine | None = None,
    *,
    compression: str = "zstd",
    jobs: int = 2,
    progress: Progress | None = None,
) -> BuildEnvironment:
    """Return an environment with `store`. Without `engine`, a test that needs one fails."""

    def open_engine() -> Engine:
        assert engine is not None, "this test has no engine"
        return engine

    return BuildEnvironment(
        store=store,
        settings=Settings(store=store.root, engine_dir=store.root / "no-engine", compression=compression, jobs=jobs),
        open_engine=open_engine,
        progress=progress or Silent(),
    )


class Notes(Silent):
    """A progress listener that collects notes in `texts`."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)
