"""`python -m rtbuild` is `rtbuild`."""

from __future__ import annotations

from rtbuild.cli import main

if __name__ == "__main__":
    main()
