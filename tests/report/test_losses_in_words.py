"""Every registered loss and kind of model has words; curves of survival are the field's."""

from __future__ import annotations

import numpy as np
import pytest

from gossamer.core.registry import JOINT_PENALTIES, LOSSES, PENALTIES
from gossamer.report import FitOptions
from gossamer.report.losses import WORDS
from gossamer.report.pieces import JOINT, Units, make_penalty
from gossamer.report.summarise import _SHAPES
from gossamer.report.surviving import kaplan_meier


def test_every_loss_and_penalty_has_words() -> None:
    assert {loss.__name__ for loss in LOSSES} == set(WORDS)
    assert {penalty.__name__ for penalty in PENALTIES} == set(_SHAPES)


def test_every_joint_penalty_is_made_by_its_name() -> None:
    from gossamer.structures import Groups

    groups = Units(Groups(["a", "a", "b"]), np.ones(2), 2)
    single = Units(None, None, 3)
    for name, joint in JOINT.items():
        made = make_penalty(name, {}, groups if joint.groups else single)
        assert made.strength > 0
    assert {"SLOPE", "Exclusive", "Fused"} <= {penalty.__name__ for penalty in JOINT_PENALTIES}


def test_kaplan_meier_of_a_textbook() -> None:
    # the 6-MP arm of Freireich and others (1963), as in Kalbfleisch and Prentice
    time = np.array(
        [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35.0]
    )
    event = np.array([1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0])
    told = kaplan_meier(time, event, np.array([6.0, 7, 10, 13, 16, 22, 23]))
    expected = [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448]
    np.testing.assert_allclose(told, expected, atol=5e-4)


def test_names_are_corrected() -> None:
    with pytest.raises(ValueError, match=r"'slop' is not known.*sparsegroup"):
        FitOptions(penalty="slop")
    with pytest.raises(ValueError, match="Did you mean 'quantile'"):
        FitOptions(loss="quantil")
