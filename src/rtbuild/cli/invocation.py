"""What one run of the command line was asked for, beyond its command: where things are and how to answer."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtbuild.cli import progress

if TYPE_CHECKING:
    from rtbuild.platform import Platform
    from rtbuild.progress import Progress
    from rtbuild.settings import Settings
    from rtbuild.store.store import Store
    from rtbuild.workspace import Workspace


class ReaderGone(Exception):
    """Whoever read our stdout has closed it."""


@dataclass(slots=True, kw_only=True)
class Invocation:
    """The options that every command takes, wherever on the line they stood."""

    json: bool = False
    quiet: bool = False
    store_folder: Path | None = None
    workspace_folder: Path | None = None

    def workspace(self) -> Workspace:
        """The workspace of `--workspace`, or the nearest folder upwards from here that holds one."""
        from rtbuild.workspace import Workspace

        return Workspace.find(self.workspace_folder)

    def settings(self, **options: object) -> Settings:
        """The settings from `rtbuild.toml`, then the environment, then `options` (None leaves one as it is)."""
        from rtbuild.settings import load_settings

        # A folder given as an option is meant from here, whatever workspace is worked on.
        store = self.store_folder.absolute() if self.store_folder is not None else None
        return load_settings(os.environ, self.workspace_folder or Path.cwd(), store=store, **options)

    def store(self, *, read_only: bool = False) -> Store:
        """The store that the settings name. With `read_only` it is only looked at, and need not be writable."""
        from rtbuild.store.store import Store

        open_store = Store.read_only if read_only else Store.open
        with self.progress() as progress:  # it may have to wait for another process
            return open_store(self.settings().store, progress)

    def progress(self) -> AbstractContextManager[Progress]:
        """Where work reports to: stderr, unless `-q`."""
        return progress.shown(quiet=self.quiet)

    def answer(self, document: Mapping[str, Any], text: str) -> None:
        """Print the command's one answer: `document` with `--json`, otherwise `text`."""
        output = json.dumps(document, indent=2, ensure_ascii=False) if self.json else text
        try:
            click.echo(output, nl=bool(output))  # and flushes
        except BrokenPipeError as error:
            raise ReaderGone from error

    def answer_each(self, name: str, documents: Sequence[Mapping[str, Any]], texts: Sequence[str]) -> None:
        """Print one answer as it is, several as the list `name` of one document (or as texts, a blank line between)."""
        document = documents[0] if len(documents) == 1 else {name: list(documents)}
        self.answer(document, "\n\n".join(texts))


def chosen_platform(name: str | None) -> Platform:
    """The platform called `name`, or this machine's; raises `UsageError`."""
    from rtbuild.platform import host_platform, parse_platform

    return parse_platform(name) if name else host_platform()
