"""From the Authorization header to an identity: signature, times, audience and claims of a token (RFC 7519)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from rtbuild_security_manager.errors import Refused
from rtbuild_security_manager.keys import ALGORITHMS, VerificationKey
from rtbuild_security_manager.roles import roles_of_claim
from rtbuild_security_manager.sources import KeySource

_BEARER = re.compile(r"bearer +([^\s,]+) *\Z", re.IGNORECASE)
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_CLAIMS = ("exp", "nbf", "aud", "sub", "email", "full_name", "roles")


@dataclass(frozen=True)
class Identity:
    """Whom a token is about. `roles` are names of Airflow's roles, never none."""

    subject: str
    email: str
    first_name: str
    last_name: str
    roles: frozenset[str]


class TokenVerifier:
    """Verifies tokens for `audience` with the keys of a source. `leeway` is in seconds."""

    def __init__(self, keys: KeySource, *, audience: str, leeway: float) -> None:
        self._keys = keys
        self._audience = audience
        self._leeway = leeway

    def identity(self, authorization: str | None) -> Identity:
        """Whom the value of an Authorization header is about; raises `Refused` for anything but a good token."""
        try:
            return identity_of_claims(self._claims(bearer_token(authorization)))
        except Refused:
            raise
        except Exception as error:
            # Whatever a token made a library stumble over, its text may hold a piece of the token
            raise Refused(f"the token cannot be read ({type(error).__name__})") from None

    def _claims(self, token: str) -> Mapping[str, Any]:
        algorithm, kid = _header(token)
        seen = self._keys.current()
        claims = self._verified(token, algorithm, kid, seen)
        if claims is None:
            claims = self._verified(token, algorithm, kid, self._keys.renewed(seen))
        if claims is None:
            raise Refused("no key fits the signature" if seen else "there is no key to verify with")
        return claims

    def _verified(
        self, token: str, algorithm: str, kid: str | None, keys: tuple[VerificationKey, ...]
    ) -> Mapping[str, Any] | None:
        """The claims of a token with a signature by one of `keys`, None where none of them made it."""
        for key in keys:
            if not key.may_verify(algorithm, kid):
                continue
            try:
                return self._decoded(token, key)
            except jwt.InvalidSignatureError:
                continue
        return None

    def _decoded(self, token: str, key: VerificationKey) -> Mapping[str, Any]:
        try:
            return jwt.decode(
                token,
                key.key,  # type: ignore[arg-type, unused-ignore]
                algorithms=[key.algorithm],
                audience=self._audience,
                leeway=self._leeway,
            )
        except jwt.InvalidSignatureError:
            raise
        except jwt.ExpiredSignatureError:
            raise Refused("the token has expired") from None
        except jwt.ImmatureSignatureError:
            raise Refused("the token is not valid yet") from None
        except jwt.InvalidAudienceError:
            raise Refused("the token is for another audience") from None
        except jwt.MissingRequiredClaimError as error:
            raise Refused(f"the token has no {error.claim}") from None


def bearer_token(authorization: str | None) -> str:
    """The token of an Authorization header (RFC 6750, section 2.1); raises `Refused`."""
    if authorization is None:
        raise Refused("there is no token")
    match = _BEARER.match(authorization)
    if not match:
        raise Refused("the Authorization header is no bearer token")
    return match.group(1)


def identity_of_claims(claims: Mapping[str, Any]) -> Identity:
    """Whom verified claims are about; raises `Refused` for one that is missing or of the wrong kind."""
    for name in _CLAIMS:
        if name not in claims:
            raise Refused(f"the token has no {name}")
    for name in ("exp", "nbf"):
        if not isinstance(claims[name], (int, float)) or isinstance(claims[name], bool):
            raise Refused(f"{name} of the token is no time")
    subject, email = _word(claims, "sub"), _word(claims, "email")
    full_name = claims["full_name"]
    if not (full_name is None or isinstance(full_name, str)):
        raise Refused("full_name of the token is no text")
    first_name, _, last_name = _CONTROL.sub(" ", full_name or "").strip().partition(" ")
    return Identity(
        subject=subject,
        email=email,
        first_name=first_name or email,
        last_name=last_name.strip(),
        roles=roles_of_claim(claims["roles"]),
    )


def _header(token: str) -> tuple[str, str | None]:
    """Algorithm and key name that a token claims to have; raises `Refused` unless they may count."""
    if not _COMPACT.match(token):
        raise Refused("the token is no signed JWT")
    # Not by PyJWT: some releases look into `crit` and `kid`, others do not, and it is said here why a token is refused
    encoded = token.split(".", 1)[0]
    header = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    if not isinstance(header, dict):
        raise Refused("the token cannot be read")
    algorithm, kid = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise Refused(f"the token's algorithm is neither {' nor '.join(ALGORITHMS)}")
    if "crit" in header:
        # RFC 7515, section 4.1.11: what must be understood and is not, makes the token invalid
        raise Refused("the token has critical extensions")
    if not (kid is None or isinstance(kid, str)):
        raise Refused("the token's kid is no text")
    return algorithm, kid


def _word(claims: Mapping[str, Any], name: str) -> str:
    value = claims[name]
    if not isinstance(value, str) or not value or value != value.strip() or _CONTROL.search(value):
        raise Refused(f"{name} of the token is no plain text")
    return value
