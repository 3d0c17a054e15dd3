"""Every registered penalty, and penalties on every structure, keep the laws."""

from __future__ import annotations

import pytest

from gossamer.core.registry import JOINT_PENALTIES, PENALTIES
from gossamer.penalties import L0, L1, MCP, SCAD, ElasticNet, Lq
from gossamer.structures import Groups
from gossamer.testing import apply, check_penalty, instances, laws_of

GROUPS = Groups([[0, 3], [1, 2, 5], [4]])
SOME = [1.0, 0.0, 2.0]

# Structures, weights, signs and sums; the unit laws vary these themselves for bare shapes.
COMPOSED = [
    L1(0.3, on=GROUPS),
    L1(0.3, nonnegative=True, weights=[1, 0, 1, 2, 0, 1]),
    ElasticNet(0.3, on=GROUPS, weights=SOME),
    SCAD(0.4, on=GROUPS, nonnegative=True),
    L1(0.2) + L1(0.5, on=GROUPS),
    L1(0.2) + MCP(0.5, on=GROUPS),
    L1(0.2) + Lq(0.5, on=GROUPS),
    L1(0.2) + L0(0.5, on=GROUPS),
    L0(0.4, ridge=0.3, on=GROUPS, weights=SOME, nonnegative=True),
    L1(0.3, nonnegative=True) + L1(0.4, on=GROUPS, weights=SOME),
    L1(0.2) + SCAD(0.3, on=GROUPS, nonnegative=True),
    L1(0.2, weights=[0, 0, 1, 1, 0, 1]) + L1(0.3, on=GROUPS, weights=SOME),
]

SHAPES = [*instances(PENALTIES), *instances(JOINT_PENALTIES)]


@pytest.mark.parametrize(
    ("penalty", "law"),
    [pytest.param(p, law, id=f"{p}-{law.__name__}") for p in SHAPES for law in laws_of(p)],
)
def test_registered(penalty, law):
    apply(law, penalty)


@pytest.mark.parametrize("penalty", COMPOSED, ids=repr)
def test_composed(penalty):
    from gossamer.testing.penalty_laws import (
        CONVEX_PENALTY_LAWS,
        PENALTY_LAWS,
        STRENGTH_LAWS,
    )

    convex = CONVEX_PENALTY_LAWS if penalty.convex else ()
    for law in PENALTY_LAWS + STRENGTH_LAWS + convex:
        apply(law, penalty)


def test_every_penalty_of_the_room_is_registered():
    from gossamer import penalties

    # bases, sums that are made of others, and what is known by its smooth form alone
    others = {"penalty", "unitpenalty", "sumpenalty", "gates"}
    room = {name.lower() for name in penalties.__all__} - others
    assert {kind.__name__.lower() for kind in (*PENALTIES, *JOINT_PENALTIES)} == room


def test_check_takes_a_class_with_parameters():
    check_penalty(MCP, gamma=1.7)


def test_check_wants_a_penalty():
    with pytest.raises(TypeError, match="Penalty is needed"):
        check_penalty("l1")  # type: ignore[arg-type]
