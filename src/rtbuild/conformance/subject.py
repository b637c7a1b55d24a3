"""The image that is tried, and how a check looks at it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rtbuild.engine.containers import RunOutcome
from rtbuild.engine.engine import Engine
from rtbuild.inside import read_script

AIRFLOW_HOME = "/usr/local/airflow"
HOME = "/home/astro"
UID = 50000
FOREIGN_UID = 123456
"""A uid that no account has, as OpenShift gives one to each project."""
LIMIT = 300.0
"""Seconds after which a command counts as hanging, on a machine that is busy as well."""


class Broken(Exception):
    """A promise that is not kept; the text says what was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One promise and how it is tried: `body` raises `Broken`."""

    name: str
    promise: str
    body: Callable[[Subject], None]


@dataclass(slots=True, kw_only=True)
class Subject:
    """An image in an engine; `config` is what the engine says of it. `runtime` and `airflow` are what it must be, None
    where that is not known from elsewhere."""

    engine: Engine
    reference: str
    config: Mapping[str, Any]
    runtime: str | None = None
    airflow: str | None = None
    grace: float = 10.0
    """Seconds that Airflow has to end in."""
    _found: dict[str, Any] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def labels(self) -> Mapping[str, str]:
        """The image's labels."""
        return self.config.get("Labels") or {}

    @property
    def env(self) -> Mapping[str, str]:
        """The image's environment."""
        return dict(one.split("=", 1) for one in self.config.get("Env") or ())

    @property
    def found(self) -> Mapping[str, Any]:
        """What a program in a container of the image sees; asked for once. See `scripts/probe.py`."""
        with self._lock:
            if self._found is None:
                self._found = self.look()
            return self._found

    def look(self, **options: Any) -> dict[str, Any]:
        """The same under other options of `Engine.run`."""
        outcome = self.run("python", "-c", _probe(), **options)
        require(outcome.exit_code == 0, "a Python program cannot run", outcome)
        try:
            answer = json.loads(outcome.stdout)
        except ValueError:
            raise Broken(f"standard output holds more than the program wrote: {outcome.text[:400]!r}") from None
        if not isinstance(answer, dict):
            raise Broken(f"a Python program's output came out as {outcome.text[:400]!r}")
        return answer

    def run(self, *command: str, **options: Any) -> RunOutcome:
        """Run a command in a container of its own."""
        return self.engine.run(self.reference, command, **{"timeout": LIMIT, **options})


def require(condition: bool, text: str, outcome: RunOutcome | None = None) -> None:
    """Raise `Broken` unless `condition`; the end of what a command wrote is told with it."""
    if condition:
        return
    if outcome is not None:
        written = (outcome.stdout + outcome.stderr).decode(errors="replace").strip()
        text += f" (exit code {outcome.exit_code})" + (f"\n{written[-1500:]}" if written else "")
    raise Broken(text)


def compare(found: Mapping[str, object], wanted: Mapping[str, object]) -> None:
    """Raise `Broken` with every name of `wanted` for which `found` has something else."""
    wrong = [
        f"{name} is {found.get(name)!r}, not {value!r}" for name, value in wanted.items() if found.get(name) != value
    ]
    require(not wrong, "\n".join(wrong))


def missing(wanted: Sequence[str], found: Sequence[str]) -> list[str]:
    """What of `wanted` is not in `found`."""
    return [one for one in wanted if one not in found]


def _probe() -> str:
    return read_script("probe.py").decode()
