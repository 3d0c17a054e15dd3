"""Weights on a given support, and support and weights together, against exact least squares."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gossamer.core.structure import Structure
from gossamer.nn.language import InputStatistics, Layer, compress
from gossamer.nn.language.methods import ADMM, Magnitude, Reconstruction, Wanda
from gossamer.nn.language.quadratic import Quadratic
from gossamer.structures import Blocks, Elements, FanIn, NofM

RIDGE = 0.01


def make_layer(
    outputs: int = 16,
    inputs: int = 24,
    on: Structure | None = None,
    keep: float = 0.5,
    tokens: int = 400,
) -> Layer:
    """Correlated inputs of very different sizes."""
    generator = torch.Generator().manual_seed(0)
    seen = InputStatistics(inputs)
    mixing = torch.randn(inputs, inputs, generator=generator) + 2 * torch.eye(inputs)
    sizes = torch.logspace(-0.5, 0.5, inputs)
    seen.add(torch.randn(tokens, inputs, generator=generator) @ mixing * sizes)
    weight = torch.randn(outputs, inputs, generator=generator)
    return Layer("fc", weight, seen, on or Elements(), keep)


def ridged(layer: Layer) -> np.ndarray:
    hessian = layer.hessian.double().numpy()
    return hessian + RIDGE * np.diag(hessian).mean() * np.eye(len(hessian))


def best_row(hessian: np.ndarray, row: np.ndarray, support: np.ndarray) -> np.ndarray:
    """The normal equations of one output."""
    found = np.zeros_like(row)
    block = hessian[np.ix_(support, support)]
    found[support] = np.linalg.solve(block, (hessian @ row)[support])
    return found


def objective(layer: Layer, weight: Tensor | np.ndarray) -> float:
    off = layer.weight.double().numpy() - np.asarray(weight, dtype=float)
    return 0.5 * float(((off @ ridged(layer)) * off).sum())


@pytest.mark.parametrize("start", ["magnitude", Wanda()])
def test_reconstruction_solves_the_normal_equations_of_each_output(start: Any) -> None:
    layer = make_layer()
    solved = Reconstruction(start, tol=1e-12).solve(layer)
    first = Magnitude() if start == "magnitude" else start
    torch.testing.assert_close(solved.mask, first.solve(layer).mask)
    hessian, weight = ridged(layer), layer.weight.double().numpy()
    rows = [
        best_row(hessian, row, np.flatnonzero(kept))
        for row, kept in zip(weight, solved.mask.numpy(), strict=True)
    ]
    np.testing.assert_allclose(solved.weight.numpy(), np.array(rows), rtol=1e-3, atol=1e-4)


def test_the_gap_bounds_the_distance_to_the_optimum_at_any_weight() -> None:
    layer = make_layer()
    problem = Quadratic.of(layer, RIDGE)
    mask = Wanda().solve(layer).mask
    best, _ = problem.reconstruct(problem.weight * mask, mask, 1e-12, 500)
    lowest = problem.certify(best, mask, 1e-12).objective
    for size in (0.0, 0.01, 1.0):
        noise = size * torch.randn(mask.shape, generator=torch.Generator().manual_seed(1))
        weight = (problem.weight + noise) * mask
        found = problem.certify(weight, mask, 1e-4)
        above = found.objective - lowest
        assert above <= found.gap
        assert found.gap <= 40 * above  # it says something
        assert found.value == pytest.approx(found.gap / found.null_objective)
        plain = (weight / problem.scales).numpy()
        assert found.objective == pytest.approx(objective(layer, plain), rel=1e-4)
    assert found.null_objective == pytest.approx(objective(layer, 0 * plain), rel=1e-4)


@pytest.mark.parametrize("on", [Elements(), FanIn(), NofM(2, 4), Blocks((4, 1))])
def test_structures_are_honoured_and_certificates_hold(on: Structure) -> None:
    layer = make_layer(on=on)
    other = Wanda().solve(layer)
    errors = []
    for method in (Reconstruction(), ADMM()):
        solved = method.solve(layer)
        assert solved.certificate is not None
        assert solved.certificate.holds
        assert solved.certificate.support.tolist() == solved.mask.flatten().nonzero()[:, 0].tolist()
        assert solved.mask.sum() == other.mask.sum()
        assert not solved.weight[~solved.mask].any()
        units = layer.part.sums({layer.part.parameters[0]: solved.mask.float()})
        torch.testing.assert_close(solved.mask, layer.mask(solved.mask.float()))
        assert units.unique().tolist() in ([0, 1], [0, 4])
        errors.append(objective(layer, solved.weight))
    assert errors[1] < errors[0] < objective(layer, other.weight)


def test_admm_is_near_the_best_of_all_supports() -> None:
    """Each output of 12 inputs may read 5: all 792 supports are tried for each."""
    layer = make_layer(outputs=12, inputs=12, on=FanIn(), keep=5 / 12)
    solved = ADMM(steps=60).solve(layer)
    hessian, weight = ridged(layer), layer.weight.double().numpy()
    best = np.array(
        [
            min(
                (best_row(hessian, row, np.array(kept)) for kept in combinations(range(12), 5)),
                key=lambda u, row=row: (row - u) @ hessian @ (row - u),  # type: ignore[misc]
            )
            for row in weight
        ]
    )
    lowest, found = objective(layer, best), objective(layer, solved.weight)
    refitted = objective(layer, Reconstruction().solve(layer).weight)
    assert lowest <= found <= 1.3 * lowest
    assert found < 0.8 * refitted


def test_inputs_that_are_never_seen_lose_their_weights_first() -> None:
    seen = InputStatistics(4)
    seen.add(torch.tensor([[1.0, 0.0, 2.0, 0.0]]).repeat(5, 1))
    layer = Layer("fc", torch.ones(3, 4), seen, Elements(), 0.25)
    for method in (ADMM(), Reconstruction()):
        solved = method.solve(layer)
        assert bool(solved.weight.isfinite().all())
        assert not solved.mask[:, [1, 3]].any()


def test_a_layer_that_reads_only_zeros_is_solved() -> None:
    seen = InputStatistics(4)
    seen.add(torch.zeros(5, 4))
    solved = ADMM().solve(Layer("fc", torch.ones(3, 4), seen, Elements(), 0.5))
    assert solved.mask.sum() == 6
    assert bool(solved.weight.isfinite().all())


def test_a_model_is_compressed_with_certificates(tiny_llama: nn.Module, tokens: Tensor) -> None:
    compression = compress(tiny_llama, tokens, "admm", keep=0.3)
    for row in compression:
        assert row.certificate is not None
        assert row.certificate["holds"]
        assert row.certificate["kind"] == "global"
    assert compression.sparsity == pytest.approx(0.7, abs=1e-3)


def test_the_start_says_what_lives_together() -> None:
    assert Reconstruction("wanda").on == FanIn()
    assert Reconstruction("magnitude").on == Elements()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Reconstruction("wandas"), "method 'wandas' is not known"),
        (lambda: Reconstruction(tol=0), "Reconstruction: tol must be > 0, got 0"),
        (lambda: Reconstruction(ridge=float("nan")), "ridge must be a finite number"),
        (lambda: ADMM(steps=0), "ADMM: steps must be an integer >= 1, got 0"),
        (lambda: ADMM(rho=(1.0, 0.1)), "ADMM: rho must not fall from first to last"),
        (lambda: ADMM(rho=(0.0, 0.1)), "ADMM: rho must be > 0"),
    ],
)
def test_senseless_settings_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
