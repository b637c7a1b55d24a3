"""Summaries: which layers a release consists of, so that a list of what is built need not read locks again.

A summary is named after a digest of everything that decides the layers. Losing it only costs time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from rtbuild.digest import DiffId, Key, Sha256, parse_digest, parse_sha256
from rtbuild.documents import parse_json
from rtbuild.files import write_atomically

Summary = Mapping[str, tuple[Key, DiffId]]
"""The key and the output of each layer, by the layer's name."""


def read_summary(folder: Path, name: Sha256) -> Summary | None:
    """Return the summary `name` in `folder`; None if it is missing, unreadable or damaged."""
    with suppress(OSError, ValueError, TypeError, AttributeError):
        layers = parse_json((folder / name).read_bytes())
        return {
            layer: (Key(parse_sha256(key)), DiffId(parse_digest(diff_id))) for layer, (key, diff_id) in layers.items()
        }
    return None


def write_summary(folder: Path, name: Sha256, summary: Summary) -> None:
    """Write the summary `name` into `folder`; nothing is written if that is not possible."""
    with suppress(OSError):
        write_atomically(folder / name, json.dumps(summary).encode(), durable=False)
