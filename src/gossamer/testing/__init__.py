"""Conformance checks for one's own penalties, losses, structures, solvers and smooth forms.

Each check applies a list of small laws and raises ``AssertionError`` with the law's name and a
counter-example:

>>> from gossamer.testing import check_penalty
>>> from gossamer.penalties import MCP
>>> check_penalty(MCP, gamma=2.5)
"""

from gossamer.testing.checks import (
    check_factorisation,
    check_loss,
    check_penalty,
    check_solver,
    check_structure,
    laws_of,
)
from gossamer.testing.court import apply
from gossamer.testing.instances import factorisation_instances, instances

__all__ = [
    "apply",
    "check_factorisation",
    "check_loss",
    "check_penalty",
    "check_solver",
    "check_structure",
    "factorisation_instances",
    "instances",
    "laws_of",
]
