"""Build Airflow runtime images that are a function of a lockfile.

The verbs are functions of this package, with the workspace first, the release second and options as keywords:

    import rtbuild

    workspace = rtbuild.Workspace.find()
    result = rtbuild.build(workspace, "8.0")

Type checkers see plain imports; at run time each name loads its module when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtbuild import engine as engine
    from rtbuild.conformance.report import CheckReport as CheckReport
    from rtbuild.conformance.report import CheckResult as CheckResult
    from rtbuild.derivations.plan import Plan as Plan
    from rtbuild.derivations.plan import PlannedLayer as PlannedLayer
    from rtbuild.engine.engine import Engine as Engine
    from rtbuild.engine.private import EngineStatus as EngineStatus
    from rtbuild.engine.usage import EnginePruned as EnginePruned
    from rtbuild.engine.usage import EngineUsage as EngineUsage
    from rtbuild.errors import BuildError as BuildError
    from rtbuild.errors import CancelledError as CancelledError
    from rtbuild.errors import EngineError as EngineError
    from rtbuild.errors import IntegrityError as IntegrityError
    from rtbuild.errors import LockError as LockError
    from rtbuild.errors import MirrorError as MirrorError
    from rtbuild.errors import NotReproducibleError as NotReproducibleError
    from rtbuild.errors import RecipeError as RecipeError
    from rtbuild.errors import ResolutionError as ResolutionError
    from rtbuild.errors import RtbuildError as RtbuildError
    from rtbuild.errors import StaleLockError as StaleLockError
    from rtbuild.errors import StoreError as StoreError
    from rtbuild.errors import UsageError as UsageError
    from rtbuild.inventory.model import FileSize as FileSize
    from rtbuild.inventory.model import ImageSize as ImageSize
    from rtbuild.inventory.model import LayerSize as LayerSize
    from rtbuild.inventory.model import PackageSize as PackageSize
    from rtbuild.inventory.page import treemap_page as treemap_page
    from rtbuild.lockfile.changes import PackageChange as PackageChange
    from rtbuild.lockfile.changes import compare_locks as compare_locks
    from rtbuild.lockfile.model import Artifact as Artifact
    from rtbuild.lockfile.model import DebArtifact as DebArtifact
    from rtbuild.lockfile.model import EngineLock as EngineLock
    from rtbuild.lockfile.model import ImageResult as ImageResult
    from rtbuild.lockfile.model import LayerResult as LayerResult
    from rtbuild.lockfile.model import Lock as Lock
    from rtbuild.lockfile.model import LockedPatch as LockedPatch
    from rtbuild.lockfile.model import LockedSuite as LockedSuite
    from rtbuild.lockfile.model import PythonArtifact as PythonArtifact
    from rtbuild.lockfile.read import read_lock as read_lock
    from rtbuild.lockfile.why import AppliedPatch as AppliedPatch
    from rtbuild.lockfile.why import Reason as Reason
    from rtbuild.mirror.download import FetchReport as FetchReport
    from rtbuild.oci.compare import Difference as Difference
    from rtbuild.platform import PLATFORMS as PLATFORMS
    from rtbuild.platform import Platform as Platform
    from rtbuild.platform import host_platform as host_platform
    from rtbuild.platform import parse_platform as parse_platform
    from rtbuild.progress import Progress as Progress
    from rtbuild.progress import Silent as Silent
    from rtbuild.recipe.model import DebianLayer as DebianLayer
    from rtbuild.recipe.model import FilesLayer as FilesLayer
    from rtbuild.recipe.model import PythonLayer as PythonLayer
    from rtbuild.recipe.model import Release as Release
    from rtbuild.settings import Settings as Settings
    from rtbuild.settings import load_settings as load_settings
    from rtbuild.store.collect import GcReport as GcReport
    from rtbuild.store.collect import Roots as Roots
    from rtbuild.store.inspect import StoreReport as StoreReport
    from rtbuild.store.store import Store as Store
    from rtbuild.verbs.build import BuildResult as BuildResult
    from rtbuild.verbs.build import BuiltLayer as BuiltLayer
    from rtbuild.verbs.build import build as build
    from rtbuild.verbs.check import check as check
    from rtbuild.verbs.check import check_image as check_image
    from rtbuild.verbs.engine import engine_status as engine_status
    from rtbuild.verbs.engine import engine_usage as engine_usage
    from rtbuild.verbs.engine import find_engine as find_engine
    from rtbuild.verbs.engine import prune_engine as prune_engine
    from rtbuild.verbs.engine import remove_engine as remove_engine
    from rtbuild.verbs.engine import start_engine as start_engine
    from rtbuild.verbs.engine import stop_engine as stop_engine
    from rtbuild.verbs.export import export as export
    from rtbuild.verbs.fetch import fetch as fetch
    from rtbuild.verbs.init import InitResult as InitResult
    from rtbuild.verbs.init import init as init
    from rtbuild.verbs.list import ListedRelease as ListedRelease
    from rtbuild.verbs.list import list_releases as list_releases
    from rtbuild.verbs.load import load as load
    from rtbuild.verbs.lock import EngineLockResult as EngineLockResult
    from rtbuild.verbs.lock import LockResult as LockResult
    from rtbuild.verbs.lock import check_lock as check_lock
    from rtbuild.verbs.lock import lock as lock
    from rtbuild.verbs.lock import lock_engine as lock_engine
    from rtbuild.verbs.mirrors import MirrorReport as MirrorReport
    from rtbuild.verbs.mirrors import mirrors as mirrors
    from rtbuild.verbs.plan import plan as plan
    from rtbuild.verbs.size import size as size
    from rtbuild.verbs.verification import ReadFiles as ReadFiles
    from rtbuild.verbs.verification import VerifiedLayer as VerifiedLayer
    from rtbuild.verbs.verification import VerifyReport as VerifyReport
    from rtbuild.verbs.verify import verify as verify
    from rtbuild.verbs.verify import verify_image as verify_image
    from rtbuild.verbs.why import why as why
    from rtbuild.version import __version__ as __version__
    from rtbuild.workspace import Workspace as Workspace
else:
    from rtbuild.lazy import lazy_names

    __getattr__, __dir__ = lazy_names(__name__)
