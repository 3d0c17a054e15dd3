"""Smooth forms of every kind, and those of composed penalties, keep the laws."""

from __future__ import annotations

import numpy as np
import pytest

from gossamer.penalties import L1, MCP, ElasticNet, Lq
from gossamer.structures import Blocks, Groups, Heads, Rows, Spectrum
from gossamer.testing import apply, check_factorisation, factorisation_instances, laws_of
from gossamer.testing.factorisation_laws import SMOOTH_FORM_LAWS, smooth_forms

GROUPS = Groups([[0, 3], [1, 2, 5], [4]])
SOME = [1.0, 0.0, 2.0]

FORMS = factorisation_instances()

# Structures, weights, signs and sums; the registered penalties are checked with their other laws.
COMPOSED = [
    L1(0.3, on=GROUPS),
    L1(0.3, on=Heads(3)),
    L1(0.3, on=Blocks((2, 1))),
    L1(0.3, on=Rows()),
    L1(0.3, on=Spectrum()),
    L1(0.3, nonnegative=True, weights=[1, 0, 1, 2, 0, 1]),
    L1(0.0, on=GROUPS),
    Lq(0.4, on=GROUPS, nonnegative=True),
    Lq(0.4, q=0.5, on=GROUPS, weights=SOME),
    Lq(0.4, q=0.5, on=Spectrum()),
    ElasticNet(0.3, on=GROUPS, weights=SOME),
    ElasticNet(0.3, on=Spectrum()),
    L1(0.2) + L1(0.5, on=GROUPS),
    L1(0.2, weights=[0, 0, 1, 1, 0, 1]) + L1(0.3, on=GROUPS, weights=SOME),
]


@pytest.mark.parametrize(
    "number", range(len(FORMS)), ids=lambda i: f"{i}-{type(FORMS[i]).__name__}"
)
def test_every_kind_of_form(number):
    check_factorisation(FORMS[number])


@pytest.mark.parametrize("penalty", COMPOSED, ids=repr)
@pytest.mark.parametrize("law", SMOOTH_FORM_LAWS, ids=lambda law: law.__name__)
def test_forms_of_a_penalty(penalty, law):
    assert smooth_forms(penalty)
    apply(law, penalty)


@pytest.mark.parametrize(
    "penalty",
    [
        MCP(0.3),
        L1(0.2) + MCP(0.3, on=GROUPS),
        L1(0.2) + Lq(0.3, on=GROUPS),
        L1(0.2, nonnegative=True) + L1(0.3, on=GROUPS),
        ElasticNet(0.3, l1_ratio=0.0),
        Lq(0.3, q=0.8, on=Spectrum()),
        L1(0.0) + L1(0.0, on=GROUPS),
    ],
    ids=repr,
)
def test_penalties_without_a_smooth_form_say_so(penalty):
    assert penalty.factorise((6,)) is None
    assert set(SMOOTH_FORM_LAWS) < set(laws_of(penalty))
    for law in SMOOTH_FORM_LAWS:
        apply(law, penalty)


def test_all_forms_are_found():
    kinds = [type(form).__name__ for form in smooth_forms(L1(0.3))]
    assert kinds == [
        "Product",
        "Product",
        "Difference",
    ]  # u v (which is also u |v|), u |u|, u² - v²
    assert len(smooth_forms(Lq(0.3, q=0.5))) == 4
    assert len(smooth_forms(L1(0.3, on=GROUPS))) == 1
    assert np.isclose(smooth_forms(Lq(0.3, q=0.5, on=GROUPS))[1].depth, 4)
