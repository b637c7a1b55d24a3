"""Build Airflow runtime images that are a function of a lockfile.

Every public name is imported below for type checkers. At run time a name loads its module when it is first used, so
that `import rtbuild` costs nothing; the names are read from those same import statements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtbuild.conformance.report import CheckReport as CheckReport
    from rtbuild.conformance.report import CheckResult as CheckResult
    from rtbuild.derivations.plan import Plan as Plan
    from rtbuild.derivations.plan import PlannedLayer as PlannedLayer
    from rtbuild.errors import RtbuildError as RtbuildError
    from rtbuild.inventory.model import ImageSize as ImageSize
    from rtbuild.inventory.page import treemap_page as treemap_page
    from rtbuild.lockfile.model import Lock as Lock
    from rtbuild.lockfile.read import write_lock as write_lock
    from rtbuild.lockfile.why import Reason as Reason
    from rtbuild.mirror.download import FetchReport as FetchReport
    from rtbuild.platform import PLATFORMS as PLATFORMS
    from rtbuild.platform import Platform as Platform
    from rtbuild.platform import host_platform as host_platform
    from rtbuild.platform import parse_platform as parse_platform
    from rtbuild.progress import Progress as Progress
    from rtbuild.progress import Silent as Silent
    from rtbuild.recipe.model import Release as Release
    from rtbuild.settings import Settings as Settings
    from rtbuild.settings import load_settings as load_settings
    from rtbuild.store.collect import Roots as Roots
    from rtbuild.store.store import Store as Store
    from rtbuild.verbs.build import BuildResult as BuildResult
    from rtbuild.verbs.build import BuiltLayer as BuiltLayer
    from rtbuild.verbs.build import build as build
    from rtbuild.verbs.check import check as check
    from rtbuild.verbs.check import check_image as check_image
    from rtbuild.verbs.export import export as export
    from rtbuild.verbs.lock import EngineLockResult as EngineLockResult
    from rtbuild.verbs.lock import LockResult as LockResult
    from rtbuild.verbs.lock import check_engine_lock as check_engine_lock
    from rtbuild.verbs.lock import check_lock as check_lock
    from rtbuild.verbs.lock import lock as lock
    from rtbuild.verbs.lock import lock_engine as lock_engine
    from rtbuild.verbs.mirrors import MirrorDescription as MirrorDescription
    from rtbuild.verbs.verify import VerifyReport as VerifyReport
    from rtbuild.verbs.verify import verify as verify
    from rtbuild.verbs.why import why as why
    from rtbuild.workspace import Workspace as Workspace
else:

    def __getattr__(name: str) -> object:
        import importlib

        origins = _public_names()
        if name == "__all__":
            value = sorted(origins)
        elif name in origins:
            value = getattr(importlib.import_module(origins[name]), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_public_names()})

    def _public_names() -> dict[str, str]:
        """The module of each public name, from the import statements above."""
        import ast
        from importlib import resources

        source = resources.files(__name__).joinpath("__init__.py").read_text(encoding="utf-8")
        block = next(node for node in ast.parse(source).body if isinstance(node, ast.If))
        imports = (node for node in block.body if isinstance(node, ast.ImportFrom))
        return {alias.name: node.module for node in imports for alias in node.names}
