"""Break one check of rtbuild at a time, and see that a unit test notices.

    python -m tests.mutants                # all of `mutants.toml`; also as `nox -s mutants`
    python -m tests.mutants verify lock    # those whose names hold one of these words

Each mutant is a copy of `src/` in which one text is replaced. Its unit tests run on that copy, and at least one has to
fail. It is an error if they pass (the mutant survives, so nothing holds the check), or if the text is not in the file
exactly once (the code has moved on, and `mutants.toml` has to follow).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

PROJECT = Path(__file__).resolve().parent.parent
TABLE = Path(__file__).with_suffix(".toml")
_SECONDS = 300
_FAILED = 1
"""Pytest's exit code if tests failed; 2 and more say that it could not run them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One broken check: the `original` text of `file`, below `src/rtbuild`, becomes `mutated`; `tests` must fail."""

    name: str
    file: str
    original: str
    mutated: str
    tests: str

    def apply(self, source: Path) -> None:
        """Break the copy of `src/rtbuild` in `source`.

        Raises:
            ValueError: if the original text is not in the file exactly once.
        """
        path = source / self.file
        text = path.read_text(encoding="utf-8")
        if (number := text.count(self.original)) != 1:
            raise ValueError(f"its original text is in {self.file} {number} times, expected once")
        path.write_text(text.replace(self.original, self.mutated), encoding="utf-8")


def read_mutants(words: list[str]) -> list[Mutant]:
    """Return the mutants of the table whose names hold one of `words`; all if there are none."""
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    mutants = [Mutant(**fields) for fields in table["mutant"]]
    return [mutant for mutant in mutants if not words or any(word in mutant.name for word in words)]


def outcome(mutant: Mutant, folder: Path) -> str | None:
    """Return what is wrong with a mutant, None if its tests notice it. `folder` is for the copy."""
    source = folder / "src"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(PROJECT / "src" / "rtbuild", source / "rtbuild", ignore=shutil.ignore_patterns("__pycache__"))
    try:
        mutant.apply(source / "rtbuild")
    except ValueError as error:
        return str(error)
    packages = PROJECT / "recipes" / "layers" / "security-manager" / "package" / "src"
    paths = f"{source} {PROJECT} {packages}"
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-o", f"pythonpath={paths}"]
    command += [
        "-m",
        "not slow",
        "--basetemp",
        str(folder / "tmp"),
        "--hypothesis-profile=quick",
        *mutant.tests.split(),
    ]
    # Tests also start rtbuild in other processes. No bytecode: a copy may have the size and time of the one before.
    environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return None  # a test that hangs has noticed
    if done.returncode == 0:
        return f"SURVIVED {mutant.tests}"
    if done.returncode != _FAILED:
        return f"pytest ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return None


def main() -> int:
    """Try the mutants and return the exit code: 0 if every one was noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=str(__doc__).splitlines()[0])
    parser.add_argument("words", nargs="*", help="try only mutants whose names hold one of these")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    mutants = read_mutants(options.words)
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as root:
        folders: SimpleQueue[Path] = SimpleQueue()
        for number in range(options.jobs):
            folders.put(Path(root, str(number)))

        def attempt(mutant: Mutant) -> str | None:
            folder = folders.get()
            try:
                return outcome(mutant, folder)
            finally:
                folders.put(folder)

        with ThreadPoolExecutor(options.jobs) as pool:
            for mutant, problem in zip(mutants, pool.map(attempt, mutants), strict=True):
                print(f"{'noticed ' if problem is None else 'PROBLEM '} {mutant.name}", flush=True)
                if problem is not None:
                    print(f"    {problem}", flush=True)
                    problems.append(mutant.name)
    print(f"{len(mutants)} mutants, {len(mutants) - len(problems)} noticed by unit tests")
    return 1 if problems or not mutants else 0


if __name__ == "__main__":
    sys.exit(main())
