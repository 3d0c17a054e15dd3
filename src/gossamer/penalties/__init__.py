"""Penalties: scalar shapes of a unit's size, and what charges units together. One file each."""

from gossamer.core.penalty import Penalty, UnitPenalty
from gossamer.core.sum_penalty import SumPenalty
from gossamer.penalties.at_most import AtMost
from gossamer.penalties.bounds import Bounds
from gossamer.penalties.elastic_net import ElasticNet
from gossamer.penalties.exclusive import Exclusive
from gossamer.penalties.fused import Fused
from gossamer.penalties.gated import Gates
from gossamer.penalties.group_envelope import GroupEnvelope
from gossamer.penalties.l0 import L0
from gossamer.penalties.l1 import L1
from gossamer.penalties.l1_ball import L1Ball
from gossamer.penalties.log_sum import LogSum
from gossamer.penalties.lq import Lq
from gossamer.penalties.mcp import MCP
from gossamer.penalties.overlaps import Overlaps
from gossamer.penalties.scad import SCAD
from gossamer.penalties.slope import SLOPE
from gossamer.penalties.tree import Tree

__all__ = [
    "L0",
    "L1",
    "MCP",
    "SCAD",
    "SLOPE",
    "AtMost",
    "Bounds",
    "ElasticNet",
    "Exclusive",
    "Fused",
    "Gates",
    "GroupEnvelope",
    "L1Ball",
    "LogSum",
    "Lq",
    "Overlaps",
    "Penalty",
    "SumPenalty",
    "Tree",
    "UnitPenalty",
]
