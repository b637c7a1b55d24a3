"""Build Airflow runtime images that are a function of a lock file.

`__all__` is the public API. Each name loads the room it comes from when it is first used, so that importing this
package costs nothing. A verb is called `<verb>_release`, because `rtbuild.<verb>` is the room that does it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rtbuild.build import BuildResult, BuiltLayer
    from rtbuild.build import build as build_release
    from rtbuild.contract import CheckResult, ContractReport, check_image, check_release
    from rtbuild.errors import RtbuildError
    from rtbuild.fetch import FetchReport, MirrorDescription, describe_mirrors, find_mirrors, open_sources
    from rtbuild.fetch import fetch as fetch_artifacts
    from rtbuild.lock.check import check_lock
    from rtbuild.lock.export import export_lock
    from rtbuild.lock.format import write_lock
    from rtbuild.lock.join import resolve_lock as lock_release
    from rtbuild.lock.model import Lock
    from rtbuild.lock.why import Need, who_needs
    from rtbuild.plan import Plan, PlannedLayer, plan_release
    from rtbuild.platform import PLATFORMS, Platform, host_platform, parse_platform
    from rtbuild.progress import Progress, Silent
    from rtbuild.project import Project
    from rtbuild.recipe.model import Release
    from rtbuild.settings import Settings, load_settings
    from rtbuild.size import ImageSize, measure_release, treemap_page
    from rtbuild.store import Keep, Store
    from rtbuild.verify import VerifyReport
    from rtbuild.verify import verify as verify_release

_ORIGIN = {
    "BuildResult": "rtbuild.build",
    "BuiltLayer": "rtbuild.build",
    "CheckResult": "rtbuild.contract",
    "ContractReport": "rtbuild.contract",
    "FetchReport": "rtbuild.fetch",
    "ImageSize": "rtbuild.size",
    "Keep": "rtbuild.store",
    "Lock": "rtbuild.lock.model",
    "MirrorDescription": "rtbuild.fetch",
    "Need": "rtbuild.lock.why",
    "PLATFORMS": "rtbuild.platform",
    "Plan": "rtbuild.plan",
    "PlannedLayer": "rtbuild.plan",
    "Platform": "rtbuild.platform",
    "Progress": "rtbuild.progress",
    "Project": "rtbuild.project",
    "Release": "rtbuild.recipe.model",
    "RtbuildError": "rtbuild.errors",
    "Settings": "rtbuild.settings",
    "Silent": "rtbuild.progress",
    "Store": "rtbuild.store",
    "VerifyReport": "rtbuild.verify",
    "build_release": "rtbuild.build:build",
    "check_image": "rtbuild.contract",
    "check_lock": "rtbuild.lock.check",
    "check_release": "rtbuild.contract",
    "describe_mirrors": "rtbuild.fetch",
    "export_lock": "rtbuild.lock.export",
    "fetch_artifacts": "rtbuild.fetch:fetch",
    "find_mirrors": "rtbuild.fetch",
    "host_platform": "rtbuild.platform",
    "load_settings": "rtbuild.settings",
    "lock_release": "rtbuild.lock.join:resolve_lock",
    "measure_release": "rtbuild.size",
    "open_sources": "rtbuild.fetch",
    "parse_platform": "rtbuild.platform",
    "plan_release": "rtbuild.plan",
    "treemap_page": "rtbuild.size",
    "verify_release": "rtbuild.verify:verify",
    "who_needs": "rtbuild.lock.why",
    "write_lock": "rtbuild.lock.format",
}
"""Where each public name comes from: a module, and after a colon what it is called there."""

__all__ = [
    "PLATFORMS",
    "BuildResult",
    "BuiltLayer",
    "CheckResult",
    "ContractReport",
    "FetchReport",
    "ImageSize",
    "Keep",
    "Lock",
    "MirrorDescription",
    "Need",
    "Plan",
    "PlannedLayer",
    "Platform",
    "Progress",
    "Project",
    "Release",
    "RtbuildError",
    "Settings",
    "Silent",
    "Store",
    "VerifyReport",
    "build_release",
    "check_image",
    "check_lock",
    "check_release",
    "describe_mirrors",
    "export_lock",
    "fetch_artifacts",
    "find_mirrors",
    "host_platform",
    "load_settings",
    "lock_release",
    "measure_release",
    "open_sources",
    "parse_platform",
    "plan_release",
    "treemap_page",
    "verify_release",
    "who_needs",
    "write_lock",
]


def __getattr__(name: str) -> Any:
    if name not in _ORIGIN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, original = _ORIGIN[name].partition(":")
    value = getattr(importlib.import_module(module), original or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
