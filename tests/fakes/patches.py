"""Patches, in memory and on disk."""

from __future__ import annotations

import difflib
from pathlib import Path

from rtbuild.digest import sha256_bytes
from rtbuild.formats.unified_diff import read_diff
from rtbuild.recipe.model import Patch
from tests.fakes.workspaces import put

PATCH = """\
Why it is done, for people.

--- a/http/hooks.py
+++ b/http/hooks.py
@@ -1,3 +1,3 @@
 import json
-LIMIT = 1
+LIMIT = 2
 # end
"""

RECORD = """
title = "More requests at once"
kind = "product"
package = "apache-airflow-providers-http"
version = "4.3.0"
"""


def diff(path: str, before: str | None, after: str | None) -> str:
    """Return the unified diff of a file whose lines all end with a newline; None is a file that does not exist."""
    return "".join(
        difflib.unified_diff(
            (before or "").splitlines(keepends=True),
            (after or "").splitlines(keepends=True),
            "/dev/null" if before is None else f"a/{path}",
            "/dev/null" if after is None else f"b/{path}",
        )
    )


def patch(text: str | bytes, *, id: str = "mend", package: str = "demo", version: str = "1.0") -> Patch:
    """Return a patch with the diff `text`."""
    content = text.encode() if isinstance(text, str) else text
    return Patch(
        id=id,
        title="Mend it",
        kind="product",
        package=package,
        version=version,
        upstream=None,
        obsolete=None,
        sha256=sha256_bytes(content),
        diffs=read_diff(content),
    )


def write_patch(root: Path, id: str, record: str = RECORD, text: str = PATCH) -> None:
    """Write a patch to the workspace at `root`; the digest of `text` is added to `record`, unless it has one."""
    put(root / "recipes" / "patches" / f"{id}.patch", text)
    digest = f'sha256 = "{sha256_bytes(text.encode())}"\n'
    put(root / "recipes" / "patches" / f"{id}.toml", record if "sha256" in record else record + digest)
