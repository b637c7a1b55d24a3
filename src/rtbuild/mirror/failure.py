"""What goes wrong while a file is read from a location."""

from __future__ import annotations

import ssl

import httpx2

from rtbuild.errors import MirrorError
from rtbuild.mirror.deadline import REASON


class FetchFailure(MirrorError):
    """What one location gave instead of a file.

    Attributes:
        transient: The same request may succeed later.
        missing: The mirror has no such file.
        unreachable: There was no connection at all.
        pause: Seconds that the mirror asked to wait before the next try.
    """

    def __init__(
        self,
        brief: str,
        *,
        transient: bool = False,
        missing: bool = False,
        unreachable: bool = False,
        pause: float = 0.0,
    ) -> None:
        super().__init__(brief)
        self.transient = transient
        self.missing = missing
        self.unreachable = unreachable
        self.pause = pause


def failure_of(error: Exception, timeout: float) -> FetchFailure | None:
    """Return the failure that an exception of httpx2 stands for; None for any other exception.

    Args:
        error: What was raised.
        timeout: Seconds without a byte after which a request fails.
    """
    if isinstance(error, httpx2.ConnectTimeout):
        return FetchFailure("the connection timed out", transient=True, unreachable=True)
    if isinstance(error, httpx2.TimeoutException):
        slow = f"took more than {2 * timeout:g} s to answer"
        return FetchFailure(slow if str(error) == REASON else f"sent nothing for {timeout:g} s", transient=True)
    if isinstance(error, httpx2.ConnectError):
        certificate = isinstance(_root(error), ssl.SSLCertVerificationError)
        return FetchFailure(f"cannot be reached: {error}", transient=not certificate, unreachable=True)
    if isinstance(error, httpx2.NetworkError | httpx2.RemoteProtocolError):
        return FetchFailure(f"the connection broke: {error}".removesuffix(": "), transient=True)
    if isinstance(error, httpx2.InvalidURL | UnicodeError):
        return FetchFailure("the address is not valid")  # the reason may quote a password
    if isinstance(error, httpx2.HTTPError | httpx2.StreamError):
        return FetchFailure(f"the request failed: {error}")
    return None


def _root(error: BaseException) -> BaseException:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return error
