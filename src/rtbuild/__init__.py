"""Build Airflow runtime images that are a function of a lock file.

`__all__` is the public API. Each name loads the room it comes from when it is first used, so that importing this package
costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rtbuild.errors import RtbuildError
    from rtbuild.platform import PLATFORMS, Platform, host_platform, parse_platform
    from rtbuild.progress import Progress, Silent
    from rtbuild.settings import Settings, load_settings

_ORIGIN = {
    "PLATFORMS": "rtbuild.platform",
    "Platform": "rtbuild.platform",
    "Progress": "rtbuild.progress",
    "RtbuildError": "rtbuild.errors",
    "Settings": "rtbuild.settings",
    "Silent": "rtbuild.progress",
    "host_platform": "rtbuild.platform",
    "load_settings": "rtbuild.settings",
    "parse_platform": "rtbuild.platform",
}

__all__ = sorted(_ORIGIN)


def __getattr__(name: str) -> Any:
    if name not in _ORIGIN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_ORIGIN[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
