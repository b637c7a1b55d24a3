"""Where the parts of a wheel go in the target."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """Installation paths (PEP 427, "data"), absolute. `library` takes purelib and platlib; `headers` is the folder in
    which each distribution has its own. `interpreter` is what scripts start with, `python` the feature version
    (`3.9`)."""

    library: str
    scripts: str
    data: str
    headers: str
    interpreter: str
    python: str

    @property
    def cache_tag(self) -> str:
        """The tag in the names of compiled files (PEP 3147)."""
        return f"cpython-{self.python.replace('.', '')}"

    def is_module(self, path: str) -> bool:
        """Whether `path` is the source of something that can be imported."""
        return path.endswith(".py") and path.startswith(f"{self.library}/")

    def compiled(self, path: str) -> str:
        """Where the compiled form of the source file `path` is kept (PEP 3147)."""
        folder, _, name = path.rpartition("/")
        return f"{folder}/__pycache__/{name.removesuffix('.py')}.{self.cache_tag}.pyc"


def debian_scheme(feature: str) -> Scheme:
    """Where pip, run as root with Debian's own Python `feature`, installs to.

    Debian Python Policy, "Paths": what does not come from a Debian package belongs below /usr/local and into
    dist-packages.
    """
    return Scheme(
        library=f"/usr/local/lib/python{feature}/dist-packages",
        scripts="/usr/local/bin",
        data="/usr/local",
        headers=f"/usr/local/include/python{feature}",
        interpreter="/usr/bin/python3",
        python=feature,
    )
