"""Public names of a package that load their modules when they are first used.

A package imports its public names for type checkers only. At run time they are read from those same statements, so no
name is written twice and importing the package stays cheap:

    if TYPE_CHECKING:
        from package.module import name as name
    else:
        from rtbuild.lazy import lazy_names

        __getattr__, __dir__ = lazy_names(__name__)
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def lazy_names(package: str) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of `package`, which imports its public names for type checkers."""
    origins: dict[str, tuple[str, str]] = {}

    def read_origins() -> dict[str, tuple[str, str]]:
        if not origins:
            origins.update(_imported_names(package))
        return origins

    def load(name: str) -> object:
        value: object
        if name == "__all__":
            value = sorted(read_origins())
        elif name in read_origins():
            value = _import(*origins[name], package)
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(sys.modules[package], name, value)
        return value

    def list_names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *read_origins()})

    return load, list_names


def _import(module: str, name: str, package: str) -> object:
    import importlib

    if module == package:
        return importlib.import_module(f"{package}.{name}")
    return getattr(importlib.import_module(module), name)


def _imported_names(package: str) -> dict[str, tuple[str, str]]:
    """Return the module of each public name, and its name there, from the import statements under TYPE_CHECKING."""
    import ast
    from importlib import resources

    tree = ast.parse(resources.files(package).joinpath("__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name: (node.module or "", alias.name) for node in imports for alias in node.names}
