"""Runs in the image: the same requests to Airflow's webserver with its own login and with tokens, in turns.

Reads `{"token": ..., "public": ..., "requests": ..., "pages": [...]}` from its first argument, prints microseconds of
each request by page: `login` and `token` are whole requests, `guard` what the security manager did of the latter, and
`load` what Airflow's own security manager needed to load the session's user, which it does for any login.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow.www.app import create_app


def microseconds(begun: int) -> float:
    return (time.perf_counter_ns() - begun) / 1000


def watched(work: Callable[..., Any], times: list[float]) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Any:
        begun = time.perf_counter_ns()
        try:
            return work(*args, **kwargs)
        finally:
            times.append(microseconds(begun))

    return timed


def main() -> None:
    job = json.loads(sys.argv[1])
    plain = create_app()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tls.crt"
        file.write_text(job["public"])
        os.utime(file, (0, 0))  # as a file that has not changed for a while
        os.environ["AIRFLOW__ASTRONOMER__JWT_SIGNING_CERT"] = str(file)
        os.environ["AIRFLOW__ASTRONOMER__JWT_AUDIENCE"] = job["audience"]
        guarded = create_app()
        manager = guarded.appbuilder.sm
        assert type(manager).__name__ == "TokenSecurityManager"
        guard: list[float] = []
        load: list[float] = []
        hooks = guarded.before_request_funcs[None]
        hooks[0] = watched(hooks[0], guard)
        plain.appbuilder.sm.get_user_by_id = watched(plain.appbuilder.sm.get_user_by_id, load)

        token = {"headers": {"Authorization": f"Bearer {job['token']}"}}
        with_token = guarded.test_client()
        assert with_token.get("/home", **token).status_code == 200
        with_login = plain.test_client()
        with with_token.session_transaction() as one, with_login.session_transaction() as other:
            other.update({key: one[key] for key in ("_user_id", "_fresh")})

        found = {}
        for page in job["pages"]:
            times: dict[str, list[float]] = {"login": [], "token": [], "guard": [], "load": []}
            for _ in range(job["requests"]):
                del guard[:], load[:]
                begun = time.perf_counter_ns()
                status = with_login.get(page).status_code
                times["login"].append(microseconds(begun))
                begun = time.perf_counter_ns()
                assert with_token.get(page, **token).status_code == status, page
                times["token"].append(microseconds(begun))
                times["guard"].append(guard[0])
                times["load"].append(load[0])
                assert status < 300, page
            found[page] = times
    print(json.dumps(found))


main()
