"""Compare two lockfiles, package by package.

    git show HEAD~1:runtime.lock/8.0.0/linux-amd64.toml > before.toml
    python examples/compare_locks.py before.toml runtime.lock/8.0.0/linux-amd64.toml

The exit code is 0 if the locks name the same packages, 1 if they differ and 2 if one cannot be read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import rtbuild


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what changed, and return an exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("before", type=Path, help="the older lockfile")
    parser.add_argument("after", type=Path, help="the newer lockfile")
    options = parser.parse_args(arguments)
    try:
        before, after = rtbuild.read_lock(options.before), rtbuild.read_lock(options.after)
    except rtbuild.LockError as error:
        print(f"{error.brief}\n{error.details or ''}".rstrip(), file=sys.stderr)
        return 2
    changes = rtbuild.compare_locks(before, after)
    for change in changes:
        print(change)
    added = sum(change.before is None for change in changes)
    removed = sum(change.after is None for change in changes)
    print(f"{added} added, {removed} removed, {len(changes) - added - removed} changed")
    return 1 if changes else 0


if __name__ == "__main__":
    sys.exit(main())
