"""The formulas run on torch tensors as they stand: values, gradients, precisions, compiled."""

from __future__ import annotations

import copy
import io
import shutil

import numpy as np
import pytest

import gossamer as gs
from gossamer.factorisations import factorise_gates, factorise_power
from gossamer.testing import factorisation_instances
from gossamer.testing.factorisation_laws import derivative, pack, unpack

torch = pytest.importorskip("torch")

FORMS = factorisation_instances()
NUMBERS = range(len(FORMS))


def tensors(factors, dtype=torch.float64, **options):
    return tuple(torch.tensor(np.asarray(f), dtype=dtype, **options) for f in factors)


def some_factors(form, rng):
    return tuple(rng.uniform(0.3, 1.2, shape) * rng.choice([-1, 1], shape) for shape in form.shapes)


@pytest.mark.parametrize("number", NUMBERS)
def test_values_equal_numpy(number, rng):
    form, close = FORMS[number], {"rtol": 1e-12, "atol": 1e-14}
    factors = some_factors(form, rng)
    made, cost = form.expand(tensors(factors)), form.penalty(tensors(factors))
    assert made.dtype == cost.dtype == torch.float64 and cost.ndim == 0
    np.testing.assert_allclose(made.numpy(), form.expand(factors), **close)
    np.testing.assert_allclose(cost.numpy(), form.penalty(factors), **close)
    made, cost = (f(tensors(factors, torch.float32)) for f in (form.expand, form.penalty))
    assert made.dtype == cost.dtype == torch.float32
    np.testing.assert_allclose(made.numpy(), form.expand(factors), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(cost.numpy(), form.penalty(factors), rtol=1e-5)


@pytest.mark.parametrize("number", NUMBERS)
def test_gradients_are_those_of_differences(number, rng):
    form = FORMS[number]
    factors, pull = some_factors(form, rng), rng.standard_normal(form.shape)

    def cost(x):
        parts = unpack(form, x)
        return (pull * form.expand(parts)).sum() + form.penalty(parts)

    leaves = tensors(factors, requires_grad=True)
    loss = (torch.tensor(pull) * form.expand(leaves)).sum() + form.penalty(leaves)
    found = torch.autograd.grad(loss, leaves)
    expected = derivative(cost, pack(factors))
    np.testing.assert_allclose(pack(found), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("number", NUMBERS)
def test_gradients_at_zero_are_finite(number, dtype, rng):
    """Where a unit has died, in a group that lives or with it, nothing divides by its size."""
    form = FORMS[number]
    w = np.abs(rng.standard_normal(form.shape))
    half = w * (np.arange(w.size).reshape(w.shape) % 2)
    for weight in (np.zeros(form.shape), half, 1e-12 * w):
        for factors in (form.balanced(weight), form.start(weight)):
            leaves = tensors(factors, dtype, requires_grad=True)
            loss = form.expand(leaves).sum() + form.penalty(leaves)
            for gradient in torch.autograd.grad(loss, leaves):
                assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("number", NUMBERS)
def test_starts_in_torch_move_every_entry(number):
    form = FORMS[number]
    leaves = tensors(form.start(np.zeros(form.shape)), requires_grad=True)
    for entry in form.expand(leaves).ravel():
        gradients = torch.autograd.grad(entry, leaves, retain_graph=True)
        assert sum(float(gradient.abs().sum()) for gradient in gradients) > 1e-3


def check_compiled(form, rng, backend):
    torch.compiler.reset()
    form = copy.deepcopy(form)  # one that has not met a tensor, and remembers none

    @torch.compile(fullgraph=True, backend=backend)
    def step(*leaves):
        return form.expand(leaves), form.penalty(leaves)

    factors = some_factors(form, rng)
    leaves, plain = (tensors(factors, requires_grad=True) for _ in range(2))
    made, cost = step(*leaves)
    (made.sum() + cost).backward()
    (form.expand(plain).sum() + form.penalty(plain)).backward()
    np.testing.assert_allclose(made.detach(), form.expand(factors), rtol=1e-10, atol=1e-12)
    for leaf, other in zip(leaves, plain, strict=True):
        torch.testing.assert_close(leaf.grad, other.grad)


@pytest.mark.parametrize("number", NUMBERS)
def test_traced_as_one_graph(number, rng):
    check_compiled(FORMS[number], rng, "eager")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a compiler of C++")
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("kind", ["Difference", "Harmonic", "Latent", "MatrixProduct", "Product"])
def test_compiled_to_machine_code(kind, rng):
    form = next(form for form in FORMS if type(form).__name__ == kind)
    check_compiled(form, rng, "inductor")


@pytest.mark.parametrize("number", NUMBERS)
def test_copies_after_use_with_tensors(number, rng):
    """What a form remembers for tensors does not keep it from being copied or saved."""
    form = copy.deepcopy(FORMS[number])
    leaves = tensors(some_factors(form, rng))
    expected = form.expand(leaves), form.penalty(leaves)
    buffer = io.BytesIO()
    torch.save(form, buffer)
    buffer.seek(0)
    for other in (copy.deepcopy(form), torch.load(buffer, weights_only=False)):
        torch.testing.assert_close((other.expand(leaves), other.penalty(leaves)), expected)


@pytest.mark.parametrize("shape", [(8, 6), (4, 3, 2), (4, 3, 2, 2)])
def test_weights_of_layers(shape, rng):
    """Linear and convolutional weights, contiguous or not, and factors in memory format."""
    w = rng.standard_normal(shape)
    forms = [
        factorise_power(0.1, 2 / 3, on, shape)
        for on in (gs.Elements(), gs.Channels(), gs.Channels(axis=1), gs.Spectrum())
    ]
    for form in [*forms, factorise_gates(0.1, (gs.Channels(0), gs.Channels(1)), shape)]:
        for given in (w, np.asfortranarray(w), np.repeat(w, 2, axis=0)[::2]):
            factors = tensors(form.start(given))
            np.testing.assert_allclose(form.expand(factors).numpy(), w, atol=1e-12)
        turned = tuple(f.T.contiguous().T if f.ndim == 2 else f for f in factors)
        np.testing.assert_allclose(form.expand(turned).numpy(), w, atol=1e-12)


def test_wrong_factors_are_refused_for_tensors_too():
    form = gs.L1(0.1).factorise((3,))
    with pytest.raises(ValueError, match="factors have shapes"):
        form.expand((torch.zeros(3), torch.zeros(1)))
    with pytest.raises(ValueError, match="factors have shapes"):
        form.penalty((torch.zeros(3),))
