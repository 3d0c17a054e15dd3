"""Every registered structure keeps the laws; groups written in every way, and wrongly."""

from __future__ import annotations

import numpy as np
import pytest

from gossamer.core.registry import STRUCTURES
from gossamer.structures import Elements, Groups, Rows
from gossamer.testing import apply, check_structure, instances, laws_of


@pytest.mark.parametrize(
    ("structure", "law"),
    [
        pytest.param(x, law, id=f"{x}-{law.__name__}")
        for x in instances(STRUCTURES)
        for law in laws_of(x)
    ],
)
def test_registered(structure, law):
    apply(law, structure)


def test_the_laws_catch_a_unit_too_few():
    class Half(Elements):
        def partition(self, shape):
            from gossamer.core.units import Units

            return Units.singletons(shape[0] * shape[1] // 2)

    with pytest.raises(AssertionError, match="units_partition"):
        check_structure(Half())


SAME = [
    ["a", "b", "a", "c"],
    np.array(["a", "b", "a", "c"]),
    (7, 3, 7, 5),
    [[0, 2], [1], [3]],
    [{0, 2}, range(1, 2), np.array([3])],
    {"x": [0, 2], "y": [1], "z": [3]},
]


@pytest.mark.parametrize("groups", SAME, ids=repr)
def test_ways_to_write_groups(groups):
    units = Groups(groups).units((4,))
    np.testing.assert_array_equal(units.labels, [0, 1, 0, 2])


def test_groups_by_name():
    groups = Groups({"first": ["age", "rank"], "second": ["height"]})
    with pytest.raises(ValueError, match="DataFrame"):
        groups.units((3,))
    with pytest.raises(ValueError, match="no column names"):
        groups.resolve(None)
    with pytest.raises(ValueError, match="'rank'"):
        groups.resolve(["age", "height", "weight"])
    resolved = groups.resolve(["rank", "height", "age"])
    np.testing.assert_array_equal(resolved.units((3,)).labels, [0, 1, 0])
    assert resolved.names == ("first", "second")


def test_names_must_cover_every_column():
    with pytest.raises(ValueError, match="exactly one group"):
        Groups([["a"], ["b"]]).resolve(["a", "b", "c"]).units((3,))


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([], "empty"),
        ({}, "empty"),
        ([[0, 1], [1, 2]], r"\[1\]"),
        ([[0], [2]], r"\[1\]"),
        ([[0, 0], [1]], r"\[0\]"),
        ([[0], []], "empty group"),
        ([[0], [-1]], "-1"),
        ([[0.5], [1]], "positions or names"),
        ([[0], "a"], "mixes"),
        ([["a"], [1]], "."),
        ([["a"], ["a", "b"]], "a"),
    ],
)
def test_groups_that_are_wrong(groups, message):
    with pytest.raises(ValueError, match=message):
        Groups(groups).resolve(["a", "b"]).units((2,))


def test_groups_of_another_number_of_features():
    with pytest.raises(ValueError, match="cover 3 features, but X has 4"):
        Groups([0, 0, 1]).units((4,))


def test_to_dict_comes_back():
    for groups in (["a", "b", "a"], [[0, 2], [1]], {"x": [0, 1], "y": [2]}, [["u"], ["v", "w"]]):
        structure = Groups(groups)
        again = Groups(**structure.to_dict())
        if structure.labels is None:
            structure, again = (s.resolve(["u", "v", "w"]) for s in (structure, again))
        np.testing.assert_array_equal(again.units((3,)).labels, structure.units((3,)).labels)


def test_a_group_holds_all_outputs():
    units = Groups([0, 1, 0]).units((3, 2))
    np.testing.assert_array_equal(units.labels.reshape(3, 2), [[0, 0], [1, 1], [0, 0]])


def test_rows_of_one_output_are_elements():
    assert Rows().units((4,)).are_single
    assert not Rows().units((4, 2)).are_single


def test_no_features():
    for structure in (Elements(), Rows()):
        assert structure.sizes(np.zeros((0, 2))).shape == (0,)
