"""The recipes that a new workspace begins with: the files in `template_files/`, with what the day decides filled in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from rtbuild.platform import Platform

WorkspaceKind = Literal["debian", "python", "airflow"]
"""What the image of a new workspace is made of: Debian packages alone, Python packages on them, or Airflow."""

WORKSPACE_KINDS: tuple[WorkspaceKind, ...] = get_args(WorkspaceKind)
"""Every kind of workspace, the smallest image first."""

FIRST_RELEASE = "1.0.0"
"""The version of a new workspace's release."""

# The newest that were tried with this rtbuild, on the Python of the template.
_AIRFLOW = "3.3.2"
_HTTP_PROVIDER = "6.3.0"

_LAYERS: Mapping[WorkspaceKind, tuple[str, ...]] = {
    "debian": ("base-os",),
    "python": ("base-os", "python", "app"),
    "airflow": ("base-os", "python", "airflow", "packages"),
}


def workspace_files(kind: WorkspaceKind, *, repository: str, platform: Platform, moment: datetime) -> dict[str, str]:
    """Return the text of each file of a new workspace, by its path there.

    Args:
        kind: What its image is made of.
        repository: The name of its images.
        platform: The platform of its release.
        moment: The `as_of` of its release.
    """
    values = {
        "REPOSITORY": repository,
        "PLATFORM": str(platform),
        "AS_OF": moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "AIRFLOW": _AIRFLOW,
        "HTTP": _HTTP_PROVIDER,
    }
    sources = {f"recipes/layers/{name}.toml": name for name in _LAYERS[kind]}
    sources[f"recipes/releases/{FIRST_RELEASE}.toml"] = f"release-{kind}"
    sources["recipes/engines/default.toml"] = "engine"
    sources["rtbuild.toml"] = "settings"
    return {path: _filled(source, values) for path, source in sources.items()}


def _filled(name: str, values: Mapping[str, str]) -> str:
    """Return a template with `values` in place of `@NAME@`: braces are placeholders of the recipes themselves."""
    text = (Path(__file__).parent / "template_files" / f"{name}.toml").read_text(encoding="utf-8")
    for field, value in values.items():
        text = text.replace(f"@{field}@", value)
    return text
