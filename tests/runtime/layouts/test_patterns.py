"""Weights whose pattern a layout does not have, and what is stored of those that fit."""

from __future__ import annotations

import numpy as np
import pytest
from layout_cases import any_pattern, n_of_m

from gossamer.runtime import CSR, BlockRows, Condensed, PackedNofM, SlicedRows


def filled(mask):
    values = np.random.default_rng(0).uniform(0.5, 1.0, mask.shape)
    return np.where(mask, values, 0).astype(np.float32)


@pytest.mark.parametrize(
    ("layout", "options", "message"),
    [
        (BlockRows, {"height": 16}, r"\(20, 33\) does not consist of 16 x 1 blocks"),
        (BlockRows, {"height": 1, "precision": "float16"}, "precision must be one of"),
        (Condensed, {}, "rows of 1 to 33 values.*FanIn"),
        (PackedNofM, {"n": 2, "m": 4}, "the 33 inputs .* a multiple of m"),
        (PackedNofM, {"n": 2, "m": 3}, "3 values among 3 neighbours, more than n = 2"),
        (PackedNofM, {"m": 11}, "up to 11 values among 11 neighbours.*use SlicedRows"),
        (PackedNofM, {"n": 4, "m": 33}, "1 <= n <= m <= 16"),
        (SlicedRows, {"window": 64}, "window must be 16 or 32"),
        (SlicedRows, {"precision": "int4"}, "precision must be one of"),
    ],
)
def test_patterns_that_do_not_fit_are_refused(layout, options, message):
    weight = filled(np.arange(33) <= 2 * np.arange(20)[:, None])
    weight[:12] = 0
    weight[:12, 0] = 1
    with pytest.raises(ValueError, match=message):
        layout.build(weight, **options)


def test_weights_narrower_than_a_window_are_refused():
    with pytest.raises(ValueError, match="use CSR"):
        SlicedRows.build(np.ones((4, 15), np.float32))


def test_layouts_are_smaller_than_dense(rng):
    """768 x 768 at 90 %: bytes of each against float32 dense."""
    weight = filled(any_pattern(rng, (768, 768), 0.13))
    dense, share = weight.nbytes, np.count_nonzero(weight) / weight.size
    assert CSR.build(weight).nbytes == pytest.approx(1.5 * share * dense, rel=0.05)
    assert SlicedRows.build(weight).nbytes < 0.3 * dense
    assert SlicedRows.build(weight, window=32).nbytes < 0.22 * dense
    narrow = SlicedRows.build(weight, window=32, precision="bfloat16")
    assert narrow.nbytes < 0.14 * dense
    two_of_four = filled(n_of_m(2, 4)(rng, (768, 768), 1.0))
    assert PackedNofM.build(two_of_four).nbytes == dense * (0.5 + 0.5 / 16)


def test_sliced_rows_of_about_as_many_values_share_a_slice():
    """One long row a slice would make all of its rows as long."""
    weight = np.zeros((64, 256), np.float32)
    weight[::4] = 1.0
    assert SlicedRows.build(weight).values.size == 16 * 256


@pytest.mark.parametrize(("kind", "options"), [(BlockRows, {"height": 1}), (SlicedRows, {})])
def test_bfloat16_is_the_nearest(rng, kind, options):
    weight = filled(any_pattern(rng, (32, 64), 0.5))
    got = kind.build(weight, precision="bfloat16", **options).dense()
    assert abs(got - weight).max() <= 2.0**-9
    assert ((got.view(np.uint32) & 0xFFFF) == 0).all()
