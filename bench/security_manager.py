"""What a token costs: the same requests to Airflow's webserver with its own login and with the security manager.

`python -m bench.security_manager [IMAGE]` takes an image that the engine holds, and prints for each page the median
time of a request either way, their ratio, and the microseconds of the security manager alone. Both webservers live in
one process of the image and answer in turns, on one PostgreSQL: what else the machine does hits both.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from pathlib import Path

from rtbuild.engine import Engine, Mount, find_engine
from rtbuild.settings import load_settings
from tests.fakes.token_issuer import AUDIENCE, Issuer
from tests.integration.servers import postgresql
from tests.integration.webserver import airflow_env

ROOT = Path(__file__).parents[1]
INSIDE = Path(__file__).with_name("security_manager_inside.py")
PAGES = ("/home", "/dagrun/list/", "/api/v1/dags", "/robots.txt")


def measure(engine: Engine, reference: str, *, requests: int = 200) -> dict[str, dict[str, float]]:
    """Medians in microseconds by page: `login`, `token`, `guard` and `load`, as the script inside tells them."""
    issuer = Issuer("RS256")
    job = {
        "token": issuer.token("measured", roles=["Admin"], exp=2**32),
        "public": issuer.pem.decode(),
        "audience": AUDIENCE,
        "requests": requests,
        "pages": PAGES,
    }
    with postgresql() as database:
        for command in (["airflow", "db", "init"], ["python", "/inside.py", json.dumps(job)]):
            said = engine.run(
                reference,
                command,
                env=airflow_env(database.url, AIRFLOW__LOGGING__LOGGING_LEVEL="ERROR"),
                mounts=[Mount(source=INSIDE, target="/inside.py")],
                network="host",
                timeout=1200,
            )
            assert said.exit_code == 0, said.stderr.decode()
    times: dict[str, dict[str, list[float]]] = json.loads(said.text.splitlines()[-1])
    return {page: {name: statistics.median(all_) for name, all_ in kinds.items()} for page, kinds in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.security_manager", description="What a token costs")
    parser.add_argument("image", nargs="?", default="astro-runtime:8.0.0")
    parser.add_argument("--requests", type=int, default=200, help="of each page")
    options = parser.parse_args()
    engine = find_engine(load_settings(os.environ, ROOT))
    print(f"{'page':<16}{'login ms':>10}{'token ms':>10}{'ratio':>8}{'added us':>10}{'share':>8}")
    for page, found in measure(engine, options.image, requests=options.requests).items():
        added = found["guard"] - found["load"]
        print(
            f"{page:<16}{found['login'] / 1000:>10.2f}{found['token'] / 1000:>10.2f}"
            f"{found['token'] / found['login']:>8.3f}{added:>10.0f}{added / found['login']:>8.1%}"
        )


if __name__ == "__main__":
    main()
