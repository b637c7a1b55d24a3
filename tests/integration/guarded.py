"""What the security manager's live tests speak of: the image that is tried, keys, bad tokens, what is seen of users."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2
import jwt

from rtbuild.engine.containers import Mount, RunOutcome
from rtbuild.engine.engine import Engine
from tests.fakes.token_issuer import MISSING, Issuer, claims, forge
from tests.integration.servers import Server
from tests.integration.webserver import Webserver, query

INSIDE = Mount(source=Path(__file__).parent / "inside", target="/inside")
NOW = int(time.time())
MARK = "mail.example"
"""The domain of every e-mail address in tokens: it must never be in a log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """The image that is tried; `airflow` is `(2, 6)` for any 2.6."""

    engine: Engine
    reference: str
    airflow: tuple[int, ...]

    def run(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        *,
        tmpfs: Mapping[str, str] | None = None,
        mounts: Sequence[Mount] = (),
    ) -> RunOutcome:
        """A command in the image that must succeed."""
        mounted = [INSIDE, *mounts]
        said = self.engine.run(
            self.reference, command, env=env, mounts=mounted, tmpfs=tmpfs or {}, network="host", timeout=300
        )
        assert said.exit_code == 0, said.stderr.decode()
        return said

    def token_backend(self) -> dict[str, str]:
        """The setting for the REST API's backend of the security manager."""
        name = "AUTH_BACKENDS" if self.airflow >= (2, 3) else "AUTH_BACKEND"
        return {f"AIRFLOW__API__{name}": "rtbuild_security_manager.api_auth"}


def series(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


class Keys:
    """The PEM file that the webserver has mounted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "tls.crt"
        folder.chmod(0o755)

    @property
    def mount(self) -> Mount:
        return Mount(source=self.folder, target="/keys")

    def show(self, *issuers: Issuer) -> None:
        fresh = self.folder / "fresh"
        fresh.write_bytes(b"".join(issuer.pem for issuer in issuers))
        fresh.chmod(0o644)
        fresh.rename(self.file)


def users(database: Server, name: str) -> list[str]:
    return query(database, f"select email, first_name, last_name from ab_user where username = '{name}'")


def roles(database: Server, name: str) -> list[str]:
    return query(
        database,
        "select r.name from ab_user u join ab_user_role ur on ur.user_id = u.id join ab_role r on r.id = ur.role_id "
        f"where u.username = '{name}' order by 1",
    )


def shown_profile(answer: httpx2.Response) -> set[str]:
    """The e-mail addresses on a page."""
    return set(re.findall(rf"[a-z0-9-]+@{MARK}", answer.text))


def target(answer: httpx2.Response) -> str:
    """Where on the server an answer redirects to."""
    url = answer.url.join(answer.headers["location"])
    assert (url.host, url.port) == (answer.url.host, answer.url.port)
    return url.raw_path.decode()


def assert_refused(answer: httpx2.Response) -> None:
    assert answer.status_code == 403, answer.text
    assert answer.text == "Forbidden\n"
    assert "location" not in answer.headers
    assert "set-cookie" not in answer.headers


def assert_nothing_told(site: Webserver, *tokens: str) -> None:
    logs = site.container.logs()
    assert "Refused GET '/home'" in logs
    for word in (MARK, "Lovelace", "logged-subject", "eyJ", *tokens):
        assert word not in logs
    assert [line for line in user_news(site) if any(role in line for role in ("Admin", "Op", "Viewer", "Public"))] == []


def user_news(site: Webserver) -> list[str]:
    """What the security manager logged about users."""
    return [line for line in site.container.logs().splitlines() if "accounts.py" in line]


BAD_TOKENS: dict[str, Callable[[Issuer, Issuer], str]] = {
    "expired": lambda good, _: good.token("nobody", exp=NOW - 3600),
    "not yet valid": lambda good, _: good.token("nobody", nbf=NOW + 3600, exp=NOW + 7200),
    "wrong audience": lambda good, _: good.token("nobody", aud="other.example"),
    "wrong key": lambda _, other: other.token("nobody"),
    "wrong algorithm": lambda good, _: jwt.encode(claims("nobody"), good.key, algorithm="RS512"),
    "alg none": lambda *_: forge({"alg": "none"}, claims("nobody"), b""),
    "alg none with a signature": lambda *_: forge({"alg": "none"}, claims("nobody"), b"x"),
    "public key as a shared secret": lambda good, _: hmac_token(good),
    "changed": lambda good, _: changed_token(good),
    "bad role": lambda good, _: good.token("nobody", roles=["SuperAdmin"]),
    "bad role beside a good one": lambda good, _: good.token("nobody", roles=["Viewer", "SuperAdmin"]),
    "roles that are no list": lambda good, _: good.token("nobody", roles="Admin"),
    "no roles": lambda good, _: good.token("nobody", roles=[]),
    "sub too long": lambda good, _: good.token("n" * 600),
    "nonsense": lambda *_: "nonsense",
    **{
        f"without {name}": lambda good, _, name=name: good.token("nobody", **{name: MISSING})  # type: ignore[misc]
        for name in ("sub", "email", "full_name", "roles", "exp", "nbf", "aud")
    },
}


def hmac_token(issuer: Issuer) -> str:
    header = {"alg": "HS256", "typ": "JWT"}
    signed = forge(header, claims("nobody", roles=["Admin"]), b"").rstrip(".")
    return forge(
        header, claims("nobody", roles=["Admin"]), hmac.new(issuer.pem, signed.encode(), hashlib.sha256).digest()
    )


def changed_token(issuer: Issuer) -> str:
    head, _, tail = issuer.token("nobody").split(".")
    return ".".join([head, issuer.token("nobody", roles=["Admin"]).split(".")[1], tail])
