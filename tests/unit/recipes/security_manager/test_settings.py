"""The settings of the security manager."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rtbuild_security_manager.errors import ConfigurationError
from rtbuild_security_manager.settings import TokenSettings, is_wanted, read_settings

GOOD = {"jwt_audience": "deployment.example", "jwt_signing_cert": "/etc/airflow/tls.crt"}


def test_defaults() -> None:
    assert read_settings(GOOD.get) == TokenSettings(
        audience="deployment.example",
        signing_cert=Path("/etc/airflow/tls.crt"),
        jwk_url=None,
        leeway=60.0,
        timeout=10.0,
    )


def test_all_settings() -> None:
    options = {
        "jwt_audience": " deployment.example ",
        "jwt_validity_leeway": "5",
        "houston_jwk_url": "https://keys.example:8443/jwks",
        "houston_url_timeout": "2.5",
    }
    assert read_settings(options.get) == TokenSettings(
        audience="deployment.example",
        signing_cert=None,
        jwk_url="https://keys.example:8443/jwks",
        leeway=5.0,
        timeout=2.5,
    )


@pytest.mark.parametrize("name", ["jwt_signing_cert", "houston_jwk_url", "jwt_audience"])
def test_each_of_the_settings_turns_tokens_on(name: str) -> None:
    assert is_wanted({name: "x"}.get)


@pytest.mark.parametrize(
    "options", [{}, {"jwt_audience": " "}, {"jwt_signing_cert": ""}, {"jwt_validity_leeway": "60"}]
)
def test_without_them_airflows_own_login_is_used(options: dict[str, str]) -> None:
    assert not is_wanted(options.get)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"jwt_audience": ""}, "jwt_audience"),
        ({"jwt_signing_cert": ""}, "neither jwt_signing_cert nor houston_jwk_url"),
        ({"jwt_signing_cert": "tls.crt"}, "jwt_signing_cert"),
        ({"houston_jwk_url": "keys.example/jwks"}, "houston_jwk_url"),
        ({"houston_jwk_url": "file:///etc/passwd"}, "houston_jwk_url"),
        ({"houston_jwk_url": "ftp://keys.example/"}, "houston_jwk_url"),
        ({"houston_jwk_url": "https://"}, "houston_jwk_url"),
        ({"houston_jwk_url": "https://keys.example:99999/"}, "houston_jwk_url"),
        ({"houston_jwk_url": "https://[keys/"}, "houston_jwk_url"),
        ({"jwt_validity_leeway": "a minute"}, "jwt_validity_leeway"),
        ({"jwt_validity_leeway": "-1"}, "jwt_validity_leeway"),
        ({"jwt_validity_leeway": "nan"}, "jwt_validity_leeway"),
        ({"jwt_validity_leeway": "inf"}, "jwt_validity_leeway"),
        ({"houston_url_timeout": "0"}, "houston_url_timeout"),
    ],
)
def test_an_invalid_setting_is_named(changes: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(named)):
        read_settings({**GOOD, **changes}.get)
