"""Public keys that may verify tokens, from PEM (RFC 7468) and JWK (RFC 7517) documents."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from rtbuild_security_manager.errors import KeysUnusable

ALGORITHMS = ("RS256", "ES256")
"""The signatures that count: asymmetric ones only, so that no public key can be taken for a shared secret."""

SMALLEST_RSA_KEY = 2048
"""Bits (RFC 7518, section 3.3)."""

_PEM_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "k"})


@dataclass(frozen=True)
class VerificationKey:
    """A public key, with the one algorithm that it may verify; `kid` is what a JWK is called, None in a PEM file."""

    algorithm: str
    key: RSAPublicKey | EllipticCurvePublicKey
    kid: str | None = None

    def may_verify(self, algorithm: str, kid: str | None) -> bool:
        """Whether a token with this header may be signed by the key: a name on one side only is no obstacle."""
        return self.algorithm == algorithm and (kid is None or self.kid is None or self.kid == kid)


def keys_of_pem(content: bytes) -> tuple[VerificationKey, ...]:
    """Every public key and certificate of a PEM file; raises `KeysUnusable`.

    Several are allowed, so that the old key and the new one can count side by side. A certificate is a container
    here: neither its dates nor its issuer are looked at."""
    found = []
    for block in _PEM_BLOCK.finditer(content):
        label = block.group(1).decode()
        try:
            if label == "CERTIFICATE":
                key: Any = x509.load_pem_x509_certificate(block.group(0)).public_key()
            elif label in ("PUBLIC KEY", "RSA PUBLIC KEY"):
                key = load_pem_public_key(block.group(0))
            else:
                raise KeysUnusable(f"it holds a {label}, where public keys and certificates belong")
        except KeysUnusable:
            raise
        except Exception as error:  # what cryptography raises differs from version to version
            raise KeysUnusable(f"its {label} cannot be read") from error
        found.append(_checked(key, kid=None))
    if not found:
        raise KeysUnusable("it holds no public key and no certificate in PEM form")
    return tuple(found)


def keys_of_jwk(content: bytes) -> tuple[VerificationKey, ...]:
    """The keys of a JWK or JWK set that may verify signatures; raises `KeysUnusable` where there is none.

    Keys of a set that are for something else (encryption, other algorithms, other types) are passed over."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise KeysUnusable("it is not JSON") from error
    if not isinstance(document, dict):
        raise KeysUnusable("it is neither a JWK nor a JWK set")
    listed = document.get("keys", [document])
    if not isinstance(listed, list):
        raise KeysUnusable("its keys are no list")
    found, reasons = [], []
    for entry in listed:
        try:
            found.append(_key_of_jwk(entry))
        except KeysUnusable as error:
            reasons.append(str(error))
    if not found:
        raise KeysUnusable("it holds no key to verify with" + (f" ({'; '.join(reasons)})" if reasons else ""))
    return tuple(found)


def _key_of_jwk(jwk: Any) -> VerificationKey:
    if not isinstance(jwk, dict):
        raise KeysUnusable("a key is no object")
    if jwk.get("use", "sig") != "sig" or "verify" not in (jwk.get("key_ops") or ["verify"]):
        raise KeysUnusable("a key is not for signatures")
    kid = jwk.get("kid")
    if not (kid is None or isinstance(kid, str)):
        raise KeysUnusable("a kid is no text")
    if _PRIVATE_MEMBERS & jwk.keys():
        raise KeysUnusable("a key is private or shared")
    try:
        if jwk.get("kty") == "RSA":
            key: Any = RSAPublicNumbers(_integer(jwk, "e"), _integer(jwk, "n")).public_key()
        elif jwk.get("kty") == "EC" and jwk.get("crv") == "P-256":
            key = EllipticCurvePublicNumbers(_integer(jwk, "x"), _integer(jwk, "y"), SECP256R1()).public_key()
        else:
            raise KeysUnusable("a key is neither RSA nor EC P-256")
    except ValueError as error:
        raise KeysUnusable("a key is broken") from error
    found = _checked(key, kid=kid)
    if jwk.get("alg", found.algorithm) != found.algorithm:
        raise KeysUnusable("a key is for another algorithm")
    return found


def _checked(key: Any, *, kid: str | None) -> VerificationKey:
    """The key with its algorithm; raises `KeysUnusable` for a type or size that does not count."""
    if isinstance(key, RSAPublicKey):
        if key.key_size < SMALLEST_RSA_KEY:
            raise KeysUnusable(f"an RSA key has {key.key_size} bits, fewer than {SMALLEST_RSA_KEY}")
        return VerificationKey(algorithm="RS256", key=key, kid=kid)
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return VerificationKey(algorithm="ES256", key=key, kid=kid)
    raise KeysUnusable("a key is neither RSA nor EC P-256")


def _integer(jwk: Mapping[str, Any], member: str) -> int:
    """A number as a JWK has it (RFC 7518, section 2: Base64urlUInt)."""
    text = jwk.get(member)
    if not isinstance(text, str) or not text:
        raise KeysUnusable(f"a key has no {member}")
    try:
        octets = base64.urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
    except (binascii.Error, ValueError) as error:
        raise KeysUnusable(f"{member} of a key is not base64url") from error
    return int.from_bytes(octets, "big")
