"""Byte-compiling wheels: what is to be done goes into a folder, one container does all of it, archives of modules come
back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rtbuild.errors import BuildError
from rtbuild.inside import read_script
from rtbuild.lockfile.model import Lock
from rtbuild.wheels.environment import BuildEnvironment
from rtbuild.wheels.scheme import Scheme
from rtbuild.wheels.toolroot import tool_debs, unpack_debs
from rtbuild.wheels.wheel import Wheel

SCRIPT = "compile_wheels.py"
"""The script that compiles, in `rtbuild.inside`."""

_PART_LIMIT = 2 << 20
"""Bytes of source after which a wheel's next task begins, about 0.2 s of compiling. Compiled bytes depend on it."""

Module = tuple[str, int, int, int]
"""Installed path, offset in the wheel, stored size, deflated or not."""

_TASK = "compile wheels"

# The exec form, because the root has no shell. Isolated mode (-I) would ignore PYTHONHASHSEED.
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
    """Modules of one wheel that one process compiles, and the bytes of source that they are."""

    modules: tuple[Module, ...]
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileWork:
    """A wheel to compile: its file and its tasks. `name` is unique among the work, and fit to be a file's."""

    name: str
    wheel: Path
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

    The container is made of the Python packages of the lock `tools`, for that lock's platform. The archives are written
    below `folder`, which must be empty. All processors of the engine are used.

    Raises:
        BuildError: if the container fails or leaves out a part.
        EngineError: if the engine fails.
    """
    queue = sorted(
        ((task, number, one) for one in work for number, task in enumerate(one.tasks)),
        key=lambda item: (-item[0].weight, item[2].name, item[1]),
    )
    archives: dict[str, list[Path]] = {one.name: [] for one in work}
    if not queue:
        return dict.fromkeys(archives, ())
    context, out = folder / "context", folder / "out"
    (context / "work" / "tasks").mkdir(parents=True)
    (context / "work" / "wheels").mkdir()
    for position, (task, _, one) in enumerate(queue):
        name = f"{position:06}"
        modules = _write_sources(task, one.wheel, context / "work" / "wheels" / name)
        text = json.dumps({"wheel": name, "modules": modules})
        (context / "work" / "tasks" / name).write_text(text, encoding="utf-8")
        archives[one.name].append(out / name)
    (context / "work" / SCRIPT).write_bytes(read_script(SCRIPT))
    debs = [environment.store.artifact_path(deb.sha256) for deb in tool_debs(tools.debs)]
    unpack_debs(debs, context / "tools.tar")
    python = f"/usr/bin/python{scheme.python}"
    (context / "Dockerfile").write_text(_DOCKERFILE.format(python=python, script=SCRIPT))
    log, progress = environment.log("compile"), environment.progress
    progress.begin(_TASK, total=len(queue), unit="parts")
    outcome = "failed"
    try:
        environment.engine.build(
            context,
            log=log,
            title="compiling wheels",
            output_local=out,
            platform=tools.platform,
            on_line=lambda line: progress.advance(_TASK) if " ended " in line else None,
        )
        outcome = "compiled"
    finally:
        progress.end(_TASK, outcome)
    missing = [path.name for paths in archives.values() for path in paths if not path.is_file()]
    if missing:
        raise BuildError(
            f"compiling wheels: the container left out {len(missing)} of {len(queue)} parts", hint=f"see {log}"
        )
    return {name: tuple(paths) for name, paths in archives.items()}


def _write_sources(task: CompileTask, wheel: Path, target: Path) -> list[Module]:
    """Put the task's sources, as the wheel stores them, into `target`; the modules with their offsets there.

    The engine gets no more of a wheel than that. Measured on the wheels of an Airflow release: 45 of 190 MB, and some
    100 MB/s reach the engine.
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


def compile_tasks(wheel: Wheel, scheme: Scheme) -> tuple[CompileTask, ...]:
    """The tasks that `wheel` is compiled in: a function of the wheel alone, because company shows in the compiled
    bytes.

    pip compiles scripts that end in .py too; here only what can be imported is.
    """
    return tuple(_split(wheel, sorted(path for path in wheel.parts if scheme.is_module(path))))


def _split(wheel: Wheel, paths: Sequence[str]) -> Iterator[CompileTask]:
    modules: list[Module] = []
    weight = 0
    for path in paths:
        part = wheel.parts[path]
        if part.source is None:
            continue
        if modules and weight + part.size > _PART_LIMIT:
            yield CompileTask(modules=tuple(modules), weight=weight)
            modules, weight = [], 0
        offset, size, deflated = wheel.place(part.source)
        modules.append((path, offset, size, int(deflated)))
        weight += part.size
    if modules:
        yield CompileTask(modules=tuple(modules), weight=weight)
