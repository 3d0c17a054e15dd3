"""MoreauGrad against closed forms, and its claims on a trained classifier of digits."""

from __future__ import annotations

from collections.abc import Callable

import cvxpy as cp
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import gossamer as gs
from gossamer.core import ConvergenceWarning, UnsupportedProblem
from gossamer.nn import moreau_grad


# -- closed forms -----------------------------------------------------------------------------
def quadratic(seed: int = 0, p: int = 6) -> tuple[Callable[[Tensor], Tensor], Tensor, Tensor]:
    """Scores z' A z / 2 + b' z with A positive definite, A, b."""
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((p, p))
    A, b = torch.from_numpy(root @ root.T / p), torch.from_numpy(rng.standard_normal(p))
    return (lambda z: ((z @ A) * z).sum(dim=1) / 2 + z @ b), A, b


def inputs(count: int = 4, p: int = 6) -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).standard_normal((count, p)))


@pytest.mark.parametrize("rho", [0.0, 0.1, 1.0, 5.0])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_of_a_quadratic(rho: float, noise: float) -> None:
    """(I + rho A)^-1 (A x + b); pairs of opposite noise leave a quadratic's gradient exact."""
    score, A, b = quadratic()
    x = inputs()
    maps = moreau_grad(score, x, rho=rho, noise=noise, tol=1e-9, max_iter=2048)
    expected = torch.linalg.solve(torch.eye(6) + rho * A, (x @ A + b).T).T
    torch.testing.assert_close(maps, expected, rtol=1e-7, atol=1e-7)


def test_of_a_linear_score_is_its_weights() -> None:
    model = nn.Linear(5, 3).double()
    maps = moreau_grad(model, torch.rand(2, 5, dtype=torch.float64), target=torch.tensor([2, 0]))
    torch.testing.assert_close(maps, model.weight[[2, 0]].detach())


def test_of_a_nonsmooth_score() -> None:
    """The envelope of |z| is Huber's function: its gradient is clip(x / rho, -1, 1)."""
    x = torch.tensor([[0.05], [-0.3], [2.0], [0.0]])
    maps = moreau_grad(lambda z: z[:, 0].abs(), x, rho=0.5, noise=0.0, tol=0.05, max_iter=512)
    torch.testing.assert_close(maps, (x / 0.5).clamp(-1, 1), atol=0.03, rtol=0)


@pytest.mark.parametrize("groups", [None, ["a", "a", "b", "b", "c", "c"]])
def test_sparse_maps_solve_their_convex_problem(groups: list[str] | None) -> None:
    """Against cvxpy: min f(x - rho g) / rho + |g|^2 / 2 + strength * sum of sizes."""
    rho, strength = 0.5, 0.8
    score, A, b = quadratic()
    x = inputs(3)
    on = gs.Elements() if groups is None else gs.Groups(groups)
    maps = moreau_grad(
        score, x, rho=rho, sparse=gs.L1(strength, on=on), noise=0.0, tol=1e-9, max_iter=2048
    )
    for row, found in zip(x.numpy(), maps.numpy(), strict=True):
        g = cp.Variable(6)
        z = row - rho * g
        sizes = cp.norm1(g) if groups is None else sum(cp.norm(g[i : i + 2]) for i in (0, 2, 4))
        smooth = (cp.quad_form(z, cp.psd_wrap(A.numpy())) / 2 + b.numpy() @ z) / rho
        cp.Problem(cp.Minimize(smooth + cp.sum_squares(g) / 2 + strength * sizes)).solve(
            solver=cp.CLARABEL
        )
        np.testing.assert_allclose(found, g.value, atol=1e-4)
    assert (maps == 0).any()


def test_without_rho_and_noise_it_is_the_soft_thresholded_gradient() -> None:
    model = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 2)).double()
    x = inputs().requires_grad_(True)
    gradient = torch.autograd.grad(model(x)[:, 1].sum(), x)[0]
    found = moreau_grad(model, x.detach(), 1, rho=0.0, noise=0.0)
    torch.testing.assert_close(found, gradient)
    found = moreau_grad(model, x.detach(), 1, rho=0.0, noise=0.0, sparse=gs.L1(0.1))
    torch.testing.assert_close(found, nn.functional.softshrink(gradient, 0.1))


# -- conduct ----------------------------------------------------------------------------------
def test_a_map_does_not_depend_on_the_batch_and_seeds_count() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 3)).double()
    x = inputs(5)
    maps = moreau_grad(model, x, seed=3, tol=1e-6)
    torch.testing.assert_close(moreau_grad(model, x[2:3], seed=3, tol=1e-6), maps[2:3])
    assert torch.equal(moreau_grad(model, x, seed=3, tol=1e-6), maps)
    assert not torch.equal(moreau_grad(model, x, seed=4, tol=1e-6), maps)


def test_the_model_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2))
    model[1].eval()
    x = inputs().float()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    assert torch.equal(moreau_grad(model, x), moreau_grad(model, x))  # nothing is dropped
    assert [module.training for module in model] == [True, False, True, True]
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), random)
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name])


