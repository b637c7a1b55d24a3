"""Build a release with a progress of its own, then list every package with its digest.

python examples/build_and_list.py 8.0
python examples/build_and_list.py 8.0 --platform amd64 --workspace ~/runtimes --store ~/store
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import rtbuild


class Marks:
    """A progress that prints one mark for each task: what a chat bot or a web page would turn into its own display.

    It has the methods of `rtbuild.Progress`, and needs no base class.
    """

    def begin(self, task: str, *, total: int | None = None, unit: str = "") -> None:
        self._print(f"[ ] {task}" + (f" ({total} {unit})" if total is not None else ""))

    def advance(self, task: str, amount: int = 1) -> None:
        """Amounts are not shown."""

    def detail(self, task: str, text: str) -> None:
        """Nor are the lines of logs."""

    def end(self, task: str, outcome: str = "done") -> None:
        self._print(f"[x] {task}: {outcome}")

    def note(self, text: str) -> None:
        self._print(f" !  {text}")

    def _print(self, line: str) -> None:
        print(line, file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, list, and return an exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("release", help="a version (8.0.0) or a series (8.0)")
    parser.add_argument("--platform", help="linux/amd64 or linux/arm64; this machine's by default")
    parser.add_argument("--workspace", type=Path, help="the folder with recipes/ and runtime.lock/")
    parser.add_argument("--store", type=Path, help="the folder for everything rtbuild keeps")
    options = parser.parse_args(arguments)
    try:
        platform = rtbuild.parse_platform(options.platform) if options.platform else rtbuild.host_platform()
        workspace = rtbuild.Workspace.find(options.workspace)
        # rtbuild.toml and RTBUILD_* variables count for this tool as they do for the command line.
        settings = rtbuild.load_settings(os.environ, workspace.root, store=options.store)
        result = rtbuild.build(workspace, options.release, platform=platform, settings=settings, progress=Marks())
        lock = workspace.read_lock(result.release, platform)
    except rtbuild.StaleLockError as error:
        print(f"the lock is stale:\n{error.details}", file=sys.stderr)
        return 2
    except rtbuild.RtbuildError as error:
        print(f"{type(error).__name__}: {error.brief}", file=sys.stderr)
        if error.hint:
            print(f"try this: {error.hint}", file=sys.stderr)
        return 1
    artifacts: list[rtbuild.DebArtifact | rtbuild.PythonArtifact] = [*lock.debs, *lock.pythons]
    for artifact in artifacts:
        print(f"{artifact.sha256}  {artifact.name}=={artifact.version}")
    print(f"image {result.image_id}: {'matches' if result.matches_lock else 'DOES NOT MATCH'} the lock")
    return 0 if result.matches_lock else 3


if __name__ == "__main__":
    sys.exit(main())
