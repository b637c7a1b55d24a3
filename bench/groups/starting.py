"""How soon a container is of use: `airflow version`, and the webserver until /health answers.

The rivals are the Dockerfile's image, in which pip has installed and compiled the same packages, and the same image
without the modules that pip compiled, as `pip install --no-compile` and PYTHONDONTWRITEBYTECODE in a Dockerfile leave
it. Its user cannot write beside the modules, so there each start compiles anew. The standard library's modules are
compiled in all three.

Beside the time that passes stands the processor time of the whole container: on a busy machine it says more.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter

from bench.ground import Ground
from bench.measure import Measure, load_average
from bench.rival import Rival
from rtbuild.engine.containers import Mount

_UNCOMPILED = """\
FROM {reference}
RUN ["/bin/sh", "-c", "find /usr/local/lib -name __pycache__ -type d -prune -exec rm -rf {{}} +"]
"""
_DATABASE = "/prepared/airflow.db"
# What our image says of itself, and nobody says of the rival's. There is no account there either, so both get a name
# and a home.
_ENVIRONMENT = {
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW_HOME": "/tmp/airflow",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "USER": "astro",
}
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
mkdir -p "$AIRFLOW_HOME"
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


Work = Callable[[Ground, str, Mount], Start]


def run(ground: Ground, rival: Rival) -> Iterator[Measure]:
    """All three images in turns."""
    ours = ground.image
    pip = rival.image()
    with rival.derived(_UNCOMPILED.format(reference=pip)) as uncompiled:
        theirs = {"the Dockerfile's image, compiled by pip": pip, "the same without .pyc": uncompiled}
        prepared = _prepare(ground, ours)
        for image in (ours, *theirs.values()):
            _version(ground, image, prepared)  # so that the files of all three have been read
        works: dict[str, Work] = {
            "`airflow version` in a new container": _version,
            "webserver until it is healthy": _until_healthy,
        }
        for title, work in works.items():
            load = load_average()
            starts: dict[str, list[Start]] = {image: [] for image in (ours, *theirs.values())}
            for _ in range(ground.runs(5)):
                for image, found in starts.items():
                    found.append(work(ground, image, prepared))
            for kind, image in theirs.items():
                for name, value in ((title, attrgetter("passed")), (f"{title}: processor", attrgetter("used"))):
                    yield Measure(
                        name=name,
                        ours=statistics.median(map(value, starts[ours])),
                        theirs=statistics.median(map(value, starts[image])),
                        rival=kind,
                        load=load,
                        runs=len(starts[ours]),
                    )


def _version(ground: Ground, image: str, prepared: Mount) -> Start:
    """`docker run`, container and all."""
    begun = time.monotonic()
    said = _inside(ground, image, _VERSION)
    return Start(passed=time.monotonic() - begun, used=int(said.split()[-1]) / 1000)


def _until_healthy(ground: Ground, image: str, prepared: Mount) -> Start:
    """From the webserver's start to its first good answer, as the container's own clock has it."""
    passed, used = _inside(ground, image, _HEALTHY, mount=prepared).split()[-2:]
    return Start(passed=int(passed) / 1000, used=int(used) / 1000)


def _prepare(ground: Ground, image: str) -> Mount:
    """A folder with an initialised database: making it takes longer than what is to be measured."""
    source = ground.folder / "prepared"
    source.mkdir(exist_ok=True)
    os.chmod(source, 0o777)  # the image's user writes there
    script = f"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=sqlite:///{_DATABASE} airflow db init"
    _inside(ground, image, script, mount=Mount(source=source, target="/prepared", read_only=False))
    return Mount(source=source, target="/prepared")


def _inside(ground: Ground, image: str, script: str, *, mount: Mount | None = None) -> str:
    """What `script` says in a new container, as a user who owns nothing in the rival's image."""
    mounts = [mount] if mount else []
    return ground.inside(image, ("sh", "-c", script), user="50000:0", env=_ENVIRONMENT, mounts=mounts)
