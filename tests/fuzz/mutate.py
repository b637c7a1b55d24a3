"""Damage bytes in the ways that break parsers. The same seed gives the same bytes."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

WORDS = (
    b"\0",
    b"\n",
    b"\r\n",
    b"\n\n",
    b" ",
    b"\t",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"../",
    b"/",
    b"..",
    b"-1",
    b"0",
    b"1e999",
    b"NaN",
    b"9" * 5000,
    b"4294967296",
    b"18446744073709551616",
    b"{",
    b"}",
    b"[",
    b"]",
    b"{}",
    b"[]",
    b"null",
    b"true",
    b'"',
    b"'",
    b'"""',
    b"#",
    b"=",
    b":",
    b",",
    b";",
    b"%",
    b"@",
    b"\\",
    b"a" * 300,
    "é".encode(),
    "٣".encode(),
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x80\0\0\0\xff\xff\xff\xff",
    b"(" * 3000,
    b"[" * 3000,
    b'{"a":' * 3000,
)
"""What parsers stumble over: ends of lines and strings, numbers out of range, encodings, deep nesting."""


def mutated(seeds: Sequence[bytes], chance: random.Random) -> bytes:
    """Return one of `seeds` with one to eight changes."""
    content = bytearray(chance.choice(seeds))
    for _ in range(min(1 + int(chance.expovariate(0.6)), 8)):
        chance.choice(_CHANGES)(content, seeds, chance)
    return bytes(content)


def _flip(content: bytearray, seeds: Sequence[bytes], chance: random.Random) -> None:
    if content:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def _replace(content: bytearray, seeds: Sequence[bytes], chance: random.Random) -> None:
    if content:
        content[chance.randrange(len(content))] = chance.randrange(256)


def _insert(content: bytearray, seeds: Sequence[bytes], chance: random.Random) -> None:
    place = chance.randint(0, len(content))
    content[place:place] = chance.choice(WORDS)


def _overwrite(content: bytearray, seeds: Sequence[bytes], chance: random.Random) -> None:
    place, word = chance.randint(0, len(content)), chance.choice(WORDS)
    content[place : place + len(word)] = word


def _number(content: bytearray, seeds: Sequence[bytes], chance: random.Random) -> None:
    """Put another number in place of one."""
    places = [place for place in range(len(content)) if 48 <= content[place] <= 57]
    if places:
        start = end = chance.choice(places)
        while end < len(content) and 48 <= content[end] <= 57:
            end += 1
        content[start:end] = chance.choice((b"0", b"-1", b"7", b"99999999999", b"9" * 5000, b"1.5", b"", b"0x10"))


def _delete(content: bytearray, seeds: Sequence[bytes], chance: random.Random) -> None:
    start = chance.randint(0, len(content))
    del content[start : start + int(chance.expovariate(0.05)) + 1]


def _truncate(content: bytearray, seeds: Sequence[bytes], chance: random.Random) -> None:
    del content[chance.randint(0, len(content)) :]


def _repeat(content: bytearray, seeds: Sequence[bytes], chance: random.Random) -> None:
    start = chance.randint(0, len(content))
    piece = content[start : start + chance.randint(1, 64)]
    content[start:start] = piece * chance.choice((1, 2, 30, 1000))


def _splice(content: bytearray, seeds: Sequence[bytes], chance: random.Random) -> None:
    """Put a piece of a seed in place of another."""
    other = chance.choice(seeds)
    start = chance.randint(0, len(other))
    piece = other[start : start + chance.randint(1, 512)]
    place = chance.randint(0, len(content))
    content[place : place + chance.choice((0, len(piece)))] = piece


_CHANGES: tuple[Callable[[bytearray, Sequence[bytes], random.Random], None], ...] = (
    _flip,
    _flip,
    _replace,
    _insert,
    _overwrite,
    _number,
    _delete,
    _truncate,
    _repeat,
    _splice,
)
