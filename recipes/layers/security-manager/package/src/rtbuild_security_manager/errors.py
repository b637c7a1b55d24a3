"""What can be wrong: the configuration, a key, a request."""

from __future__ import annotations


class ConfigurationError(Exception):
    """An option that is missing or makes no sense; the text names it."""


class KeysUnusable(Exception):
    """A file or document that gives no key to verify with."""


class Refused(Exception):
    """A request that is not let in.

    The text says why in fixed words: nothing of the token is in it, so it may be logged.
    """
