"""Docker, buildx and the private daemon. Only this room imports `docker` and `python_on_whales`.

Its functions take values and know no workspace. `rtbuild.find_engine`, `start_engine`, `stop_engine` and
`engine_status` are the same for a workspace, whose lockfile of the engine they read and whose packages they fetch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtbuild.engine.engine import Engine as Engine
    from rtbuild.engine.private import EngineStatus as EngineStatus
    from rtbuild.engine.private import start as start
    from rtbuild.engine.private import status as status
    from rtbuild.engine.private import stop as stop
    from rtbuild.engine.select import find as find
else:
    from rtbuild.lazy import lazy_names

    __getattr__, __dir__ = lazy_names(__name__)
