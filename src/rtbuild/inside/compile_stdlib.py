"""Byte-compile the modules that Debian packages installed; runs in the layer's root, on its Python, with its standard library alone.

    PYTHONHASHSEED=0 python3.9 -s -S -B compile_stdlib.py EPOCH FOLDER...

Debian's packages do the same when they are configured, but their bytes differ from run to run. Each folder of modules is compiled by a
process of its own, forked from one parent, for the reason that compile_wheels.py gives. Each .pyc holds the time that its source will
have in the layer: its own, but EPOCH (seconds since 1970) if it is later.
"""

import importlib.util
import os
import sys
import warnings

from compile_wheels import compile_module


def main(epoch, roots):
    if sys.flags.hash_randomization:
        sys.exit("PYTHONHASHSEED must be 0: the order of constant sets depends on it")
    warnings.simplefilter("ignore")
    waiting = [folder for root in roots for folder, _, _ in os.walk(root)]
    running = set()
    failed = False
    while waiting or running:
        while waiting and len(running) < os.cpu_count():
            folder = waiting.pop()
            child = os.fork()
            if not child:
                compile_folder(folder, epoch)
            running.add(child)
        child, status = os.wait()
        running.discard(child)
        failed = failed or status != 0
    if failed:
        sys.exit("compiling the standard library failed")


def compile_folder(folder, epoch):
    """Compile the modules of `folder`, not of those below it, and end the process."""
    status = 1
    try:
        for name in sorted(os.listdir(folder)):
            source = os.path.join(folder, name)
            # python3-distutils and others link to modules of another package; Debian compiles those too
            if name.endswith(".py") and os.path.isfile(source):
                with open(source, "rb") as stream:
                    compiled = compile_module(stream.read(), source, min(int(os.fstat(stream.fileno()).st_mtime), epoch))
                if compiled is not None:
                    target = importlib.util.cache_from_source(source)
                    os.makedirs(os.path.dirname(target), exist_ok=True)
                    with open(target, "wb") as stream:
                        stream.write(compiled)
        status = 0
    except BaseException as error:
        sys.stderr.write("%s: %s: %s\n" % (folder, type(error).__name__, error))
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
