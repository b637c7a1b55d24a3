"""Checks of the names and versions in recipes and lockfiles.

Each check returns its value, or raises `ValueError` with the reason why it is malformed.
"""

from __future__ import annotations

import re
from datetime import datetime

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import Specifier
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

_RELEASE = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)\Z")
_SERIES = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\Z")
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])\Z")
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")
_DEBIAN = re.compile(r"[a-z0-9][a-z0-9+.-]+\Z")
_DEBIAN_VERSION = re.compile(r"([0-9]+:)?[0-9][A-Za-z0-9.+~-]*\Z")
_SUITE = re.compile(r"[a-z0-9][a-z0-9.-]*(/[a-z0-9-]+)?\Z")
_SNAPSHOT = re.compile(r"[0-9]{8}T[0-9]{6}Z\Z")


def release_version(text: str) -> str:
    """Check the version of a release, `major.minor.patch`."""
    if not _RELEASE.match(text):
        raise ValueError("expected major.minor.patch, such as 8.0.0")
    return text


def release_order(version: str) -> tuple[int, ...]:
    """Return the sort key of a release version."""
    return tuple(int(part) for part in version.split("."))


def python_series(text: str) -> str:
    """Check a Python series, `major.minor`."""
    if not _SERIES.match(text):
        raise ValueError("expected a Python series such as 3.9; the patch version comes from the Debian package")
    return text


def month(text: str) -> str:
    """Check a month, `2023-11`."""
    if not _MONTH.match(text):
        raise ValueError("expected a month such as 2023-11")
    return text


def plain_name(text: str) -> str:
    """Check the name of a layer, engine, archive or patch."""
    if not _NAME.match(text):
        raise ValueError("expected lower-case letters, digits and single hyphens")
    return text


def debian_name(text: str) -> str:
    """Check the name of a Debian package (Debian Policy 5.6.7)."""
    if not _DEBIAN.match(text):
        raise ValueError("not a Debian package name")
    return text


def debian_request(text: str) -> str:
    """Check the name of a Debian package, or `name=version` as apt-get spells it."""
    name, equals, version = text.partition("=")
    debian_name(name)
    if equals:
        debian_version(version)
    return text


def debian_version(text: str) -> str:
    """Check the version of a Debian package (Debian Policy 5.6.12)."""
    if not _DEBIAN_VERSION.match(text):
        raise ValueError("not a Debian version")
    return text


def suite_name(text: str) -> str:
    """Check the name of a suite below `dists/`."""
    if not _SUITE.match(text):
        raise ValueError("not a suite name")
    return text


def snapshot_moment(text: str) -> str:
    """Check a moment as dated archives spell it, `20230501T000000Z`."""
    try:
        if not _SNAPSHOT.match(text):
            raise ValueError(text)
        datetime.strptime(text, "%Y%m%dT%H%M%SZ")  # refuses a thirteenth month
    except ValueError:
        raise ValueError("expected a moment such as 20230501T000000Z") from None
    return text


def pep440_version(text: str) -> str:
    """Check the version of a Python package (PEP 440)."""
    try:
        Version(text)
    except InvalidVersion:
        raise ValueError("not a version (PEP 440)") from None
    return text


def requirement(text: str) -> Requirement:
    """Check a requirement (PEP 508) without a URL, which would tie the release to one server."""
    try:
        parsed = Requirement(text)
    except InvalidRequirement as cause:
        raise ValueError(f"not a requirement (PEP 508): {str(cause).splitlines()[0]}") from None
    if parsed.url is not None:
        raise ValueError("a requirement must name a package and versions, not a URL")
    return parsed


def constraint(text: str) -> Requirement:
    """Check a constraint: a requirement with a version and without extras."""
    parsed = requirement(text)
    if not parsed.specifier:
        raise ValueError("a constraint needs a version, such as ==1.2.3")
    if parsed.extras:
        raise ValueError("a constraint cannot have extras")
    return parsed


def is_pin(specifier: Specifier) -> bool:
    """Return whether `specifier` allows one version only, with or without a local part (PEP 440)."""
    return specifier.operator == "==" and not specifier.version.endswith(".*")


def normalized(name: str) -> str:
    """Return the name of a Python package as indexes compare it (PEP 503)."""
    return canonicalize_name(name)
