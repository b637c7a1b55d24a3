"""The process that runs pip's resolver (see `adapter`): started when it is first needed, and shared by resolutions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol

from rtbuild.errors import ResolutionError
from rtbuild.resolve.python.messages import Chosen, Impossible


class Speaker(Protocol):
    """The parent's side of a conversation."""

    def hold(self, folder: Path, answers: IO[bytes], reports: IO[bytes]) -> Chosen | Impossible | None:
        """Send a `Start` to `answers`, serve what `reports` asks for, and return the result; None if there is none.

        `folder` is an empty folder for the process to work in.
        """


class PipProcess:
    """A process for any number of conversations, one after the other. A context manager.

    Loading pip takes half a second, so it is done once. Each conversation still has a pip that nothing else has used:
    the process forks for it.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._conversations = 0

    def __enter__(self) -> PipProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def converse(self, speaker: Speaker) -> Chosen | Impossible:
        """Let `speaker` hold a conversation with the process.

        Raises:
            ResolutionError: if the process ends without a result.
        """
        process, folder = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        self._conversations += 1
        room = folder / str(self._conversations)
        room.mkdir()
        try:
            result = speaker.hold(room, process.stdin, process.stdout)
        except BrokenPipeError:
            result = None
        except BaseException:
            # Also after Ctrl-C: the process must not go on with a conversation that is over.
            self.close()
            raise
        if result is None:
            tail = (folder / "stderr").read_bytes().decode("utf-8", "replace").strip()[-4000:]
            self.close()
            raise ResolutionError("pip's resolver ended without a result", details=tail)
        return result

    def close(self) -> None:
        """End the process, if it runs, and remove its files."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    with suppress(BrokenPipeError):
                        stream.close()
            self._process.wait()
            self._process = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _started(self) -> tuple[subprocess.Popen[bytes], Path]:
        if self._process is not None and self._folder is not None:
            return self._process, Path(self._folder.name)
        self._folder = tempfile.TemporaryDirectory(prefix="rtbuild-resolve-")
        folder = Path(self._folder.name)
        # A whole new environment: no PIP_* variable and no configuration file of the machine may change a lock.
        rtbuild_path = str(
            Path(__file__).parents[3]
        )  # not in `sys.path` if rtbuild was imported from the current folder
        environment = {
            "PYTHONPATH": os.pathsep.join([*filter(None, sys.path), rtbuild_path]),
            "PIP_CONFIG_FILE": os.devnull,
            "TMPDIR": str(folder),
            "HOME": str(folder),
            "PYTHONUTF8": "1",
        }
        with (folder / "stderr").open("wb") as errors:
            self._process = subprocess.Popen(
                # -P keeps the current folder off the process's import path.
                [sys.executable, "-P", "-m", "rtbuild.resolve.python.adapter"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                cwd=folder,
                start_new_session=True,  # to end its forks with it
            )
        return self._process, folder
