"""PostgreSQL and Redis of this machine's Debian packages, for as long as a test needs them.

with postgresql() as database, redis() as broker:
    database.url          # postgresql://postgres:postgres@127.0.0.1:40123/postgres
    database.create("x")  # another database of the server, and its address
    broker.url            # redis://127.0.0.1:40124/0

Each listens on a port of its own on the loopback interface, keeps its files in a temporary folder, and runs as an
account without rights where the tests run as root: PostgreSQL refuses to be root.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

PATIENCE = 60.0
"""Seconds until a server must answer."""
ATTEMPTS = 3
"""A free port may be taken by somebody else before the server binds it."""

# Nothing here outlives the test, so nothing needs to survive a power cut.
POSTGRESQL_OPTIONS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=200",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that runs. `log` is the file with all that it says."""

    port: int
    url: str
    log: Path

    def query(self, sql: str) -> str:
        """What a PostgreSQL server answers: a line for each row, its columns apart by `|`; nothing where it refuses."""
        words = [str(programs() / "psql"), "--no-psqlrc", "-qtA", "-d", self.url, "-c", sql]
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()

    def create(self, database: str) -> str:
        """Make an empty database on a PostgreSQL server; returns its address."""
        words = [str(programs() / "createdb"), f"--maintenance-db={self.url}", database]
        made = subprocess.run(words, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
        return urlsplit(self.url)._replace(path=f"/{database}").geturl()


@contextlib.contextmanager
def postgresql(*, user: str = "postgres", password: str = "postgres", port: int | None = None) -> Iterator[Server]:
    """A PostgreSQL server with one superuser, who must give the password, and a database `postgres`.

    A test that wants the server to come back where it was names the `port`.
    """
    with folder_of("postgres") as (folder, account):
        (folder / "password").write_text(password)
        words = ["--auth=scram-sha-256", f"--username={user}", f"--pwfile={folder / 'password'}", "--encoding=UTF8"]
        made = subprocess.run(
            [programs() / "initdb", f"--pgdata={folder / 'data'}", "--locale=C", "--no-sync", *words],
            user=account,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stdout

        def command(port: int) -> list[str]:
            options = [word for option in (*POSTGRESQL_OPTIONS, f"port={port}") for word in ("-c", option)]
            return [str(programs() / "postgres"), "-D", str(folder / "data"), *options]

        def answers(port: int) -> bool:
            asked = subprocess.run([programs() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False)
            return asked.returncode == 0

        # SIGINT: without waiting for clients that are still connected
        with served("postgresql", command, answers, folder, account, port, stop=signal.SIGINT) as (bound, log):
            url = f"postgresql://{quote(user)}:{quote(password, safe='')}@127.0.0.1:{bound}/postgres"
            yield Server(port=bound, url=url, log=log)


@contextlib.contextmanager
def redis() -> Iterator[Server]:
    """A Redis server that keeps nothing on disk."""
    program = shutil.which("redis-server")
    assert program, "redis-server is missing: apt-get install redis-server"

    with folder_of("nobody") as (folder, account):

        def command(port: int) -> list[str]:
            settings = {"bind": "127.0.0.1", "port": str(port), "save": "", "appendonly": "no", "dir": str(folder)}
            return [str(program), *(word for name, value in settings.items() for word in (f"--{name}", value))]

        with served("redis", command, pongs, folder, account, None, stop=signal.SIGTERM) as (bound, log):
            yield Server(port=bound, url=f"redis://127.0.0.1:{bound}/0", log=log)


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def programs() -> Path:
    """Where Debian keeps the newest PostgreSQL's programs, of which only some are on the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    assert found, "PostgreSQL is missing: apt-get install postgresql"
    return found[-1].parent


@contextlib.contextmanager
def folder_of(account: str) -> Iterator[tuple[Path, str | None]]:
    """A folder that `account` owns, and the account to run as; of the tests' own account where that is not root.

    pytest's temporary folders will not do: only their owner can enter them.
    """
    with tempfile.TemporaryDirectory(prefix="rtbuild-", ignore_cleanup_errors=True) as name:
        if os.geteuid() != 0:
            yield Path(name), None
        else:
            entry = pwd.getpwnam(account)
            os.chown(name, entry.pw_uid, entry.pw_gid)
            yield Path(name), account


@contextlib.contextmanager
def served(
    title: str,
    command: Callable[[int], Sequence[str]],
    answers: Callable[[int], bool],
    folder: Path,
    account: str | None,
    port: int | None,
    *,
    stop: signal.Signals,
) -> Iterator[tuple[int, Path]]:
    """A server process that answers on a port, which is chosen anew where somebody else was faster."""
    log = folder / "log"
    for attempt in range(ATTEMPTS):
        chosen = port or free_port()
        with log.open("ab") as output:
            process = subprocess.Popen(
                command(chosen),
                user=account,
                group=None if account is None else pwd.getpwnam(account).pw_gid,
                extra_groups=None if account is None else [],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            deadline = time.monotonic() + PATIENCE
            while process.poll() is None and not answers(chosen):
                assert time.monotonic() < deadline, f"{title} does not answer\n{log.read_text()}"
                time.sleep(0.05)
            if process.poll() is None:
                yield chosen, log
                return
        finally:
            ended(process, stop)
        assert attempt + 1 < ATTEMPTS, f"{title} does not start\n{log.read_text()}"


def ended(process: subprocess.Popen[bytes], stop: signal.Signals) -> None:
    """End a process, in good order if it wants to."""
    if process.poll() is None:
        process.send_signal(stop)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def pongs(port: int) -> bool:
    """Whether a Redis server answers."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(16) == b"+PONG\r\n"
    return False
