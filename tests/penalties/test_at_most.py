"""The budget keeps the laws of budgets, and refuses what makes no sense."""

from __future__ import annotations

import numpy as np
import pytest

import gossamer as gs
from gossamer.testing import apply, laws_of

GROUPS = gs.Groups([[0, 3], [1, 2, 5], [4]])
BUDGETS = [
    gs.AtMost(0),
    gs.AtMost(2),
    gs.AtMost(9),
    gs.AtMost(2, ridge=0.4),
    gs.AtMost(3, nonnegative=True),
    gs.AtMost(1, on=GROUPS),
    gs.AtMost(2, on=GROUPS, ridge=2.0, nonnegative=True),
]


@pytest.mark.parametrize(
    ("budget", "law"),
    [pytest.param(b, law, id=f"{b}-{law.__name__}") for b in BUDGETS for law in laws_of(b)],
)
def test_laws(budget, law):
    apply(law, budget)


def test_ties_go_to_the_first():
    np.testing.assert_array_equal(
        gs.AtMost(2).prox(np.array([1.0, 2.0, -1.0, 1.0]), 1.0), [1, 2, 0, 0]
    )


def test_rows_of_several_outputs():
    v = np.array([[3.0, 4.0], [5.0, 5.0], [1.0, 0.0]])
    kept = gs.AtMost(1, on=gs.Rows()).prox(v, 1.0)
    np.testing.assert_array_equal(kept, [[0, 0], [5, 5], [0, 0]])


@pytest.mark.parametrize("k", [-1, 1.5, "3", None, True])
def test_k_is_a_whole_number(k):
    with pytest.raises(ValueError, match="k must be a whole number"):
        gs.AtMost(k)


@pytest.mark.parametrize(
    ("options", "name"),
    [({"ridge": -1.0}, "ridge"), ({"ridge": np.nan}, "ridge"), ({"on": gs.Spectrum()}, "on")],
)
def test_bad_arguments(options, name):
    with pytest.raises(ValueError, match=name):
        gs.AtMost(2, **options)


def test_l0_refuses_a_negative_ridge():
    with pytest.raises(ValueError, match="ridge"):
        gs.L0(0.1, ridge=-1.0)
