"""Which functions of rtbuild parse bytes, and which of them no target needs to reach.

A function counts if it calls one of `PRIMITIVES`. The samples of the targets have to run it, unless `TRUSTED` says why
what it reads is not a stranger's, or is the business of another target.
"""

from __future__ import annotations

import ast
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType

SOURCE = Path(__file__).parents[2] / "src" / "rtbuild"

PRIMITIVES = frozenset(
    {
        *("parse_json", "parse_toml", "parse_document", "parse_stanza", "read_members"),
        *("json.load", "json.loads", "tomli.loads", "tomllib.load", "tomllib.loads"),
        *("zipfile.ZipFile", "tarfile.open", "csv.reader", "netrc.netrc", "marshal.loads", "pickle.loads"),
        *("configparser.ConfigParser", "configparser.RawConfigParser", "HTMLParser", "HeaderParser", "BytesParser"),
        *("struct.unpack", "struct.unpack_from", "zlib.decompressobj", "zstandard.ZstdDecompressor"),
        *("bz2.BZ2Decompressor", "lzma.LZMADecompressor", "email.message_from_bytes", "email.message_from_string"),
    }
)
"""What every parser is made of, as it is called. `Struct.unpack` and its like are found by their name."""

_METHODS = frozenset({"unpack", "unpack_from", "iter_unpack"})

_OWN = "reads what rtbuild itself has just written, on the other side of a pipe or a mount"
_DOCKER = "reads what Docker's own programs print or write on this machine"
_IMAGE = "reads what programs print that `check` runs in an image: its answer is about them and nobody else"
_CONTAINER = "runs in a container that is thrown away, where code of the same package runs too"

TRUSTED = {
    "conformance/behaviour.py:_healthy": _IMAGE,
    "conformance/behaviour.py:settings": _IMAGE,
    "conformance/subject.py:Subject.probe": _IMAGE,
    "engine/build.py:_exported": _DOCKER,
    "engine/containers.py:_exec": _DOCKER,
    "engine/endpoint.py:as_mapping": _DOCKER,
    "engine/select.py:_machine_endpoint": _DOCKER,
    "inside/build_wheels.py:build": _OWN,
    "inside/build_wheels.py:main": _OWN,
    "inside/build_wheels.py:unpack_sdist": _CONTAINER,
    "inside/build_wheels.py:unpack_wheel": _CONTAINER,
    "inside/check_compiled.py:trouble": _CONTAINER,
    "inside/compile_wheels.py:compile_task": _OWN,
    "inside/compile_wheels.py:stable": _OWN,
    "layers/scripts.py:_links": "reads a raw layer as `LayerMerge` does, which the target layer-merge tries",
    "oci/layout.py:_manifests": "reads an index as `image_of` reads a manifest, which the target oci-image tries",
    "resolve/debian/locked.py:_read": "joins what the targets deb-control and stanza try",
    "resolve/python/messages.py:decode_answer": _OWN,
    "resolve/python/messages.py:decode_report": _OWN,
    "resolve/python/messages.py:decode_start": _OWN,
}
"""Why no target has to reach a function, by its name."""


def parsing_functions() -> set[str]:
    """Return every function of rtbuild that calls a parser, such as `oci/archive.py:TarSource.read`."""
    found: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        for name, function in _functions(ast.parse(path.read_text(encoding="utf-8")), ()):
            if any(_is_primitive(call) for call in _calls(function)):
                found.add(f"{path.relative_to(SOURCE)}:{name}")
    return found


def _functions(node: ast.AST, names: tuple[str, ...]) -> Iterator[tuple[str, ast.AST]]:
    """Yield the functions in a module, nested ones too, as Python qualifies their names."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield ".".join((*names, child.name)), child
            yield from _functions(child, (*names, child.name, "<locals>"))
        else:
            yield from _functions(child, (*names, child.name) if isinstance(child, ast.ClassDef) else names)


def _calls(function: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls in a function, without those in functions that it defines."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if isinstance(child, ast.Call):
                yield child
            yield from _calls(child)


def _is_primitive(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    return name in PRIMITIVES or name.rpartition(".")[2] in _METHODS


@contextmanager
def watched() -> Iterator[set[str]]:
    """Yield a set which gets the name of every function of rtbuild that the block runs, on whatever thread."""
    seen: set[CodeType] = set()
    names: set[str] = set()

    def note(frame: FrameType, event: str, argument: object) -> None:
        seen.add(frame.f_code)

    before = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield names
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
        for code in seen:
            path = Path(code.co_filename)
            if path.is_relative_to(SOURCE):
                names.add(f"{path.relative_to(SOURCE)}:{code.co_qualname}")
