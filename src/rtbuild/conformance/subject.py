"""The image that is checked, and how a check looks at it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from rtbuild.engine.containers import RunOutcome
from rtbuild.engine.engine import Engine
from rtbuild.inside import read_script
from rtbuild.recipe.model import ImageSettings

AIRFLOW_HOME = "/usr/local/airflow"
HOME = "/home/astro"
UID = 50000
FOREIGN_UID = 123456
"""A uid without an account, such as OpenShift gives to each project."""
LIMIT = 300.0
"""Seconds after which a command counts as hanging, even on a busy machine."""

_PROBE = "probe.py"


_RUNTIME_LABELS = ("io.astronomer.docker.runtime.version", "io.astronomer.docker.airflow.version")
_RUNTIME_VARIABLE = "ASTRONOMER_RUNTIME_VERSION"


def is_runtime(labels: Container[str], variables: Container[str]) -> bool:
    """Return whether an image with labels and variables of these names says that it is a runtime image."""
    return _RUNTIME_VARIABLE in variables or any(label in labels for label in _RUNTIME_LABELS)


class CheckFailure(Exception):
    """A check failed; the text says what was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Something an image promises, and how to check it: `body` raises `CheckFailure`.

    `applies` says whether an image promises it at all. It may look into the image, and raise what `body` may.
    """

    name: str
    promise: str
    body: Callable[[Subject], None]
    applies: Callable[[Subject], bool] = lambda subject: True


@dataclass(slots=True, kw_only=True)
class Subject:
    """An image in an engine, and its config as the engine reports it.

    `runtime` and `airflow` are the versions it must have; None if only its own labels say so. `settings` are those of
    its recipes, None if it was not built from a release. Checks may use one subject from many threads.
    """

    engine: Engine
    reference: str
    config: Mapping[str, Any]
    runtime: str | None = None
    airflow: str | None = None
    settings: ImageSettings | None = None
    grace: float = 10.0
    """Seconds that Airflow has to stop."""
    _facts: dict[str, Any] | None = field(default=None, init=False)
    _tools: frozenset[str] | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    @property
    def labels(self) -> Mapping[str, str]:
        """The image's labels."""
        return self.config.get("Labels") or {}

    @property
    def env(self) -> Mapping[str, str]:
        """The image's environment."""
        return dict(variable.split("=", 1) for variable in self.config.get("Env") or ())

    @property
    def is_runtime(self) -> bool:
        """Whether it says of itself that it is a runtime image, which has promises of its own."""
        return is_runtime(self.labels, self.env)

    def tools(self, look: Callable[[Subject], frozenset[str]]) -> frozenset[str]:
        """Return what `look` finds in the image; it looks once."""
        with self._lock:
            if self._tools is None:
                self._tools = look(self)
            return self._tools

    @property
    def facts(self) -> Mapping[str, Any]:
        """What `inside/probe.py` sees in a container of the image; it runs once."""
        with self._lock:
            if self._facts is None:
                self._facts = self.probe()
            return self._facts

    def probe(self, **options: Any) -> dict[str, Any]:
        """Return what `inside/probe.py` sees in a container with these options of `Engine.run`.

        Raises:
            CheckFailure: if Python cannot run, or its output is not the script's alone.
        """
        outcome = self.run("python", "-c", read_script(_PROBE).decode(), **options)
        require(outcome.exit_code == 0, "a Python program cannot run", outcome)
        try:
            answer = json.loads(outcome.stdout)
        except ValueError:
            raise CheckFailure(f"standard output holds more than the program wrote: {outcome.text[:400]!r}") from None
        if not isinstance(answer, dict):
            raise CheckFailure(f"standard output does not hold what the program wrote: {outcome.text[:400]!r}")
        return answer

    def run(self, *command: str, **options: Any) -> RunOutcome:
        """Run a command in a container of its own; it hangs if it takes longer than `LIMIT`."""
        return self.engine.run(self.reference, command, **{"timeout": LIMIT, **options})


def require(condition: bool, text: str, outcome: RunOutcome | None = None) -> None:
    """Raise `CheckFailure` unless `condition`; `outcome` adds the exit code and the end of the output."""
    if condition:
        return
    if outcome is not None:
        written = (outcome.stdout + outcome.stderr).decode(errors="replace").strip()
        text += f" (exit code {outcome.exit_code})" + (f"\n{written[-1500:]}" if written else "")
    raise CheckFailure(text)


def compare(actual: Mapping[str, object], expected: Mapping[str, object]) -> None:
    """Raise `CheckFailure` that lists every name for which `actual` has another value than `expected`."""
    wrong = [
        f"{name} is {actual.get(name)!r}, not {value!r}"
        for name, value in expected.items()
        if actual.get(name) != value
    ]
    require(not wrong, "\n".join(wrong))
