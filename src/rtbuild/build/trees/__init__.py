"""Wheel trees: what one wheel installs and compiles to, the unit that rtbuild caches of Python layers."""

from rtbuild.build.trees.cache import StoredTree
from rtbuild.build.trees.conflicts import Claim, Conflict, find_conflicts
from rtbuild.build.trees.made import MadeWheel
from rtbuild.build.trees.realise import Tree, realise_trees
from rtbuild.build.trees.root import tool_debs, unpack_debs
from rtbuild.build.trees.sdists import realise_wheels
from rtbuild.build.trees.tree import TreeFile, TreeIndex

__all__ = [
    "Claim",
    "Conflict",
    "MadeWheel",
    "StoredTree",
    "Tree",
    "TreeFile",
    "TreeIndex",
    "find_conflicts",
    "realise_trees",
    "realise_wheels",
    "tool_debs",
    "unpack_debs",
]
