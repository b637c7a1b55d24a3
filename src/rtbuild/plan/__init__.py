"""From lock and recipes to derivations: pure, and cheap enough to ask at any time."""

from rtbuild.plan.derivation import Derivation, derive
from rtbuild.plan.plan import Plan, PlannedLayer, Records, plan_release

__all__ = ["Derivation", "Plan", "PlannedLayer", "Records", "derive", "plan_release"]
