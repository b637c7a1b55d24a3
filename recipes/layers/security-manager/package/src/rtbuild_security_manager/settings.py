"""The options of section `[astronomer]`, read and checked once at start."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Optional
from urllib.parse import urlsplit

from rtbuild_security_manager.errors import ConfigurationError

SECTION = "astronomer"
SWITCHES = ("jwt_signing_cert", "houston_jwk_url", "jwt_audience")
"""Options of which any one says that tokens are wanted."""

Option = Callable[[str], Optional[str]]
"""Gives the text of an option of the section by its name, None where it is not set."""


@dataclass(frozen=True)
class TokenSettings:
    """How tokens are verified. `leeway` (for differing clocks) and `timeout` (of the JWK server) are in seconds."""

    audience: str
    signing_cert: Path | None
    jwk_url: str | None
    leeway: float = 60.0
    timeout: float = 10.0


def is_wanted(option: Option) -> bool:
    """Whether the configuration asks for tokens at all.

    Half a configuration counts as one: `read_settings` then refuses it, rather than Airflow's own login being used."""
    return any(_text(option, name) for name in SWITCHES)


def read_settings(option: Option) -> TokenSettings:
    """The settings that `option` gives; raises `ConfigurationError` naming the option that is wrong."""
    audience = _text(option, "jwt_audience")
    if not audience:
        raise ConfigurationError(f"[{SECTION}] jwt_audience is not set: a token for any other service would be let in")
    cert, url = _text(option, "jwt_signing_cert"), _text(option, "houston_jwk_url")
    if not cert and not url:
        raise ConfigurationError(f"[{SECTION}] neither jwt_signing_cert nor houston_jwk_url is set: there is no key")
    if cert and not Path(cert).is_absolute():
        raise ConfigurationError(f"[{SECTION}] jwt_signing_cert is no absolute path: {cert}")
    if url:
        _check_url(url)
    return TokenSettings(
        audience=audience,
        signing_cert=Path(cert) if cert else None,
        jwk_url=url,
        leeway=_seconds(option, "jwt_validity_leeway", default=60.0, least=0.0, most=3600.0),
        timeout=_seconds(option, "houston_url_timeout", default=10.0, least=0.01, most=300.0),
    )


def _text(option: Option, name: str) -> str | None:
    value = option(name)
    return value.strip() or None if value else None


def _seconds(option: Option, name: str, *, default: float, least: float, most: float) -> float:
    text = _text(option, name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise ConfigurationError(f"[{SECTION}] {name} is no number of seconds from {least:g} to {most:g}: {text}")
    return value


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ConfigurationError(f"[{SECTION}] houston_jwk_url is no http or https URL")
