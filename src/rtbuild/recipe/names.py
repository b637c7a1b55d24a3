"""Checks of the names and versions that recipes write: each returns the value or raises `ValueError` with a reason."""

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
    """`major.minor.patch`."""
    if not _RELEASE.match(text):
        raise ValueError("a release is named major.minor.patch, such as 8.0.0")
    return text


def release_order(version: str) -> tuple[int, ...]:
    """The sort key of a release version."""
    return tuple(int(part) for part in version.split("."))


def python_series(text: str) -> str:
    """A Python series, `major.minor`."""
    if not _SERIES.match(text):
        raise ValueError("a Python series such as 3.9 is expected; its patch comes from the Debian package")
    return text


def month(text: str) -> str:
    """A month, `2023-11`."""
    if not _MONTH.match(text):
        raise ValueError("a month such as 2023-11 is expected")
    return text


def plain_name(text: str) -> str:
    """The name of a layer, engine or archive."""
    if not _NAME.match(text):
        raise ValueError("a name of lower-case letters, digits and single hyphens is expected")
    return text


def debian_name(text: str) -> str:
    """The name of a Debian package (Debian Policy 5.6.7)."""
    if not _DEBIAN.match(text):
        raise ValueError("not a Debian package name")
    return text


def debian_request(text: str) -> str:
    """A Debian package's name, or `name=version` as apt-get spells it."""
    name, equals, version = text.partition("=")
    debian_name(name)
    if equals:
        debian_version(version)
    return text


def debian_version(text: str) -> str:
    """The version of a Debian package (Debian Policy 5.6.12)."""
    if not _DEBIAN_VERSION.match(text):
        raise ValueError("not a Debian version")
    return text


def suite_name(text: str) -> str:
    """The name of a suite below `dists/`."""
    if not _SUITE.match(text):
        raise ValueError("not the name of a suite")
    return text


def snapshot_moment(text: str) -> str:
    """A moment as dated archives spell it, `20230501T000000Z`."""
    try:
        if not _SNAPSHOT.match(text):
            raise ValueError(text)
        datetime.strptime(text, "%Y%m%dT%H%M%SZ")  # there is no thirteenth month
    except ValueError:
        raise ValueError("a moment such as 20230501T000000Z is expected") from None
    return text


def python_version(text: str) -> str:
    """The version of a Python package (PEP 440)."""
    try:
        Version(text)
    except InvalidVersion:
        raise ValueError("not a version (PEP 440)") from None
    return text


def requirement(text: str) -> Requirement:
    """A requirement (PEP 508) by name: an address would tie the release to a place."""
    try:
        parsed = Requirement(text)
    except InvalidRequirement as cause:
        raise ValueError(f"not a requirement (PEP 508): {str(cause).splitlines()[0]}") from None
    if parsed.url is not None:
        raise ValueError("a requirement names a package and versions, never an address")
    return parsed


def constraint(text: str) -> Requirement:
    """A requirement that says only which versions may be chosen: it has a version and no extras."""
    parsed = requirement(text)
    if not parsed.specifier:
        raise ValueError("a constraint needs a version, such as ==1.2.3")
    if parsed.extras:
        raise ValueError("a constraint cannot have extras")
    return parsed


def is_pin(specifier: Specifier) -> bool:
    """Whether it allows one version alone, but for local ones of it (PEP 440)."""
    return specifier.operator == "==" and not specifier.version.endswith(".*")


def normalized(name: str) -> str:
    """A Python package's name as indexes compare it (PEP 503)."""
    return canonicalize_name(name)
