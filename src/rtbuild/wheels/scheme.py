"""Installation schemes: where the parts of a wheel are installed in the target."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """Absolute installation paths of the parts of a wheel (PEP 427, "The .data directory").

    Attributes:
        library: The folder for purelib and platlib.
        scripts: The folder for scripts.
        data: The folder for data.
        headers: The folder in which each distribution has a folder for its headers.
        interpreter: The interpreter in the first line of scripts.
        python: The Python series (`3.9`).
        links: Folders that are symbolic links in the target, and where they lead. Nothing is installed through them.
    """

    library: str
    scripts: str
    data: str
    headers: str
    interpreter: str
    python: str
    links: tuple[tuple[str, str], ...] = ()

    def real_path(self, path: str) -> str:
        """Return where a file that is installed to `path` ends up."""
        for link, folder in self.links:
            if path.startswith(f"{link}/"):
                return folder + path.removeprefix(link)
        return path

    @property
    def cache_tag(self) -> str:
        """The tag in the names of compiled files (PEP 3147)."""
        return f"cpython-{self.python.replace('.', '')}"

    def is_module(self, path: str) -> bool:
        """Return whether `path` is the source file of an importable module."""
        return path.endswith(".py") and path.startswith(f"{self.library}/")

    def compiled(self, path: str) -> str:
        """Return the path of the compiled form of the source file `path` (PEP 3147)."""
        folder, _, name = path.rpartition("/")
        return f"{folder}/__pycache__/{name.removesuffix('.py')}.{self.cache_tag}.pyc"


def debian_scheme(series: str) -> Scheme:
    """Return the scheme that pip, run as root with Debian's own Python `series` (`3.9`), installs to.

    Debian Python Policy, "Paths": files that no Debian package owns belong below /usr/local, in dist-packages.
    """
    return Scheme(
        library=f"/usr/local/lib/python{series}/dist-packages",
        scripts="/usr/local/bin",
        data="/usr/local",
        headers=f"/usr/local/include/python{series}",
        interpreter="/usr/bin/python3",
        python=series,
        links=(
            ("/usr/local/man", "/usr/local/share/man"),
            (f"/usr/local/lib/python{series}/site-packages", f"/usr/local/lib/python{series}/dist-packages"),
        ),
    )
