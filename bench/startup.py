"""How soon a container is of use: `airflow version`, and the webserver until /health answers.

The rivals are the same image with the modules of its wheels compiled otherwise, so that nothing else differs: as
`pip install` leaves them (by `compileall`, which is what pip calls; a module then counts as fresh by its source's time
and size), and not at all, as `pip install --no-compile` and PYTHONDONTWRITEBYTECODE in a Dockerfile leave them. The
user of the image cannot write beside the modules, so without them each start compiles anew. The standard library's
modules are compiled in all three.

Beside the time that passes stands the processor time of the whole container: on a busy machine it says more.
"""

from __future__ import annotations

import os
import secrets
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from bench.ground import BenchError, run
from bench.measure import Measure, load_average
from rtbuild.engine import Engine, Mount
from rtbuild.engine.endpoint import environment

VERSION, HEALTHY = "airflow version in a new container", "webserver until it is healthy"
PIP, NOTHING = "compiled as pip does", "without .pyc"

_PATIENCE = 600.0
_LIBRARY = "/usr/local/lib/python3*/dist-packages"
_DOCKERFILE = """\
FROM {reference} AS nothing
USER root
RUN ["/bin/sh", "-c", "find {library} -name __pycache__ -type d -prune -exec rm -rf {{}} +"]
USER astro
FROM nothing AS pip
USER root
# some packages hold sources that no Python 3 compiles, at which pip does not stop either
RUN ["/bin/sh", "-c", "python3 -W ignore -m compileall -q -f {library} >/dev/null || true"]
USER astro
"""
_DATABASE = "/prepared/airflow.db"
# Milliseconds that the container has used, by the second version of control groups or the first.
_USED = """\
set -eu
used() {
    if grep -qs usage_usec /sys/fs/cgroup/cpu.stat; then
        awk '/^usage_usec/ { print int($2 / 1000) }' /sys/fs/cgroup/cpu.stat
    else
        echo $(($(cat /sys/fs/cgroup/cpuacct/cpuacct.usage) / 1000000))
    fi
}
"""
_VERSION = f"""\
{_USED}
airflow version
used
"""
_HEALTHY = f"""\
{_USED}
cp {_DATABASE} "$AIRFLOW_HOME/airflow.db"
before=$(used)
begun=$(date +%s%N)
airflow webserver >/tmp/webserver.log 2>&1 &
until curl --silent --fail --output /dev/null http://localhost:8080/health; do
    kill -0 $! 2>/dev/null || {{ cat /tmp/webserver.log >&2; exit 1; }}
    sleep 0.1
done
echo $((($(date +%s%N) - begun) / 1000000)) $(($(used) - before))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How long something took: by the clock, and the processor time of all processes in the container. Seconds."""

    passed: float
    used: float


def measure(engine: Engine, reference: str, folder: Path, *, runs: int = 5) -> Iterator[Measure]:
    """Measure the image `reference` (one without ONBUILD) that `engine` holds; `folder` is for what this needs.

    Each measure is the median of `runs` runs of all three images in turns. Raises `BenchError`.
    """
    name = f"rtbuild-bench/startup-{secrets.token_hex(4)}"
    images = {"": reference, PIP: f"{name}:pip", NOTHING: f"{name}:nothing"}
    made: list[str] = []
    try:
        for target in ("pip", "nothing"):
            _build(engine, reference, folder, target, f"{name}:{target}")
            made.append(f"{name}:{target}")
        prepared = _prepare(engine, reference, folder)
        for image in images.values():
            _version(engine, image, prepared)  # so that the files of all three have been read
        for title, work in ((VERSION, _version), (HEALTHY, _until_healthy)):
            load = load_average()
            starts: dict[str, list[Start]] = {kind: [] for kind in images}
            for _ in range(runs):
                for kind, image in images.items():
                    starts[kind].append(work(engine, image, prepared))
            yield from _measures(title, starts, load)
    finally:
        for image in made:
            engine.remove_image(image)


def _measures(title: str, starts: dict[str, list[Start]], load: float) -> Iterator[Measure]:
    ours, *_ = starts.values()
    for kind in (PIP, NOTHING):
        theirs = starts[kind]
        for name, value in ((title, attrgetter("passed")), (f"{title}: processor time", attrgetter("used"))):
            yield Measure(
                name=name,
                ours=statistics.median(map(value, ours)),
                theirs=statistics.median(map(value, theirs)),
                rival=kind,
                load=load,
                runs=len(ours),
            )


def _version(engine: Engine, image: str, prepared: Mount) -> Start:
    """`docker run`, container and all."""
    begun = time.monotonic()
    said = _inside(engine, image, "sh", "-c", _VERSION)
    return Start(passed=time.monotonic() - begun, used=int(said.split()[-1]) / 1000)


def _until_healthy(engine: Engine, image: str, prepared: Mount) -> Start:
    """From the webserver's start to its first good answer, as the container's own clock has it."""
    passed, used = _inside(engine, image, "sh", "-c", _HEALTHY, mount=prepared).split()[-2:]
    return Start(passed=int(passed) / 1000, used=int(used) / 1000)


def _prepare(engine: Engine, reference: str, folder: Path) -> Mount:
    """A folder with an initialised database: making it takes longer than what is to be measured."""
    source = folder / "prepared"
    source.mkdir(parents=True, exist_ok=True)
    source.chmod(0o777)
    address = f"sqlite:///{_DATABASE}"
    writable = Mount(source=source, target="/prepared", read_only=False)
    _inside(
        engine, reference, "sh", "-c", f"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN={address} airflow db init", mount=writable
    )
    return Mount(source=source, target="/prepared")


def _inside(engine: Engine, image: str, *command: str, mount: Mount | None = None) -> str:
    outcome = engine.run(
        image,
        command,
        timeout=_PATIENCE,
        env={"AIRFLOW__CORE__LOAD_EXAMPLES": "False"},
        mounts=[mount] if mount else [],
    )
    if outcome.exit_code:
        raise BenchError(
            f"{command[0]}: exit code {outcome.exit_code}\n{outcome.stderr.decode(errors='replace')[-4000:]}"
        )
    return outcome.text


def _build(engine: Engine, reference: str, folder: Path, target: str, tag: str) -> None:
    context = folder / "context"
    context.mkdir(parents=True, exist_ok=True)
    (context / "Dockerfile").write_text(_DOCKERFILE.format(reference=reference, library=_LIBRARY))
    endpoint = engine.endpoint
    # What buildx remembers of contexts belongs to others.
    own = dict(os.environ, BUILDX_CONFIG=str(folder / "buildx"))
    builder = ["--builder", endpoint.builder] if endpoint.builder else []
    run(
        [
            *(*environment(), *endpoint.command(), "buildx", "build", *builder),
            *("--network", "none", "--provenance=false", "--load", "--target", target, "--tag", tag, context),
        ],
        environment=own,
    )


def main() -> None:
    """`python -m bench.startup REFERENCE [RUNS]`: an image that the engine of the settings holds."""
    from tempfile import TemporaryDirectory

    from bench.ground import open_ground

    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    with open_ground(quick=False) as ground, TemporaryDirectory(dir=ground.folder) as folder:
        for one in measure(ground.engine, sys.argv[1], Path(folder), runs=runs):
            print(*one.cells(), f"against {one.rival}", f"load {one.load:.1f}", sep="  ", flush=True)


if __name__ == "__main__":
    main()
