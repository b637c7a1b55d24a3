"""What `-v` logs on stderr."""

from __future__ import annotations

import logging
import sys

_LEVELS = (logging.INFO, logging.DEBUG)


def start_logging(verbosity: int) -> None:
    """Log what rtbuild does (`verbosity` 1: commands and steps, 2: every request) on stderr, one line each."""
    logger = logging.getLogger("rtbuild")
    logger.setLevel(_LEVELS[min(verbosity, len(_LEVELS)) - 1])
    if not logger.handlers:  # -v may stand before and after the command
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S"))
        logger.addHandler(handler)
