"""The one source of each formula runs on tensors: same numbers as numpy's, same precision."""

from __future__ import annotations

import numpy as np
import pytest

import gossamer as gs
from gossamer.core.registry import PENALTIES
from gossamer.testing import instances

torch = pytest.importorskip("torch")

from gossamer.nn.formulas import on_tensors, tensor_form  # noqa: E402

SIZES = np.concatenate([[0.0, 1e-3], np.linspace(-6.013, 6.0, 97)])


@pytest.mark.parametrize("penalty", instances(PENALTIES), ids=repr)
@pytest.mark.parametrize("step", [0.3, 5.0])
def test_equals_numpy(penalty, step):
    steps = torch.tensor(step, dtype=torch.float64)
    found = on_tensors(penalty.shape_prox)(torch.from_numpy(SIZES), steps, penalty.par)
    # the same operations in the same order: rounding only
    np.testing.assert_allclose(
        found, penalty.shape_prox(SIZES, step, penalty.par), rtol=1e-12, atol=1e-12
    )
    g = np.linspace(-3.0, 3.0, len(SIZES))
    found = on_tensors(penalty.shape_dist)(
        torch.from_numpy(SIZES), torch.from_numpy(g), penalty.par
    )
    np.testing.assert_allclose(
        found, penalty.shape_dist(SIZES, g, penalty.par), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("penalty", instances(PENALTIES), ids=repr)
def test_keeps_precision(penalty):
    v = torch.linspace(-3, 3, 7, dtype=torch.float32)
    assert on_tensors(penalty.shape_prox)(v, v.new_tensor(0.3), penalty.par).dtype == v.dtype
    assert on_tensors(penalty.shape_value)(v, penalty.par).dtype == v.dtype


FORMS = [
    (gs.L1(0.3), (6, 4)),
    (gs.MCP(0.4, on=gs.Channels(), weights=[1.0, 0.0, 2.0]), (3, 2, 2, 2)),
    (gs.Lq(0.4, on=gs.Channels(axis=1)), (3, 4)),
    (gs.SCAD(0.4, on=gs.Heads(2)), (6, 5)),
    (gs.LogSum(0.4, on=gs.Blocks((2, 2))), (4, 6)),
    (gs.ElasticNet(0.4, on=gs.Groups(["a", "b", "a", "c"])), (4, 3)),
    (gs.L1(0.2) + gs.L1(0.5, on=gs.Rows()), (5, 3)),
    (gs.L1(0.2, weights=np.arange(15.0)) + gs.MCP(0.5, on=gs.Rows()), (5, 3)),
]


@pytest.mark.parametrize(("penalty", "shape"), FORMS, ids=lambda x: repr(x))
def test_value_equals_numpy(penalty, shape, rng):
    w = rng.standard_normal(shape)
    w[0] = 0
    form = tensor_form(penalty, shape)
    assert float(form.value(torch.from_numpy(w))) == pytest.approx(penalty.value(w), rel=1e-12)


@pytest.mark.parametrize(("penalty", "shape"), FORMS, ids=lambda x: repr(x))
def test_value_has_finite_gradients_at_zero(penalty, shape, rng):
    w = torch.from_numpy(rng.standard_normal(shape))
    w[0] = 0
    w.requires_grad_()
    tensor_form(penalty, shape).value(w).backward()
    assert torch.isfinite(w.grad).all()
    if getattr(penalty, "on", None) != gs.Channels(axis=1):  # whose units go through row 0
        assert (w.grad[0] == 0).all()


def test_refusals():
    with pytest.raises(ValueError, match=r"'fc\.weight'.*5 equal heads"):
        tensor_form(gs.L1(0.1, on=gs.Heads(5)), (4, 4), "fc.weight")
    with pytest.raises(ValueError, match=r"2 entries, but 'fc\.weight' has 4 units"):
        tensor_form(gs.L1(0.1, on=gs.Rows(), weights=[1, 2]), (4, 4), "fc.weight")
    with pytest.raises(gs.UnsupportedProblem, match="no sum over units"):
        tensor_form(object(), (4, 4), "fc.weight")
