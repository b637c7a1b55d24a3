"""Whose signatures are accepted, and for how long."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from rtbuild.resolve.debian.keyring import Keyring, debian_keyring

DATA = Path(__file__).parent / "data"


def test_a_signature_made_while_its_key_was_valid_stays_good() -> None:
    keyring = Keyring.from_bytes((DATA / "expired-key.asc").read_bytes(), name="an expired key")
    expiration = keyring.certificates[0].expiration
    assert expiration is not None
    assert expiration < datetime.now(UTC)
    assert keyring.signed_text((DATA / "signed-before-expiry.asc").read_bytes()) == b"Suite: x\nCodename: y"
    with pytest.raises(ValueError):
        keyring.signed_text((DATA / "signed-after-expiry.asc").read_bytes())


def test_the_vendored_keys_are_those_of_debian_11_to_13() -> None:
    names = " ".join(str(user_id) for cert in debian_keyring().certificates for user_id in cert.user_ids)
    for codename in ("11/bullseye", "12/bookworm", "13/trixie"):
        assert f"Debian Archive Automatic Signing Key ({codename})" in names
        assert f"Debian Security Archive Automatic Signing Key ({codename})" in names
        assert f"Debian Stable Release Key ({codename})" in names