def test_too_large_a_rho_warns() -> None:
    # a concave score has no envelope once rho times its curvature passes one
    with pytest.warns(ConvergenceWarning, match="smaller rho"):
        moreau_grad(lambda z: -(z**2).sum(dim=1), torch.ones(1, 2), rho=2.0, max_iter=16)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"rho": -1.0}, ValueError, "rho"),
        ({"noise": float("inf")}, ValueError, "noise"),
        ({"n_samples": 3}, ValueError, "n_samples"),
        ({"tol": 0.0}, ValueError, "tol"),
        ({"max_iter": 0}, ValueError, "max_iter"),
        ({"target": 7}, ValueError, "target"),
        ({"target": torch.tensor([0, 1, 2])}, ValueError, "target"),
        ({"target": 0.5}, ValueError, "target"),
        ({"x": torch.ones(4, 6, dtype=torch.int64)}, TypeError, "floats"),
        ({"x": torch.ones(6)}, ValueError, "shape"),
        ({"model": lambda z: z[:, :, None]}, ValueError, "scores"),
        ({"model": lambda z: z[:, 0], "target": 1}, ValueError, "target must be None"),
        ({"sparse": gs.L1(1.0), "view": (2, 2)}, ValueError, "view"),
        ({"sparse": gs.L1(1.0, on=gs.Blocks((4, 4))), "view": (2, 3)}, ValueError, "tile"),
        ({"sparse": "L1"}, UnsupportedProblem, "L1"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        moreau_grad(**{"model": nn.Linear(6, 3), "x": torch.ones(4, 6), **arguments})


# -- the claims, on digits --------------------------------------------------------------------
@pytest.fixture(scope="module")
def digits() -> tuple[nn.Module, Tensor]:
    """A network trained on 8 x 8 digits, and 16 digits it has not seen."""
    torch.manual_seed(0)
    X, y = load_digits(return_X_y=True)
    images, labels = torch.tensor(X / 16).float().reshape(-1, 1, 8, 8), torch.tensor(y)
    order = torch.randperm(len(images))
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(10):
        for batch in order[:1400].split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(images[batch]), labels[batch]).backward()
            optimiser.step()
    held_out = order[1400:]
    with torch.no_grad():
        assert (net(images[held_out]).argmax(dim=1) == labels[held_out]).float().mean() > 0.9
    return net, images[held_out[:16]]


def instability(net: nn.Module, x: Tensor, **options: object) -> float:
    """Median change of the map, relative to its size, when the input moves a little."""
    moved = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        target = net(x).argmax(dim=1)
    maps, moved_maps = (
        moreau_grad(net, z, target, n_samples=8, tol=0.1, **options) for z in (x, moved)
    )
    change = (maps - moved_maps).flatten(1).norm(dim=1) / maps.flatten(1).norm(dim=1)
    return float(change.median())


def test_maps_are_more_stable_than_gradients(digits: tuple[nn.Module, Tensor]) -> None:
    net, x = digits
    gradient = instability(net, x, rho=0.0, noise=0.0)
    smoothed = instability(net, x, rho=0.0)
    envelope = instability(net, x, rho=1.0)
    assert envelope < 0.5 * gradient
    assert envelope < 0.8 * smoothed


def test_sparse_maps_are_sparse_and_still_stable(digits: tuple[nn.Module, Tensor]) -> None:
    net, x = digits
    for penalty, least in (
        (gs.L1(0.4), 0.4),
        (gs.L1(1.0, on=gs.Blocks((2, 2))), 0.2),
    ):
        options = {"sparse": penalty, "view": (8, 8)}
        maps = moreau_grad(net, x, n_samples=8, tol=0.1, **options)
        assert (maps == 0).float().mean() > least
        assert (maps != 0).flatten(1).any(dim=1).float().mean() > 0.9
        thresholded = instability(net, x, rho=0.0, noise=0.0, **options)
        assert instability(net, x, rho=1.0, **options) < 0.6 * thresholded
        if isinstance(penalty.on, gs.Blocks):  # patches live or die together
            patches = (maps != 0).reshape(-1, 4, 2, 4, 2).transpose(2, 3).flatten(3)
            assert (patches.all(dim=3) == patches.any(dim=3)).all()


def test_what_a_sparse_map_names_carries_the_score(digits: tuple[nn.Module, Tensor]) -> None:
    """Against the map, the score falls much more than along as many pixels at random."""
    net, x = digits
    maps = moreau_grad(net, x, sparse=gs.L1(0.4), view=(8, 8), n_samples=8, tol=0.1)
    generator = torch.Generator().manual_seed(0)
    shuffled = torch.stack(
        [m.reshape(-1)[torch.randperm(64, generator=generator)].reshape(m.shape) for m in maps]
    )
    with torch.no_grad():
        scores, target = net(x), net(x).argmax(dim=1, keepdim=True)
        drops = [
            (scores - net(x - 0.05 * direction)).gather(1, target).median()
            for direction in (maps, shuffled)
        ]
    assert drops[0] > 3 * drops[1].abs()
