"""`rtbuild mirrors` on mirrors of 127.0.0.1."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbuild.workspace import Workspace
from tests.fakes.command_line import Run, answer
from tests.fakes.debian_archive import DebianArchive, FakeDeb
from tests.fakes.package_index import PackageIndex
from tests.fakes.serving import only_loopback
from tests.fakes.workspaces import put


def test_mirrors_are_listed_with_what_they_serve(
    run: Run, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_loopback(monkeypatch)
    archive = DebianArchive(tmp_path / "debian")
    archive.publish("bullseye", [FakeDeb(name="hello")])
    with archive.serve() as debian, PackageIndex() as index:
        put(
            workspace.root / "rtbuild.toml",
            f'debian_mirrors = ["{debian.url}"]\npython_indexes = ["{index.url}"]\nretries = 0\n',
        )
        result = run("mirrors", "8.0")
        document = answer(run("mirrors", "8.0", "--json", "-q"))
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].split() == ["for", "mirror", "named", "by", "serves", "problem"]
    reports = {report["address"]: report for report in document["mirrors"]}
    assert (reports[debian.url]["kind"], reports[debian.url]["origin"]) == ("debian", "settings")
    # Its signature is not Debian's.
    assert reports[debian.url]["problem"].startswith("bullseye: ")
    assert reports[index.url]["kind"] == "python"
