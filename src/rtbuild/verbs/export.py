"""The `export` verb: the Python packages of a lock in a format that other tools read."""

from __future__ import annotations

from dataclasses import replace

from rtbuild.lockfile.export import ExportFormat, export_lock
from rtbuild.platform import Platform
from rtbuild.progress import Progress
from rtbuild.settings import Settings, load_settings
from rtbuild.workspace import Workspace


def export(  # noqa: PLR0913
    workspace: Workspace,
    release: str,
    *,
    platform: Platform | None = None,
    format: ExportFormat = "requirements",
    no_index: bool = False,
    no_local: bool = False,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> str:
    """Return the Python packages of a release's lock in a format that other tools read.

    Packages that the release patches are exported as published, since no index has the patched ones. A `pylock.toml`
    has to name the place of each file, which a lock does not: the package indexes are asked for it. It names local
    packages by their folder, relative to the workspace. Like every public verb, this one takes its options as keywords.

    Args:
        workspace: The folder with recipes and locks.
        release: A version (`8.0.0`) or a series (`8.0`, its newest release).
        platform: The platform whose lock is exported; this machine's by default.
        format: `requirements` for `pip install --require-hashes`, or `pylock` for a `pylock.toml` (PEP 751).
        no_index: Ask no package index. The files of a `pylock.toml` are then expected beside it.
        no_local: Leave out local packages. pip installs no folder together with files that have hashes; uv does.
        settings: Which package indexes to ask; by default those of `rtbuild.toml` in the workspace and pip's own.
        progress: Listener for progress; none by default.

    Raises:
        UsageError: if there is no such format.
        RecipeError: if there is no such release.
        LockError: if the lock is missing or malformed.
        MirrorError: if no package index has a file of a `pylock.toml`.
    """
    lock = workspace.read(release, platform).lock
    if no_local:
        lock = replace(lock, pythons=tuple(python for python in lock.pythons if not python.local))
    if format != "pylock" or no_index:
        return export_lock(lock, format)
    # Only this format needs HTTP, which takes a tenth of a second to load.
    from rtbuild.mirror.published import find_published

    settings = settings or load_settings({}, workspace.root)
    return export_lock(lock, format, find_published(lock.pythons, settings, progress=progress))
