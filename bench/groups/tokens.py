"""What a token costs: the same requests to Airflow's webserver with its own login and with the security manager.

Both webservers live in one process of the image and answer in turns, on one PostgreSQL: what else the machine does hits
both. A login is a session that was begun before: no password is checked.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.ground import Ground
from bench.measure import Measure, Table, load_average
from bench.rival import Rival
from rtbuild.engine.containers import Mount
from tests.fakes.token_issuer import AUDIENCE, Issuer
from tests.integration.servers import postgresql
from tests.integration.webserver import airflow_env

_INSIDE = Path(__file__).parents[1] / "security_manager_inside.py"
_PAGES = ("/home", "/dagrun/list/", "/api/v1/dags", "/robots.txt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Medians in microseconds: whole requests with a `login` and with a `token`, what the security manager did of the
    latter (`guard`), and what Airflow did of the former instead (`load`, of the session's user)."""

    login: float
    token: float
    guard: float
    load: float

    @property
    def added(self) -> float:
        return self.guard - self.load


def run(ground: Ground, rival: Rival) -> Iterator[Measure | Table]:
    """A request with a token against one with a login, page by page; the rival is Airflow's own security manager."""
    image = ground.image
    requests = 40 if ground.quick else 200
    load = load_average()
    costs = _measure(ground, image, requests)
    for page, cost in costs.items():
        yield Measure(
            name=f"request of {page} with a token",
            ours=cost.token / 1000,
            theirs=cost.login / 1000,
            unit="ms",
            rival="the same with a session of Airflow's own login",
            load=load,
            runs=requests,
        )
    table = Table(
        "What the security manager adds to a request", ("page", "times as long", "added", "of a login's request")
    )
    for page, cost in costs.items():
        share = cost.added / cost.login
        table.rows.append((page, f"{cost.token / cost.login:.3f}", f"{cost.added:.0f} µs", f"{share:.1%}"))
    yield table


def _measure(ground: Ground, image: str, requests: int) -> dict[str, Cost]:
    """The cost of each page, from one process in a container of the image; raises `BenchError` where that fails."""
    issuer = Issuer("RS256")
    job = {
        "token": issuer.token("measured", roles=["Admin"], exp=2**32),
        "public": issuer.pem.decode(),
        "audience": AUDIENCE,
        "requests": requests,
        "pages": _PAGES,
    }
    with postgresql() as database:
        for command in (["airflow", "db", "init"], ["python", "/inside.py", json.dumps(job)]):
            said = ground.inside(
                image,
                command,
                env=airflow_env(database.url, AIRFLOW__LOGGING__LOGGING_LEVEL="ERROR"),
                mounts=[Mount(source=_INSIDE, target="/inside.py")],
                network="host",
            )
    times: dict[str, dict[str, list[float]]] = json.loads(said.splitlines()[-1])
    return {
        page: Cost(**{name: statistics.median(found) for name, found in kinds.items()}) for page, kinds in times.items()
    }
