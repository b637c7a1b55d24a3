"""The store: every artifact and layer that rtbuild keeps, by content."""

from rtbuild.store.artifacts import Partial
from rtbuild.store.collect import GcReport, Keep
from rtbuild.store.inspect import StoreReport
from rtbuild.store.realisation import Realisation
from rtbuild.store.store import Store

__all__ = ["GcReport", "Keep", "Partial", "Realisation", "Store", "StoreReport"]
