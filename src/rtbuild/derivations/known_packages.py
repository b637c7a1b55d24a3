"""What the scripts of known Debian packages make that is random or dated, and what a layer has instead.

A host key in an image would be the same in each of its containers, and known to everybody who has the image. So it is
removed, and whoever starts the program makes it anew. `docs/reference/known-packages.md` shows this table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from rtbuild.digest import Sha256, canonical_json, sha256_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageRule:
    """What happens to files that the scripts of a package make.

    Attributes:
        package: The name of the package, or a pattern of names.
        what: What its scripts make.
        anew: How to make it in a container.
        removed: Patterns of absolute paths to remove, like a recipe's `removals`.
        links: Targets of symbolic links to remove.
        keystores: Absolute paths of Java keystores to write canonically; see `formats.keystore`.
    """

    package: str
    what: str
    anew: str
    removed: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    keystores: tuple[str, ...] = ()

    @property
    def digest(self) -> Sha256:
        """The digest of what the rule does; texts do not change it."""
        return sha256_bytes(canonical_json([self.removed, self.links, self.keystores]))


PACKAGE_RULES = (
    PackageRule(
        package="bind9",
        what="the secret key with which `rndc` controls the name server",
        anew="`rndc-confgen -a`, as root, before `named` starts",
        removed=("/etc/bind/rndc.key",),
    ),
    PackageRule(
        package="ca-certificates-java",
        what="Java's keystore of the CA certificates, with the time of its making",
        anew="not needed: the layer has it, with the date of the newest package",
        keystores=("/etc/ssl/certs/java/cacerts",),
    ),
    PackageRule(
        package="dbus",
        what="the random identity of the machine",
        anew="`dbus-uuidgen --ensure`, as root, before `dbus-daemon` starts",
        removed=("/var/lib/dbus/machine-id",),
    ),
    PackageRule(
        package="fontconfig",
        what="a random `.uuid` in each folder of fonts, and caches that are named after it",
        anew="programs make caches in the user's home; `fc-cache` makes them for all users",
        removed=("/usr/share/fonts*/.uuid", "/usr/local/share/fonts*/.uuid", "/var/cache/fontconfig/*.cache-*"),
    ),
    PackageRule(
        package="openjdk-*-jre-headless",
        what="an archive of loaded classes (`classes.jsa`), which only saves time when Java starts",
        anew="`java -Xshare:dump`, as root",
        removed=("/usr/lib/jvm/*/lib/*/classes*.jsa",),
    ),
    PackageRule(
        package="openssh-server",
        what="the private keys of the host",
        anew="`ssh-keygen -A` before `sshd` starts",
        removed=("/etc/ssh/ssh_host_*_key", "/etc/ssh/ssh_host_*_key.pub"),
    ),
    PackageRule(
        package="ssl-cert",
        what="a private key and a certificate that it signed itself (snakeoil)",
        anew="`make-ssl-cert generate-default-snakeoil`",
        removed=("/etc/ssl/private/ssl-cert-snakeoil.key", "/etc/ssl/certs/ssl-cert-snakeoil.pem"),
        links=("ssl-cert-snakeoil.pem",),
    ),
)
"""The rules, sorted by package."""


def rules_for(packages: Iterable[str]) -> tuple[PackageRule, ...]:
    """Return the rules that apply to an image with these Debian packages."""
    names = set(packages)
    return tuple(rule for rule in PACKAGE_RULES if any(fnmatchcase(name, rule.package) for name in names))
