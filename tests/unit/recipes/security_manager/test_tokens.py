"""Verifying tokens."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import time
from typing import Any

import jwt
import pytest
from rtbuild_security_manager.errors import Refused
from rtbuild_security_manager.keys import VerificationKey, keys_of_jwk, keys_of_pem
from rtbuild_security_manager.tokens import Identity, TokenVerifier

from tests.fakes.token_issuer import AUDIENCE, MISSING, Issuer, claims, forge


class FixedKeys:
    """Keys chosen by the test; `later` are returned if none of `now` fits."""

    def __init__(self, now: tuple[VerificationKey, ...], later: tuple[VerificationKey, ...] = ()) -> None:
        self.now = now
        self.later = later

    def current(self) -> tuple[VerificationKey, ...]:
        return self.now

    def renewed(self, seen: tuple[VerificationKey, ...]) -> tuple[VerificationKey, ...]:
        assert seen is self.now
        return self.later


@pytest.fixture
def keys(rsa_issuer: Issuer, ec_issuer: Issuer) -> FixedKeys:
    return FixedKeys(keys_of_jwk(json.dumps({"keys": [rsa_issuer.jwk, ec_issuer.jwk]}).encode()))


@pytest.fixture
def verifier(keys: FixedKeys) -> TokenVerifier:
    return TokenVerifier(keys, audience=AUDIENCE, leeway=60)


def reason(verifier: TokenVerifier, token: str) -> str:
    with pytest.raises(Refused) as caught:
        verifier.identity(f"Bearer {token}")
    return str(caught.value)


def test_a_valid_token_identifies_its_user(verifier: TokenVerifier, rsa_issuer: Issuer, ec_issuer: Issuer) -> None:
    expected = Identity(
        subject="ada",
        email="ada@mail.example",
        first_name="Ada",
        last_name="King Lovelace",
        roles=frozenset({"Admin", "User"}),
    )
    for issuer in (rsa_issuer, ec_issuer):
        assert verifier.identity(f"Bearer {issuer.token(roles=['User', 'Admin', 'User'])}") == expected


@pytest.mark.parametrize(
    ("full_name", "first", "last"),
    [
        ("Ada", "Ada", ""),
        (None, "ada@mail.example", ""),
        ("  ", "ada@mail.example", ""),
        (" Ada \n King\x00", "Ada", "King"),
        ("\u200d\u0645\u0631\u06cc\u0645", "\u200d\u0645\u0631\u06cc\u0645", ""),
    ],
)
def test_names_of_all_kinds(
    verifier: TokenVerifier, rsa_issuer: Issuer, full_name: str | None, first: str, last: str
) -> None:
    identity = verifier.identity(f"Bearer {rsa_issuer.token(full_name=full_name)}")
    assert (identity.first_name, identity.last_name) == (first, last)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, "there is no token"),
        ("", "no bearer token"),
        ("Bearer", "no bearer token"),
        ("Bearer ", "no bearer token"),
        ("Basic YWRhOmFkYQ==", "no bearer token"),
        ("Bearer one two", "no bearer token"),
        ("Bearer a.b.c,Bearer a.b.c", "no bearer token"),
        ("Bearer nonsense", "no signed JWT"),
        ("Bearer ..", "no signed JWT"),
        ("Bearer a.b.c.d.e", "no signed JWT"),
        ("Bearer a.b.c=", "no signed JWT"),
        ("Bearer é.é.é", "no signed JWT"),
        ("Bearer a.b.c", "cannot be read"),
        ("Bearer e30.e30.e30", "algorithm"),
        ("Bearer W10.e30.e30", "cannot be read"),
    ],
)
def test_a_header_without_a_token(verifier: TokenVerifier, header: str | None, expected: str) -> None:
    with pytest.raises(Refused, match=expected):
        verifier.identity(header)


def test_the_scheme_is_bearer_in_any_case(verifier: TokenVerifier, rsa_issuer: Issuer) -> None:
    assert verifier.identity(f"bEARER  {rsa_issuer.token()} ").subject == "ada"


@pytest.mark.parametrize("off", [-59, 0, 1000])
def test_times_within_the_leeway_are_accepted(verifier: TokenVerifier, rsa_issuer: Issuer, off: int) -> None:
    now = int(time.time())
    verifier.identity(f"Bearer {rsa_issuer.token(exp=now + off + 1, nbf=now - min(off, 0))}")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"exp": -61}, "expired"),
        ({"exp": -100000}, "expired"),
        ({"nbf": 120}, "not valid yet"),
    ],
    ids=str,
)
def test_a_token_of_another_time(
    verifier: TokenVerifier, rsa_issuer: Issuer, changes: dict[str, int], expected: str
) -> None:
    now = int(time.time())
    times: dict[str, Any] = {name: now + off for name, off in changes.items()}
    assert expected in reason(verifier, rsa_issuer.token(**times))


@pytest.mark.parametrize(
    "audience", ["other.example", "", ["other.example"], [], AUDIENCE.upper(), f"{AUDIENCE}.", None, 7]
)
def test_a_token_for_another_audience(verifier: TokenVerifier, rsa_issuer: Issuer, audience: Any) -> None:
    assert reason(verifier, rsa_issuer.token(aud=audience))


def test_a_token_for_several_audiences(verifier: TokenVerifier, rsa_issuer: Issuer) -> None:
    verifier.identity(f"Bearer {rsa_issuer.token(aud=['other.example', AUDIENCE])}")


@pytest.mark.parametrize("name", ["exp", "nbf", "aud", "sub", "email", "full_name", "roles"])
def test_a_claim_that_is_missing_is_named(verifier: TokenVerifier, rsa_issuer: Issuer, name: str) -> None:
    changes: dict[str, Any] = {name: MISSING}
    assert reason(verifier, rsa_issuer.token(**changes)) == f"the token has no {name}"


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": ""},
        {"sub": " ada"},
        {"sub": "ada\x00"},
        {"sub": "a\nda"},
        {"email": None},
        {"email": ""},
        {"email": ["ada@mail.example"]},
        {"full_name": 7},
        {"full_name": ["Ada"]},
        {"exp": True},
        {"exp": "soon"},
        {"exp": "4102444800"},  # 2100-01-01, as text
        {"nbf": None},
        {"nbf": "0"},
        {"roles": []},
        {"roles": None},
        {"roles": "Admin"},
        {"roles": {"Admin": True}},
        {"roles": ["SuperAdmin"]},
        {"roles": ["Viewer", "SuperAdmin"]},
        {"roles": ["admin"]},
        {"roles": [""]},
        {"roles": [None]},
        {"roles": ["Viewer", 7]},
        {"roles": [["Admin"]]},
    ],
    ids=str,
)
def test_a_claim_of_another_kind(verifier: TokenVerifier, rsa_issuer: Issuer, changes: dict[str, Any]) -> None:
    assert reason(verifier, rsa_issuer.token(**changes))


def test_infinite_times(verifier: TokenVerifier, rsa_issuer: Issuer) -> None:
    assert reason(verifier, rsa_issuer.token(exp=float("inf")))
    assert reason(verifier, rsa_issuer.token(nbf=float("nan")))


def test_a_token_signed_by_another_key(verifier: TokenVerifier, rsa_issuer: Issuer, other_issuer: Issuer) -> None:
    assert reason(verifier, other_issuer.token()) == "no key fits the signature"
    # With the name of a key that counts
    assert reason(verifier, other_issuer.token(headers={"kid": rsa_issuer.kid})) == "no key fits the signature"


def test_a_token_that_was_changed(verifier: TokenVerifier, rsa_issuer: Issuer) -> None:
    head, _, tail = rsa_issuer.token().split(".")
    _, body, _ = rsa_issuer.token(roles=["Admin"]).split(".")
    assert reason(verifier, f"{head}.{body}.{tail}") == "no key fits the signature"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS256", "", None, 7, ["RS256"]])
def test_a_token_without_an_asymmetric_signature(verifier: TokenVerifier, rsa_issuer: Issuer, algorithm: Any) -> None:
    """`none`, or a public key used as a shared secret."""
    header = {"alg": algorithm, "typ": "JWT"}
    signed = forge(header, claims(), b"").encode().rstrip(b".")
    for secret in (rsa_issuer.pem, rsa_issuer.pem.rstrip(), b""):
        token = forge(header, claims(), hmac.new(secret, signed, hashlib.sha256).digest())
        assert reason(verifier, token)
    assert reason(verifier, forge(header, claims(), b"")) == "the token is no signed JWT"


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
def test_a_valid_signature_with_another_algorithm(verifier: TokenVerifier, rsa_issuer: Issuer, algorithm: str) -> None:
    token = jwt.encode(claims(), rsa_issuer.key, algorithm=algorithm, headers={"kid": rsa_issuer.kid})
    assert "algorithm" in reason(verifier, token)


def test_the_algorithm_is_the_keys_not_the_tokens(verifier: TokenVerifier, rsa_issuer: Issuer) -> None:
    head, body, tail = rsa_issuer.token().split(".")
    other = forge({"alg": "ES256", "kid": rsa_issuer.kid}, {}, b"x").split(".")[0]
    assert reason(verifier, f"{other}.{body}.{tail}") == "no key fits the signature"
    assert head != other


def test_critical_extensions_are_refused(verifier: TokenVerifier, rsa_issuer: Issuer) -> None:
    """By the security manager itself: PyJWT of the image knows nothing of them, newer releases refuse some."""
    for extension in ("b64", "exp", "unheard-of"):
        token = rsa_issuer.token(headers={"crit": [extension], extension: True})
        assert reason(verifier, token) == "the token has critical extensions"
    nothing: list[Any] = [[], None, "exp", {}]
    for nonsense in nothing:
        assert reason(verifier, rsa_issuer.token(headers={"crit": nonsense})) == "the token has critical extensions"


def test_a_token_without_a_key_id(verifier: TokenVerifier, rsa_issuer: Issuer) -> None:
    assert verifier.identity(f"Bearer {jwt_without_kid(rsa_issuer)}").subject == "ada"


def test_without_keys_no_token_is_valid(rsa_issuer: Issuer) -> None:
    verifier = TokenVerifier(FixedKeys(()), audience=AUDIENCE, leeway=60)
    assert reason(verifier, rsa_issuer.token()) == "there is no key to verify with"


def test_keys_that_are_added_later_are_used(rsa_issuer: Issuer, ec_issuer: Issuer) -> None:
    verifier = TokenVerifier(
        FixedKeys(keys_of_pem(ec_issuer.pem), keys_of_pem(rsa_issuer.pem)), audience=AUDIENCE, leeway=60
    )
    assert verifier.identity(f"Bearer {rsa_issuer.token()}").subject == "ada"


def test_an_expired_token_does_not_ask_for_new_keys(rsa_issuer: Issuer) -> None:
    class NoMore(FixedKeys):
        def renewed(self, seen: tuple[VerificationKey, ...]) -> tuple[VerificationKey, ...]:
            raise AssertionError

    verifier = TokenVerifier(NoMore(keys_of_pem(rsa_issuer.pem)), audience=AUDIENCE, leeway=60)
    assert reason(verifier, rsa_issuer.token(exp=1)) == "the token has expired"


def test_no_part_of_a_token_is_in_a_reason_or_a_log(
    verifier: TokenVerifier, rsa_issuer: Issuer, other_issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "Sesame"
    tokens = [
        rsa_issuer.token(secret, exp=1),
        rsa_issuer.token(secret, aud=secret),
        rsa_issuer.token(secret, roles=[secret]),
        rsa_issuer.token(f"{secret}\n"),
        rsa_issuer.token(f"x{secret}", exp=secret),
        rsa_issuer.token(secret, headers={"kid": secret}),
        rsa_issuer.token(secret, headers={"crit": [secret]}),
        other_issuer.token(secret),
        forge({"alg": secret}, claims(secret), b"x"),
        secret,
        f"{secret}.{secret}.{secret}",
    ]
    with caplog.at_level(logging.DEBUG):
        for token in tokens:
            said = reason(verifier, token)
            assert secret not in said
            assert not any(part in said for part in token.split("."))
    assert secret not in caplog.text


def jwt_without_kid(issuer: Issuer) -> str:
    token: Any = jwt.encode(claims(), issuer.key, algorithm=issuer.algorithm)
    return token if isinstance(token, str) else str(token.decode())
