"""What one run of the command line was asked for, beyond its command: where things are and how to answer."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from rtbuild.cli.text import encodable

if TYPE_CHECKING:
    from rtbuild.platform import Platform
    from rtbuild.progress import Progress
    from rtbuild.settings import Settings
    from rtbuild.store.store import Store
    from rtbuild.workspace import Workspace

ProgressMode = Literal["auto", "plain", "tty", "quiet"]


class ReaderGone(Exception):
    """Whoever reads our stdout has closed it."""


@dataclass(slots=True, kw_only=True)
class Invocation:
    """The options that every command takes, wherever on the line they stand."""

    json: bool = False
    progress_mode: ProgressMode = "auto"
    verbose: int = 0
    traceback: bool = False
    store_folder: Path | None = None
    workspace_folder: Path | None = None

    def workspace(self) -> Workspace:
        """Return the workspace of `--workspace`, or the nearest one upwards from the current folder."""
        from rtbuild.workspace import Workspace

        workspace = Workspace.find(self.workspace_folder)
        self.log(f"workspace {workspace.root}")
        return workspace

    def settings(self, **options: object) -> Settings:
        """Return the settings from `rtbuild.toml`, then the environment, then `options` (None: not given)."""
        from rtbuild.settings import load_settings

        # A folder given as an option is relative to the current folder, whatever the workspace is.
        store = self.store_folder.absolute() if self.store_folder is not None else None
        settings = load_settings(os.environ, self.workspace_folder or Path.cwd(), store=store, **options)
        self.log(f"store {settings.store}, {settings.jobs} jobs, {settings.connections} connections")
        return settings

    def store(self, *, read_only: bool = False) -> Store:
        """Return the store that the settings name; none is created. A read-only one need not be writable, or exist."""
        from rtbuild.store.store import Store

        open_store = Store.read_only if read_only else Store.existing
        with self.progress() as progress:  # it may have to wait for another process
            return open_store(self.settings().store, progress)

    def progress(self) -> AbstractContextManager[Progress]:
        """Return where work reports to: stderr, unless it is quiet."""
        from rtbuild.cli.progress import shown

        return shown(self.progress_mode)

    def log(self, text: str) -> None:
        """Log one line of what the command line decided; only `-v` shows it."""
        if self.verbose:
            import logging

            logging.getLogger("rtbuild.cli").info(text)

    def note(self, text: str) -> None:
        """Print one line on stderr, unless it is quiet."""
        if self.progress_mode != "quiet":
            click.echo(text, err=True)

    def answer(self, document: Mapping[str, Any], text: str) -> None:
        """Print the command's one answer: `document` with `--json`, otherwise `text`."""
        output = json.dumps(document, indent=2, ensure_ascii=False) if self.json else text
        try:
            click.echo(encodable(output), nl=bool(output))  # and flushes
        except BrokenPipeError as error:
            raise ReaderGone from error
        except OSError as error:
            raise OSError(error.errno, error.strerror, "standard output") from error

    def answer_each(self, name: str, documents: Sequence[Mapping[str, Any]], texts: Sequence[str]) -> None:
        """Print one answer as it is, several as the list `name` of one document (as text: a blank line between)."""
        document = documents[0] if len(documents) == 1 else {name: list(documents)}
        self.answer(document, "\n\n".join(texts))


def platforms_of(workspace: Workspace, release: str, platforms: Sequence[Platform]) -> Sequence[Platform]:
    """Return the platforms asked for, this machine's by default.

    Raises:
        RecipeError: if the release lacks one of several platforms, so that none of them is worked on.
    """
    from rtbuild.platform import host_platform

    if len(platforms) > 1:
        recipe = workspace.release(release)
        for platform in platforms:
            recipe.require_platform(platform)
    return platforms or (host_platform(),)
