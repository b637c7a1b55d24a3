"""Connections to servers: which proxy, which login and which certificate authorities each of them gets.

HTTP/1.1 on kept connections: HTTP/2 would put all downloads behind one TCP window, and Debian mirrors mostly speak
plain HTTP/1.1 anyway. Proxies are those of the environment, as httpx2 reads it (`HTTPS_PROXY`, ...), or the one that a
mirror comes with. Certificates are verified with the authorities that the machine trusts (`SSL_CERT_FILE`,
`SSL_CERT_DIR`, the system's own), as apt and pip do.

Servers are not trusted: https never becomes http, the header of an answer has a deadline, and a login is sent to the
scheme, host and port that it belongs to, and nowhere else.
"""

from __future__ import annotations

import logging
import ssl
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import certifi
import httpx2

from rtbuild.errors import UsageError
from rtbuild.mirror.addresses import Origin, host_of, login_in, origin_of, redacted
from rtbuild.mirror.deadline import answer_within, deadlines, watch
from rtbuild.mirror.failure import FetchFailure, failure_of

_LOG = logging.getLogger(__name__)

DIRECT = "DIRECT"
"""In place of a proxy: none, whatever the environment says."""

_KEPT = 3  # idle connections of a client, to the server that is asked and those that it redirects to


class Connections:
    """Connections to every server, shared by threads.

    Args:
        timeout: Seconds without a byte after which a request fails.
        logins: The user name and password for hosts, as in `~/.netrc`.
    """

    def __init__(self, *, timeout: float, logins: Mapping[str, tuple[str, str]]) -> None:
        self._timeout = timeout
        self._logins = dict(logins)
        self._unreachable: set[str] = set()
        self._origin_logins: dict[Origin, tuple[str, str]] = {}
        self._origin_proxies: dict[Origin, str] = {}
        self._authorities = _authorities()
        self._thread = threading.local()
        self._clients: list[httpx2.Client] = []
        self._idle_clients: dict[Origin | None, list[httpx2.Client]] = {None: [self._new_client(None)]}
        self._finalizer = weakref.finalize(self, _close, self._clients)

    def close(self) -> None:
        """Close every connection."""
        self._finalizer()

    def add_site(self, address: str, *, proxy: str | None = None) -> None:
        """Use what is known of a mirror for every location with its scheme, host and port; see `Web.add_site`."""
        origin = origin_of(address)
        if origin is None:
            return
        login = login_in(address)
        if login is not None:
            self._origin_logins.setdefault(origin, login)
        if proxy is not None:
            self._origin_proxies[origin] = proxy
            self._idle_clients.pop(origin, None)  # they have another proxy

    def reachable(self, location: str) -> bool:
        """Return False if the last request to the host of `location` found no connection or timed out."""
        return host_of(location) not in self._unreachable

    @contextmanager
    def ask(self, location: str, headers: Mapping[str, str]) -> Iterator[httpx2.Response]:
        """Send a request and open its answer once the header is there.

        Raises:
            FetchFailure: if there is no answer, or the connection breaks before the block has ended.
        """
        _LOG.debug("GET %s", redacted(location))
        try:
            with self._sent(location, headers) as response:
                yield response
        except Exception as error:
            failure = failure_of(error, self._timeout)
            if failure is None:
                raise
            if failure.unreachable or isinstance(error, httpx2.TimeoutException):
                self._unreachable.add(host_of(location))
            raise failure from None
        self._unreachable.discard(host_of(location))

    @contextmanager
    def _sent(self, location: str, headers: Mapping[str, str]) -> Iterator[httpx2.Response]:
        try:
            urlsplit(location)
        except ValueError:
            raise FetchFailure("the address is not valid") from None
        origin = origin_of(location)
        login = login_in(location) or (self._origin_logins.get(origin) if origin else None)
        if login is None and origin is not None:
            login = self._logins.get(origin[1])
        if origin is not None and login is not None and login_in(location):
            self._origin_logins[origin] = login
        self._thread.secure = False
        with deadlines(), self._client_for(origin) as client:
            answer_within(2 * self._timeout)
            with client.stream(
                "GET", redacted(location), headers=headers, auth=httpx2.BasicAuth(*login) if login else None
            ) as response:
                yield response

    @contextmanager
    def _client_for(self, origin: Origin | None) -> Iterator[httpx2.Client]:
        """Provide a client that serves no other request meanwhile, with a connection to `origin` if one is idle.

        Requests that share a client wait for one lock, under which httpcore2 polls every idle connection.
        """
        idle = self._idle_clients.setdefault(origin, [])
        try:
            client = idle.pop()
        except IndexError:
            client = self._new_client(self._origin_proxies.get(origin) if origin else None)
        try:
            yield client
        finally:
            idle.append(client)

    def _new_client(self, proxy: str | None) -> httpx2.Client:
        try:
            client = self._open_client(proxy)
        except (ImportError, ValueError, httpx2.InvalidURL) as error:
            # Support for SOCKS is another package, which rtbuild does not require.
            raise UsageError(
                "a proxy of the environment cannot be used" if proxy is None else "a proxy cannot be used",
                details=str(error).split(". ", 1)[0] if isinstance(error, ImportError) else None,
                hint="name a proxy that speaks HTTP, such as http://proxy:3128",
            ) from None
        self._clients.append(client)
        return client

    def _open_client(self, proxy: str | None) -> httpx2.Client:
        client = httpx2.Client(
            follow_redirects=True,
            timeout=httpx2.Timeout(self._timeout, connect=min(self._timeout, 10.0)),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=_KEPT),
            headers={"User-Agent": "rtbuild"},
            verify=self._authorities,
            trust_env=proxy is None,
            proxy=None if proxy in (None, DIRECT) else proxy,
            event_hooks={"request": [self._check_scheme]},
        )
        watch(client)
        return client

    def _check_scheme(self, request: httpx2.Request) -> None:
        """Refuse a redirect from https to http, on which anybody could read and answer."""
        if request.url.scheme == "https":
            self._thread.secure = True
        elif self._thread.secure:
            raise FetchFailure("redirects from https to http, which is refused")


def _close(clients: Sequence[httpx2.Client]) -> None:
    for client in clients:
        client.close()


def _authorities() -> ssl.SSLContext:
    """Return what the machine trusts, which may include a company's own authority; certifi's list if that is nothing.

    The context is made here, not by httpx2, whose own choice of authorities changed between versions.
    """
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    folder = Path(paths.capath or paths.openssl_capath)
    if not context.cert_store_stats()["x509_ca"] and not (folder.is_dir() and any(folder.iterdir())):
        context.load_verify_locations(certifi.where())
    return context
