"""Whether an environment can reproduce the compressed bytes that a lock records.

A layer's diff ID does not depend on how the layer is compressed, its manifest digest does. `ImageResult.compressor`
therefore names the program, its version and its settings:

    zstandard 0.25.0 (libzstd 1.5.7) level 3 frames 4 MiB
    deflate 0.9.0 level 4 frames 4 MiB

The first word is the method, and the package to install.
"""

from __future__ import annotations

from rtbuild.lockfile.model import Lock


def compressor_mismatch(lock: Lock, compressor: str) -> str | None:
    """Return what is wrong with compressing the layers of `lock` with `compressor`, on one line; None if nothing is.

    Nothing is wrong if the lock records no results, if the names are equal, or if the method is another one: that was
    asked for, by a setting.
    """
    for image in (lock.image, lock.image_base):
        if image is None or image.compressor == compressor:
            continue
        if _method(image.compressor) == _method(compressor):
            return f"recorded with {image.compressor}, this environment has {compressor}"
    return None


def _method(compressor: str) -> str:
    return compressor.partition(" ")[0]
