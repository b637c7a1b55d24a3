"""The version of the installed package."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    __version__: str = version("rtbuild")
except PackageNotFoundError:  # a tree that was never installed
    __version__ = "unknown"
"""The version of the installed rtbuild; `unknown` if it runs from a tree that was never installed."""
