"""Dockerfiles whose steps no other build has.

BuildKit merges steps of concurrent builds if their commands and the content of their inputs are equal, even with
`--no-cache`: the step runs once and all builds get its result. Two such builds prove nothing about each other, and
ending one of them can end the other.

BuildKit compares steps by their text too: by the names of their secrets and of the files that they copy. So each step
gets a name that is new in each build and stands for nothing: a secret that nobody provides, and a pattern that matches
no file. Neither is visible in the container or in the layer.
"""

from __future__ import annotations

import re

_INSTRUCTION = re.compile(r"^[^\S\n]*(?!#)\S(?:\\[^\S\n]*\n(?:[^\S\n]*#.*\n)*|.)*\n?", re.MULTILINE)
"""An instruction, its continuation lines, and the comments between them (Dockerfile reference, "Format")."""
_STEP = re.compile(r"(?P<verb>\s*(?:RUN|COPY|ADD))(?P<flags>(?:\s+--\S+)*)(?P<rest>\s.*)", re.IGNORECASE | re.DOTALL)

_PRINTED = re.compile(r"#\d+ \d+\.\d+ (?P<text>.*)")


def own_steps(dockerfile: str, name: str) -> str:
    """Return `dockerfile` with steps that BuildKit does not take for those of a build with another `name`.

    Args:
        dockerfile: A Dockerfile without here-documents that copies to folders only: each target ends in a slash.
        name: Letters and digits, new for each build.

    Raises:
        ValueError: if a file is copied to a path that does not end in a slash.
    """
    return _INSTRUCTION.sub(lambda match: _own(match[0], name), dockerfile)


def _own(instruction: str, name: str) -> str:
    match = _STEP.fullmatch(instruction)
    if match is None:
        return instruction
    verb, flags, rest = match.groups()
    if verb.strip().upper() == "RUN":
        return f"{verb} --mount=type=secret,id={name}{flags}{rest}"
    if rest.strip().startswith("[") or not rest.rstrip().endswith("/"):
        raise ValueError(f"not a copy to a folder: {instruction.strip()}")
    return f"{verb}{flags} {name}*{rest}"


def printed(line: str) -> str:
    """Return what a step printed, from a line of BuildKit's plain log (`#7 1.234 Setting up libc6`), if that is one."""
    found = _PRINTED.match(line)
    return found["text"].strip() if found else ""
