"""Two processes: the same result as one, replicated (DDP) and sharded (FSDP2)."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")
import torch.distributed as dist  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from two_processes import alone, batch, replicated, sharded  # noqa: E402
from two_processes_of_torch import spawn_two  # noqa: E402

pytestmark = [
    pytest.mark.skipif(
        not (dist.is_available() and dist.is_gloo_available()), reason="torch without gloo"
    ),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def run(work, folder, attached):
    """The results of two processes."""
    spawn_two(work, attached, folder)
    return [torch.load(f"{folder}/{rank}", weights_only=True) for rank in range(2)]


def close(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        # Adam divides by small numbers: sums in another order count
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("attached", [False, True], ids=["penalty in the loss", "attached"])
def test_replicated_training_is_that_of_one_process(tmp_path, attached):
    first, second = run(replicated, tmp_path, attached)
    model, sparse = alone(attached)
    X, y = batch()
    expected = sparse.report(lambda: F.mse_loss(model(X), y)).to_dict()
    done = sparse.finalise(inputs=X, max_change=0.5)
    for state, shown, units in (first, second):
        close(state, model.state_dict())
        assert units == done.units
        assert shown["sparsity"] == expected["sparsity"]
        for mine, its in zip(shown["weights"], expected["weights"], strict=True):
            assert mine["penalty"] == pytest.approx(its["penalty"], rel=1e-3)
    for name, value in first[0].items():
        assert torch.equal(value, second[0][name])


@pytest.mark.slow
@pytest.mark.parametrize("attached", [False, True], ids=["penalty in the loss", "attached"])
def test_sharded_training_is_that_of_one_process(tmp_path, attached):
    first, second = run(sharded, tmp_path, attached)
    model, sparse = alone(attached)
    expected = sparse.report().to_dict()
    factors = copy.deepcopy(model.state_dict())
    done = sparse.finalise()
    for state, shown, units, _, refusal in (first, second):
        close(state, model.state_dict())
        assert units == done.units
        assert "sharded (FSDP)" in refusal and "plain_state_dict" in refusal
        assert shown["sparsity"] == pytest.approx(expected["sparsity"])
    # the whole state is on the first process, as torch gathers it
    close(first[3], factors)
