"""Getting indexes and artifacts from whatever mirrors this machine knows."""

from rtbuild.fetch.describe import MirrorDescription, describe_mirrors
from rtbuild.fetch.download import FetchReport, fetch
from rtbuild.fetch.mirrors import Mirror, Mirrors, find_mirrors
from rtbuild.fetch.remote import MirrorSources, open_sources

__all__ = [
    "FetchReport",
    "Mirror",
    "MirrorDescription",
    "MirrorSources",
    "Mirrors",
    "describe_mirrors",
    "fetch",
    "find_mirrors",
    "open_sources",
]
