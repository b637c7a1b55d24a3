"""An engine that runs the scripts of wheel builds with this Python instead of in a container."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from rtbuild.engine.engine import Engine
from rtbuild.errors import BuildError
from rtbuild.platform import Platform


class LocalEngine:
    """An engine whose `build` takes what `Engine.build` takes."""

    def __init__(self) -> None:
        self.builds: list[str] = []
        """The title of each build."""
        self.fail = False
        """Whether the next builds fail."""
        self.spoil: Callable[[Path], None] = lambda out: None
        """Called with the output folder after each build."""

    def build(
        self,
        context: Path,
        *,
        log: Path,
        title: str,
        output_local: Path,
        platform: Platform,
        on_line: Callable[[str], None],
        **_: Any,
    ) -> None:
        """Run compile_wheels.py on the context, as its Dockerfile does."""
        self.builds.append(title)
        assert (context / "tools.tar").stat().st_size
        assert "compile_wheels.py" in (context / "Dockerfile").read_text()
        if self.fail:
            raise BuildError(f"{title}: failed on request")
        work = context / "work"
        compile_in(work, output_local, on_line)
        self.spoil(output_local)


def compile_in(work: Path, out: Path, on_line: Callable[[str], None] = lambda line: None, *, jobs: int = 2) -> None:
    """Run the compile script on the folder `work`."""
    arguments = [str(work / "compile_wheels.py"), str(work / "tasks"), str(work / "wheels"), str(out), str(jobs)]
    done = subprocess.run(
        [sys.executable, "-s", "-S", "-B", *arguments],
        env={"PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BuildError("compiling failed", details=done.stderr)
    for line in done.stdout.splitlines():
        on_line(f"#5 0.1 {line}")


def as_engine(engine: LocalEngine) -> Engine:
    """Return the fake with the type of the real engine."""
    return cast(Engine, engine)
