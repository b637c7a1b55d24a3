"""The `init` verb: write a minimal workspace."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rtbuild.errors import RecipeError, UsageError
from rtbuild.platform import Platform, host_platform
from rtbuild.recipe.templates import FIRST_RELEASE, WORKSPACE_KINDS, WorkspaceKind, workspace_files
from rtbuild.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class InitResult:
    """A workspace that was written.

    Attributes:
        workspace: The workspace.
        kind: What its image is made of: `debian`, `python` or `airflow`.
        release: The version of its release.
        files: The files that were written, relative to the workspace, sorted.
    """

    workspace: Workspace
    kind: WorkspaceKind
    release: str
    files: tuple[str, ...]


def init(folder: Path, *, kind: WorkspaceKind = "python", platform: Platform | None = None) -> InitResult:
    """Write a minimal workspace into `folder`, which is made if it is missing: recipes of Debian 13 and one release.

    Its images are called after the folder, and its `as_of` is this moment. Nothing is ever overwritten; if writing
    fails, nothing is left behind.

    Args:
        folder: The folder that becomes a workspace.
        kind: What its image is made of: Debian packages alone, Python packages on them, or Airflow.
        platform: The platform of its release; this machine's by default.

    Raises:
        UsageError: if there is no such kind.
        RecipeError: if the folder is a workspace already, or cannot be written.
    """
    if kind not in WORKSPACE_KINDS:
        raise UsageError(f"unknown kind {kind!r}", hint=f"known kinds: {', '.join(WORKSPACE_KINDS)}")
    root = folder.absolute()
    files = workspace_files(
        kind,
        repository=_repository(root.resolve().name),
        platform=platform or host_platform(),
        moment=datetime.now(UTC),
    )
    names = sorted({path.partition("/")[0] for path in files})
    for name in names:
        if (root / name).exists() or (root / name).is_symlink():
            hint = "choose another folder, or remove it to begin anew"
            raise RecipeError(f"{root / name}: already exists, and nothing is overwritten", hint=hint)
    try:
        _write(root, files, names)
    except OSError as cause:
        hint = f"check the permissions of {root}"
        raise RecipeError(f"{root}: cannot be written: {cause.strerror}", hint=hint) from cause
    return InitResult(workspace=Workspace(root=root), kind=kind, release=FIRST_RELEASE, files=tuple(sorted(files)))


def _write(root: Path, files: dict[str, str], names: list[str]) -> None:
    """Write all files beside their places first, so that a failure leaves no half of a workspace."""
    root.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=".rtbuild-init-", dir=root))
    try:
        for path, text in files.items():
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            (new / path).write_text(text, encoding="utf-8")
        for name in names:
            (new / name).rename(root / name)
    finally:
        shutil.rmtree(new)


def _repository(name: str) -> str:
    """Return `name` as the name of an image: lower-case letters and digits, with single separators between."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "image"
