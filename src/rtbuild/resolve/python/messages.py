"""The messages between rtbuild and the process that runs pip's resolver.

Each message is one line of JSON. The parent (`dialogue`) sends the process (`adapter`) a `Start`, and serves what it
asks for until it ends the conversation with `Chosen` or `Impossible`.

| message      | from    | meaning                                              | answered by      |
|--------------|---------|------------------------------------------------------|------------------|
| `Start`      | parent  | what to resolve, and for which target                |                  |
| `Ask`        | process | send the page of a project, or a file's metadata     | `Answer`         |
| `Answer`     | parent  | the text that was asked for                          |                  |
| `Pinned`     | process | a version of this package was chosen for now         | nothing          |
| `Rejected`   | process | this many versions of this package did not fit       | nothing          |
| `Chosen`     | process | the result: every package with its version           | nothing; the end |
| `Impossible` | process | no set of packages fits, and why                     | nothing; the end |

Both sides import this module, and the process must load nothing else of rtbuild: it uses the standard library only.
"""

from __future__ import annotations

import json
from typing import Literal, TypedDict, cast


class Start(TypedDict):
    """What to resolve."""

    requirements: list[str]
    constraints: list[str]
    preferences: dict[str, str]
    """The version to try first, by package."""
    as_of: str
    """ISO 8601; later uploads do not exist."""
    python: list[int]
    """The target's full version, such as [3, 9, 2]."""
    platform_tags: list[str]
    environment: dict[str, str]
    """The target's environment markers (PEP 508)."""
    folder: str
    """An empty folder to work in."""


class Ask(TypedDict):
    """A request for the page of project `subject`, or for the core metadata of the file `subject`."""

    kind: Literal["page", "metadata"]
    subject: str


class Answer(TypedDict):
    """A project page as JSON (PEP 691), or a core metadata file."""

    content: str


class Pinned(TypedDict):
    """A version of package `name` was chosen, which may be revoked later."""

    kind: Literal["pinned"]
    name: str


class Rejected(TypedDict):
    """So far `times` versions of package `name` did not fit."""

    kind: Literal["rejected"]
    name: str
    times: int


class Chosen(TypedDict):
    """The result: a version for every package, by normalized name."""

    kind: Literal["chosen"]
    packages: dict[str, str]


class Impossible(TypedDict):
    """No set of packages fits."""

    kind: Literal["impossible"]
    reasons: list[str]
    """Who needs what, one line each."""
    names: list[str]
    """The packages that they disagree on; empty if pip does not say."""
    warnings: list[str]
    """What pip complained about last."""


Report = Ask | Pinned | Rejected | Chosen | Impossible
"""Everything that the process may send."""


def encode(message: Start | Answer | Report) -> str:
    """Return the line that carries a message, with its newline."""
    return json.dumps(message) + "\n"


def decode_start(line: str) -> Start:
    """Return the message that the process reads first."""
    return cast(Start, json.loads(line))


def decode_answer(line: str) -> Answer:
    """Return the message that the process reads after each `Ask`."""
    return cast(Answer, json.loads(line))


def decode_report(line: str | bytes) -> Report:
    """Return a message of the process."""
    return cast(Report, json.loads(line))
