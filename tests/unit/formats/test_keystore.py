"""Java keystores with the same bytes for the same certificates."""

from __future__ import annotations

import hashlib
import random

import pytest

from rtbuild.formats.keystore import canonical_keystore
from tests.fakes.keystores import keystore, keystore_entry

EPOCH = 1_600_000_000


def test_dates_and_order_do_not_show() -> None:
    one = keystore(keystore_entry("debian:b.pem", 5, b"second"), keystore_entry("debian:a.pem", 6, b"first"))
    two = keystore(keystore_entry("debian:a.pem", 8, b"first"), keystore_entry("debian:b.pem", 7, b"second"))
    expected = keystore(
        keystore_entry("debian:a.pem", EPOCH * 1000, b"first"), keystore_entry("debian:b.pem", EPOCH * 1000, b"second")
    )
    assert canonical_keystore(one, EPOCH) == canonical_keystore(two, EPOCH) == expected
    assert canonical_keystore(expected, EPOCH) == expected


def test_an_empty_keystore_stays() -> None:
    assert canonical_keystore(keystore(), EPOCH) == keystore()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PKCS12",
        keystore(keystore_entry("a", 5), password="secret"),
        keystore(keystore_entry("a", 5), version=1),
        keystore(keystore_entry("a", 5, kind=1)),
        keystore(keystore_entry("a", 5), count=2),
        keystore(keystore_entry("a", 5), b"rest", count=1),
        keystore(keystore_entry("a", 5)[:-1], count=1),
        keystore(keystore_entry("a", 5)) + b"rest",
    ],
)
def test_anything_else_is_left_alone(content: bytes) -> None:
    assert canonical_keystore(content, EPOCH) == content


def test_damaged_keystores_are_left_alone() -> None:
    """With a digest that fits, so that the parser has to read them."""
    whole = keystore(keystore_entry("debian:a.pem", 5), keystore_entry("debian:b.pem", 5))[:-20]
    chance = random.Random(9)
    for _ in range(2000):
        body = bytearray(whole[: chance.randrange(12, len(whole) + 1)])
        body[chance.randrange(8, len(body))] = chance.randrange(256)
        content = bytes(body) + hashlib.sha1("changeit".encode("utf-16-be") + b"Mighty Aphrodite" + body).digest()
        changed = canonical_keystore(content, EPOCH)
        assert len(changed) == len(content)
        assert canonical_keystore(changed, EPOCH) == changed
