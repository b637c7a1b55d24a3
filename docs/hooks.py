"""What mkdocs does besides its plugins. It loads this file by its path (`hooks` in mkdocs.yml)."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[1]
_PICTURE = re.compile(r'<img [^>]*src="[^"]*assets/architecture\.svg"[^>]*>')
_FROM_THE_NETWORK = re.compile(
    r"""<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=["']?(?:https?:)?//"""
    r"""|<link\b[^>]*\brel=["']?(?:stylesheet|preload|preconnect|icon)[^>]*\bhref=["']?(?:https?:)?//"""
    r"""|@import\s+(?:url\()?["']?(?:https?:)?//|url\(["']?(?:https?:)?//"""
    r"""|class="mermaid\b"""  # for which the theme would load a program
)


def on_page_markdown(markdown: str, *, page: Any, **_: object) -> str:
    """Add the changes that wait for a release to the changelog."""
    if page.file.src_uri != "changelog.md":
        return markdown
    command = (sys.executable, "-m", "towncrier", "build", "--draft", "--version", "Unreleased", "--date", "")
    draft = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True).stdout
    released = (
        (_ROOT / "CHANGELOG.md").read_text(encoding="utf-8").partition("<!-- towncrier release notes start -->")[2]
    )
    return f"{markdown}\n{draft.replace('## Unreleased ()', '## Unreleased')}\n{released}"


def on_page_content(html: str, **_: object) -> str:
    """Put the architecture's picture into its page, where it can take the theme's colours."""
    picture = (_ROOT / "docs" / "assets" / "architecture.svg").read_text(encoding="utf-8")
    return _PICTURE.sub(lambda _: picture, html)


def on_post_build(*, config: Any) -> None:
    """Fail if a page would load something from the network."""
    for path in Path(config.site_dir).rglob("*"):
        if path.suffix in (".html", ".css") and (match := _FROM_THE_NETWORK.search(path.read_text(encoding="utf-8"))):
            raise RuntimeError(f"{path}: loads from the network: {match[0]}")
