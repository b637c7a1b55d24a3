"""Issuers of tokens."""

from __future__ import annotations

import pytest

from tests.fakes.token_issuer import Issuer


@pytest.fixture(scope="session")
def rsa_issuer() -> Issuer:
    return Issuer("RS256", kid="rsa-1")


@pytest.fixture(scope="session")
def ec_issuer() -> Issuer:
    return Issuer("ES256", kid="ec-1")


@pytest.fixture(scope="session")
def other_issuer() -> Issuer:
    """An issuer whose key is not trusted."""
    return Issuer("RS256", kid="rsa-2")
