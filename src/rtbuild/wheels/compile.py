"""Byte-compile wheels in one container.

The tasks and the sources are written to a build context, one container compiles everything, and archives of compiled
modules are exported from it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rtbuild.errors import BuildError
from rtbuild.inside import read_script
from rtbuild.lockfile.model import Lock
from rtbuild.progress import unfinished
from rtbuild.wheels.environment import BuildEnvironment
from rtbuild.wheels.scheme import Scheme
from rtbuild.wheels.tools import place_tools
from rtbuild.wheels.wheel import Wheel

SCRIPT = "compile_wheels.py"
"""The script that compiles, in `rtbuild.inside`."""

_TASK_LIMIT = 2 << 20
"""Bytes of source after which a wheel's next task begins, about 0.2 s of compiling. Compiled bytes depend on it."""

Module = tuple[str, int, int, int]
"""Installed path, offset in the wheel, stored size in bytes, 1 if deflated."""

_PROGRESS_TASK = "compile wheels"

# The exec form, because the root has no shell. Not isolated mode (-I), because it ignores PYTHONHASHSEED.
_DOCKERFILE = """\
FROM scratch AS compile
ADD tools.tar /
ENV PYTHONHASHSEED=0 LC_ALL=C.UTF-8 TZ=UTC
RUN --mount=type=bind,source=work,target=/rtbuild/work \\
    ["{python}", "-s", "-S", "-B", "/rtbuild/work/{script}", \\
     "/rtbuild/work/tasks", "/rtbuild/work/wheels", "/rtbuild/out", "0"]
FROM scratch
COPY --from=compile /rtbuild/out /
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileTask:
    """Modules of one wheel that one process compiles; `weight` is the size of their source in bytes."""

    modules: tuple[Module, ...]
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileWork:
    """A wheel to compile and its tasks. `name` is unique among the wheels and a valid file name.

    `mtime` is that of the wheel's files in the layer, in seconds since 1970; each compiled module holds it.
    """

    name: str
    wheel: Path
    mtime: int
    tasks: tuple[CompileTask, ...]


def compile_wheels(
    work: Sequence[CompileWork],
    *,
    scheme: Scheme,
    tools: Lock,
    folder: Path,
    environment: BuildEnvironment,
) -> Mapping[str, tuple[Path, ...]]:
    """Compile all of `work` in one container and return the archives of each wheel by the work's name.

    All processors of the engine are used.

    Args:
        work: The wheels to compile.
        scheme: Where their files are installed.
        tools: The lock whose Python packages make up the container, which runs on that lock's platform.
        folder: An empty folder; the archives are written below it.
        environment: The environment of the build.

    Raises:
        BuildError: if the container fails or does not return every archive.
        EngineError: if the engine fails.
    """
    queue = sorted(
        ((task, number, wheel) for wheel in work for number, task in enumerate(wheel.tasks)),
        key=lambda queued: (-queued[0].weight, queued[2].name, queued[1]),
    )
    archives: dict[str, list[Path]] = {wheel.name: [] for wheel in work}
    if not queue:
        return dict.fromkeys(archives, ())
    context, out = folder / "context", folder / "out"
    (context / "work" / "tasks").mkdir(parents=True)
    (context / "work" / "wheels").mkdir()
    for position, (task, _, wheel) in enumerate(queue):
        name = f"{position:06}"
        modules = _write_sources(task, wheel.wheel, context / "work" / "wheels" / name)
        text = json.dumps({"wheel": name, "mtime": wheel.mtime, "modules": modules})
        (context / "work" / "tasks" / name).write_text(text, encoding="utf-8")
        archives[wheel.name].append(out / name)
    (context / "work" / SCRIPT).write_bytes(read_script(SCRIPT))
    place_tools(tools, context / "tools.tar", environment.store)
    python = f"/usr/bin/python{scheme.python}"
    (context / "Dockerfile").write_text(_DOCKERFILE.format(python=python, script=SCRIPT))
    log, progress = environment.log("compile"), environment.progress
    progress.begin(_PROGRESS_TASK, total=len(queue), unit="parts")
    outcome = ""
    try:
        environment.engine.build(
            context,
            log=log,
            title="compiling wheels",
            output_local=out,
            platform=tools.platform,
            on_line=lambda line: progress.advance(_PROGRESS_TASK) if " ended " in line else None,
        )
        outcome = "compiled"
    finally:
        progress.end(_PROGRESS_TASK, outcome or unfinished())
    missing = [path.name for paths in archives.values() for path in paths if not path.is_file()]
    if missing:
        raise BuildError(
            f"compiling wheels: the container did not return {len(missing)} of {len(queue)} archives",
            hint=f"read the log: {log}",
        )
    return {name: tuple(paths) for name, paths in archives.items()}


def _write_sources(task: CompileTask, wheel: Path, target: Path) -> list[Module]:
    """Copy the sources of `task` from `wheel` to `target` as they are stored; return the modules with the new offsets.

    Only the sources are sent to the engine. Measured on the wheels of an Airflow release: 45 of 190 MB, at about
    100 MB/s.
    """
    modules: list[Module] = []
    position = 0
    with wheel.open("rb") as source, target.open("wb") as out:
        for path, offset, size, deflated in task.modules:
            source.seek(offset)
            out.write(source.read(size))
            modules.append((path, position, size, deflated))
            position += size
    return modules


def compile_tasks(wheel: Wheel, scheme: Scheme, excluded: Collection[str] = ()) -> tuple[CompileTask, ...]:
    """Return the tasks in which to compile `wheel`.

    They depend on the arguments alone, because modules compiled in the same process affect each other's bytecode. Only
    importable modules are compiled; pip also compiles scripts whose names end in `.py`.

    Args:
        wheel: The wheel.
        scheme: Where its files are installed.
        excluded: Absolute paths that its tree leaves out: sources, or compiled modules alone. These are not compiled.
    """
    modules = (path for path in wheel.parts if scheme.is_module(path) and path not in excluded)
    return tuple(_split(wheel, sorted(path for path in modules if scheme.compiled(path) not in excluded)))


def _split(wheel: Wheel, paths: Sequence[str]) -> Iterator[CompileTask]:
    modules: list[Module] = []
    weight = 0
    for path in paths:
        part = wheel.parts[path]
        if part.source is None:
            continue
        if modules and weight + part.size > _TASK_LIMIT:
            yield CompileTask(modules=tuple(modules), weight=weight)
            modules, weight = [], 0
        offset, size, deflated = wheel.place(part.source)
        modules.append((path, offset, size, int(deflated)))
        weight += part.size
    if modules:
        yield CompileTask(modules=tuple(modules), weight=weight)
