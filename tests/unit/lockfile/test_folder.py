"""What messages call a lockfile."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbuild.lockfile.folder import lock_name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/home/me/project/runtime.lock/8.0.0/linux-amd64.toml", "runtime.lock/8.0.0/linux-amd64.toml"),
        ("/tmp/copy.toml", "/tmp/copy.toml"),
    ],
)
def test_the_name_is_the_path_in_the_workspace_if_there_is_one(path: str, name: str) -> None:
    assert lock_name(Path(path)) == name
