"""Parse JSON and TOML that others wrote, within limits.

The parsers of the standard library raise `RecursionError` for deep nesting and have no limit on the size. What is
returned here can be walked, printed and written again without surprise: no deep nesting, no number that JSON does not
have, no half of a surrogate pair, no name twice in one object.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

DEEPEST = 64
"""The number of objects and lists that may lie in each other. Documents of the formats that are read have 10."""

LARGEST_JSON = 64 << 20
"""Bytes of JSON. The largest pages of package indexes have 10 MiB."""

LARGEST_TOML = 8 << 20
"""Bytes of TOML. A lockfile of 300 packages has 200 KiB, and parsing takes seconds per MiB at worst."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse_json(content: bytes, *, limit: int = LARGEST_JSON) -> Any:
    """Return the value that a JSON text in UTF-8 stands for.

    Args:
        content: The text.
        limit: The most bytes that it may have.

    Raises:
        ValueError: if it is not JSON (RFC 8259), too large or nested too deep; the message gives the place and
            continues a sentence about the document ("is not JSON: ...").
    """
    if len(content) > limit:
        raise ValueError(f"has {len(content)} bytes, more than the {limit} that are read")
    try:
        value = json.loads(
            content.decode(), object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_finite
        )
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError as error:
        raise ValueError(f"is not JSON: byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise ValueError(f"is not JSON: {error.msg[:1].lower()}{error.msg[1:]} at {where}") from None
    except ValueError as error:
        raise ValueError(f"is not JSON: {_plain(error)}") from None
    _check_depth(value)
    if _SURROGATE.search(content):
        _check_text(value)
    return value


def parse_toml(content: bytes, *, limit: int = LARGEST_TOML) -> dict[str, Any]:
    """Return the table that a TOML text in UTF-8 stands for.

    Args:
        content: The text.
        limit: The most bytes that it may have.

    Raises:
        ValueError: if it is not TOML, too large or nested too deep; the message gives the place and continues a
            sentence about the document ("is not valid TOML: ...").
    """
    # Not tomllib, which is the same parser in pure Python: reading a lock takes a third of the time. Imported here,
    # because most readers of JSON read no TOML.
    import tomli

    if len(content) > limit:
        raise ValueError(f"has {len(content)} bytes, more than the {limit} that are read")
    try:
        table = tomli.loads(content.decode())
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 text (byte {error.start})") from None
    except (ValueError, OverflowError) as error:  # not only TOMLDecodeError: Python refuses numbers of 5,000 digits
        text = _plain(error)
        raise ValueError(f"is not valid TOML: {text[:1].lower()}{text[1:]}") from None
    _check_depth(table)
    return table


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        # Parsers differ in which of the two counts, so a reader could be shown another document than a checker.
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the name {twice[:60]!r} twice")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is out of range")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _check_depth(value: object) -> None:
    """Refuse deep nesting, level by level, because a recursive walk is what it would break."""
    level = [value]
    for _ in range(DEEPEST + 1):
        inner: list[object] = []
        for container in level:
            if isinstance(container, dict):
                inner += [child for child in container.values() if isinstance(child, (dict, list))]
            elif isinstance(container, list):
                inner += [child for child in container if isinstance(child, (dict, list))]
        if not inner:
            return
        level = inner
    raise _too_deep()


def _check_text(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("is not JSON: a string has half of a surrogate pair") from None


def _plain(error: BaseException) -> str:
    """Return the message of an error without Python's advice on its own limit for digits."""
    text = str(error)
    return "a number has too many digits" if text.startswith("Exceeds the limit") else text


def _too_deep() -> ValueError:
    return ValueError(f"is nested more than {DEEPEST} levels deep")
