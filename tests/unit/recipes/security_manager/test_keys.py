"""Reading verification keys: PEM files and JSON Web Keys."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from rtbuild_security_manager.errors import KeysUnusable
from rtbuild_security_manager.keys import VerificationKey, keys_of_jwk, keys_of_pem

from tests.fakes.token_issuer import Issuer


def same(key: VerificationKey, issuer: Issuer) -> bool:
    return bool(key.key.public_numbers() == issuer.key.public_key().public_numbers())


def test_a_public_key_in_pem_form(rsa_issuer: Issuer, ec_issuer: Issuer) -> None:
    (rsa,) = keys_of_pem(rsa_issuer.pem)
    (ec,) = keys_of_pem(ec_issuer.pem)
    assert (rsa.algorithm, rsa.kid, same(rsa, rsa_issuer)) == ("RS256", None, True)
    assert (ec.algorithm, ec.kid, same(ec, ec_issuer)) == ("ES256", None, True)


def test_the_key_of_a_certificate(rsa_issuer: Issuer) -> None:
    (key,) = keys_of_pem(rsa_issuer.certificate)
    assert same(key, rsa_issuer)


def test_several_keys_in_one_file_with_text_around_them(rsa_issuer: Issuer, ec_issuer: Issuer) -> None:
    content = b"the old one\r\n" + rsa_issuer.pem.replace(b"\n", b"\r\n") + b"the new one\n" + ec_issuer.certificate
    assert [key.algorithm for key in keys_of_pem(content)] == ["RS256", "ES256"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no key",
        b"-----BEGIN PUBLIC KEY-----\nbm8ga2V5\n-----END PUBLIC KEY-----\n",
        b"-----BEGIN CERTIFICATE-----\nbm8ga2V5\n-----END CERTIFICATE-----\n",
        b"-----BEGIN PUBLIC KEY-----\nbm8ga2V5\n",
    ],
)
def test_a_file_without_a_key_is_refused(content: bytes) -> None:
    with pytest.raises(KeysUnusable):
        keys_of_pem(content)


def test_a_broken_key_is_an_error_even_next_to_a_good_one(rsa_issuer: Issuer) -> None:
    with pytest.raises(KeysUnusable, match="cannot be read"):
        keys_of_pem(rsa_issuer.pem + b"-----BEGIN PUBLIC KEY-----\nbm8ga2V5\n-----END PUBLIC KEY-----\n")


def test_a_private_key_is_refused(rsa_issuer: Issuer) -> None:
    private = rsa_issuer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(KeysUnusable, match="PRIVATE KEY"):
        keys_of_pem(private)


def test_keys_of_other_types_and_sizes_are_refused() -> None:
    ed = ed25519.Ed25519PrivateKey.generate().public_key()
    for content in (
        ed.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        Issuer("ES384").pem,
        Issuer("RS256", bits=1024).pem,
    ):
        with pytest.raises(KeysUnusable, match=r"neither RSA nor EC P-256|1024 bits"):
            keys_of_pem(content)


def test_a_single_jwk_and_a_set(rsa_issuer: Issuer, ec_issuer: Issuer) -> None:
    (key,) = keys_of_jwk(json.dumps(rsa_issuer.jwk).encode())
    assert (key.algorithm, key.kid, same(key, rsa_issuer)) == ("RS256", "rsa-1", True)
    rsa, ec = keys_of_jwk(json.dumps({"keys": [rsa_issuer.jwk, ec_issuer.jwk]}).encode())
    assert [(rsa.kid, same(rsa, rsa_issuer)), (ec.kid, same(ec, ec_issuer))] == [("rsa-1", True), ("ec-1", True)]


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "enc"},
        {"key_ops": ["encrypt"]},
        {"alg": "RS512"},
        {"alg": "HS256"},
        {"alg": "ES256"},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "OKP"},
        {"kty": None},
        {"kid": 7},
        {"d": "AQAB"},
        {"n": None},
        {"n": ""},
        {"n": "AQAB"},
        {"n": "*"},
        {"e": "Ag"},
        {"e": 65537},
    ],
    ids=str,
)
def test_a_jwk_for_another_use_is_ignored(changes: dict[str, Any], rsa_issuer: Issuer, ec_issuer: Issuer) -> None:
    jwk = {**rsa_issuer.jwk, **changes}
    with pytest.raises(KeysUnusable):
        keys_of_jwk(json.dumps(jwk).encode())
    (key,) = keys_of_jwk(json.dumps({"keys": [jwk, ec_issuer.jwk]}).encode())
    assert key.kid == "ec-1"


@pytest.mark.parametrize("changes", [{"crv": "P-384"}, {"crv": "P-521"}, {"x": "AQAB"}, {"y": None}], ids=str)
def test_a_jwk_that_is_not_a_point_of_the_curve(changes: dict[str, Any], ec_issuer: Issuer) -> None:
    with pytest.raises(KeysUnusable):
        keys_of_jwk(json.dumps({**ec_issuer.jwk, **changes}).encode())


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"[]", b"null", b"\xff", b'{"keys": []}', b'{"keys": 1}', b"[" * 99999]
)
def test_a_document_that_is_not_a_jwk_set(content: bytes) -> None:
    with pytest.raises(KeysUnusable):
        keys_of_jwk(content)


def test_a_key_matches_if_only_one_side_has_a_key_id(rsa_issuer: Issuer) -> None:
    (named,) = keys_of_jwk(json.dumps(rsa_issuer.jwk).encode())
    (nameless,) = keys_of_pem(rsa_issuer.pem)
    assert named.may_verify("RS256", "rsa-1")
    assert named.may_verify("RS256", None)
    assert nameless.may_verify("RS256", "anything")
    assert not named.may_verify("RS256", "rsa-2")
    assert not named.may_verify("ES256", "rsa-1")
