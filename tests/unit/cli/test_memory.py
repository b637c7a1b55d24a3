"""Many threads do not each keep memory for themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import ctypes, sys, threading
from rtbuild.cli.memory import share_arenas

if sys.argv[2] == "shared":
    share_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
libc.fopen.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
libc.malloc_info.argtypes = (ctypes.c_int, ctypes.c_void_p)
libc.fclose.argtypes = (ctypes.c_void_p,)
together = threading.Barrier(8)

def work():
    together.wait()
    libc.malloc(100_000)
    together.wait()

threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
stream = libc.fopen(sys.argv[1].encode(), b"w")
libc.malloc_info(0, stream)
libc.fclose(stream)
"""


def arenas(folder: Path, how: str) -> int:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    subprocess.run([sys.executable, "-c", SCRIPT, str(folder / how), how], env=environment, check=True)
    return (folder / how).read_text().count("<heap nr=")


def test_threads_share_two_arenas(tmp_path: Path) -> None:
    """This needs glibc: no other C library has arenas."""
    assert arenas(tmp_path, "as they are") > 2
    assert arenas(tmp_path, "shared") <= 2
