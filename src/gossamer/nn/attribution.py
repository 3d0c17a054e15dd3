"""MoreauGrad: which inputs made a classifier decide, stable and, if asked, sparse."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor, nn

from gossamer.core.errors import ConvergenceWarning
from gossamer.core.penalty import Penalty
from gossamer.nn.formulas import TensorForm, tensor_form
from gossamer.nn.metric_prox import prox

_CHUNK = 512  # inputs of one call of the model
_SHORTEST = 2.0**-8  # step of the solver


def moreau_grad(
    model: nn.Module | Callable[[Tensor], Tensor],
    x: Tensor,
    target: int | Tensor | None = None,
    *,
    rho: float = 1.0,
    sparse: Penalty | None = None,
    view: tuple[int, ...] | None = None,
    noise: float = 0.1,
    n_samples: int = 32,
    tol: float = 0.02,
    max_iter: int = 100,
    seed: int = 0,
) -> Tensor:
    r"""Gradient of the Moreau envelope of a class score, at each input.

    Let f be the score of the target class, averaged over Gaussian noise on the input. The
    envelope and its gradient are

    .. math:: f_\rho(x) = \min_z f(z) + \tfrac{1}{2 \rho} \|z - x\|^2, \qquad
              g = (x - \mathrm{prox}(x)) / \rho,

    where prox(x) is the minimiser. For convex f the gradient g changes by at most 1 / rho times
    the change of x: the map of a slightly moved input is nearly the same. It solves

    .. math:: \min_g \; f(x - \rho g) / \rho + \tfrac12 \|g\|^2 + \Omega(g),

    whose last term is optional and sets entries, or groups of them, to exactly zero. This is
    strongly convex where f curves down by less than 1 / rho; the noise bounds that curvature.
    It is solved by damped proximal steps, each a pass forward and backward through the model.

    Parameters
    ----------
    model : torch.nn.Module or callable
        From a batch to scores, (B, n_classes) or (B,). A module is put in evaluation mode
        meanwhile. Logits suit better than probabilities, whose gradients vanish.
    x : (B, ...) tensor of floats
    target : int, (B,) tensor of integers, or None
        The class explained; default the one with the largest score at ``x``.
    rho : float >= 0, default 1
        How far the envelope looks, in units of input squared over score. Zero leaves the smoothed
        gradient itself (SmoothGrad). When the solver does not converge, rho is too large.
    sparse : Penalty, default None
        On one input's map: ``gs.L1(s)`` for sparse maps, ``gs.L1(s, on=gs.Blocks((4, 4)))`` for
        patches of an (H, W) map, and so on. Its strength is in the unit of the gradient.
    view : tuple of ints, default None
        The shape in which the penalty sees one map; ``None`` is that of one input.
    noise : float >= 0, default 0.1
        Standard deviation of the noise, relative to the range of each input's values.
    n_samples : int >= 2, default 32
        Noise samples, the same for every input and in pairs of opposite sign. Even.
    tol : float > 0, default 0.02
        Largest gap left in the map's equation ``g = gradient at x - rho g``, relative to the map.
    max_iter : int >= 1, default 100
    seed : int, default 0
        Of the noise; equal seeds give equal maps, whatever else is in the batch.

    Returns
    -------
    Tensor
        The maps, in the shape of ``x``. Positive where a larger value raises the score.

    Raises
    ------
    ValueError, TypeError
        For arguments outside their range, and scores of another shape.
    UnsupportedProblem
        For penalties whose prox does not split by unit.

    Warns
    -----
    ConvergenceWarning
        When some maps are not solved to ``tol``.

    References
    ----------
    Zhang and Farnia (2023), MoreauGrad: sparse and robust interpretation of neural networks via
    Moreau envelope.

    Examples
    --------
    A quadratic score ``3 z^2 / 2`` has the envelope's gradient ``3 x / (1 + 3 rho)``:

    >>> x = torch.tensor([[2.0], [-1.0]])
    >>> moreau_grad(lambda z: 1.5 * z[:, 0] ** 2, x, rho=1.0, tol=1e-6)
    tensor([[ 1.5000],
            [-0.7500]])
    """
    _check(x, rho, noise, n_samples, tol, max_iter)
    form = None if sparse is None else _form(sparse, tuple(x.shape[1:]), view)
    with _evaluation(model), torch.no_grad():
        target = _targets(model, x, target)
        pairs = _pairs(x, n_samples if noise else 0, seed)
        score = _SmoothedScore(model, x, target, noise * _ranges(x), pairs)
        maps, gaps = _solve(score, rho, form, tol, max_iter)
    failed = int((gaps > tol).sum())
    if failed:
        warnings.warn(
            f"moreau_grad: {failed} of {len(x)} maps are not solved to tol={tol:g} after "
            f"{max_iter} iterations; the largest gap is still {gaps.max():.1g} of its map. Use "
            "a smaller rho, more noise, or more iterations.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return maps


@dataclass(frozen=True, eq=False)
class _SmoothedScore:
    """The target's score, averaged over noise."""

    model: Callable[[Tensor], Tensor]
    x: Tensor  # (B, ...)
    target: Tensor | None  # (B,), None when the model has one output
    sizes: Tensor  # (B,) standard deviations
    noise: Tensor  # (n_samples, ...) of size one

    def of(self, rows: Tensor | slice) -> _SmoothedScore:
        """The score of these inputs only."""
        target = None if self.target is None else self.target[rows]
        return _SmoothedScore(self.model, self.x[rows], target, self.sizes[rows], self.noise)

    def gradient(self, shift: Tensor) -> Tensor:
        """(B, ...) gradient at ``x - shift``."""
        rows = max(1, _CHUNK // len(self.noise))
        slices = (slice(first, first + rows) for first in range(0, len(self.x), rows))
        return torch.cat([self.of(part)._gradient_at_once(shift[part]) for part in slices])

    def _gradient_at_once(self, shift: Tensor) -> Tensor:
        noise = self.sizes.reshape(-1, *[1] * self.x.dim()) * self.noise
        points = ((self.x - shift).unsqueeze(1) + noise).flatten(0, 1)
        target = self.target
        if target is not None:
            target = target.repeat_interleave(len(self.noise))
        gradients = _score_gradient(self.model, points, target)
        return gradients.unflatten(0, (-1, len(self.noise))).mean(dim=1)


def _score_gradient(
    model: Callable[[Tensor], Tensor], points: Tensor, target: Tensor | None
) -> Tensor:
    with torch.enable_grad():
        points = points.detach().requires_grad_(True)
        scores = model(points)
        if target is not None:
            scores = scores.gather(1, target[:, None])
        return torch.autograd.grad(scores.sum(), points)[0]


def _solve(
    score: _SmoothedScore, rho: float, form: TensorForm | None, tol: float, max_iter: int
) -> tuple[Tensor, Tensor]:
    """The maps, and of each the gap that is left in its equation, relative to its size.

    A map is ``prox(m)`` where m is the gradient at ``x - rho prox(m)``. Networks of rectifiers
    have gradients that jump, so that m hovers where it should rest: what counts is the mean over
    the last half of the iterations, the gap of the means, and how far m still moves.
    """
    maps, gaps = torch.zeros_like(score.x), score.x.new_full((len(score.x),), torch.inf)
    active = torch.arange(len(maps), device=maps.device)
    iteration = _Damped(score, rho, form)
    done, check = 0, min(2, max_iter)
    while len(active):
        pull, point, move = iteration.run(check - done)
        gap = torch.maximum(_norms(pull - point), move)
        gap = gap / _norms(pull).clamp(min=torch.finfo(maps.dtype).tiny)
        maps[active], gaps[active] = _prox(pull, form), gap
        if check >= max_iter:
            break
        going = ~(gap <= tol)
        active = active[going]
        iteration.keep(going)
        done, check = check, min(2 * check, max_iter)
    return maps, gaps


class _Damped:
    """Iterates ``m += step * (gradient at x - rho prox(m) - m)``, a step for each input."""

    def __init__(self, score: _SmoothedScore, rho: float, form: TensorForm | None) -> None:
        self.score, self.rho, self.form = score, rho, form
        self.point = score.gradient(torch.zeros_like(score.x))
        self.residual = torch.zeros_like(self.point)
        self.steps = torch.ones_like(_norms(self.point))

    def run(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Mean gradient, mean point and mean length of a move, of ``count`` iterations."""
        pulls, points = torch.zeros_like(self.point), torch.zeros_like(self.point)
        moves = torch.zeros_like(self.steps)
        for _ in range(count):
            pull = self.score.gradient(self.rho * _prox(self.point, self.form))
            residual = pull - self.point
            self._shorten(residual)
            pulls += pull / count
            points += self.point / count
            moves += self.steps * _norms(residual) / count
            steps = self.steps.reshape(-1, *[1] * (self.point.dim() - 1))
            self.point, self.residual = self.point + steps * residual, residual
        return pulls, points, moves

    def _shorten(self, residual: Tensor) -> None:
        """Halve the steps that were longer than the curvature along them allows."""
        old = self.residual
        bend = ((old - residual) * old).flatten(1).sum(dim=1)
        too_long = bend > 1.5 * _norms(old) ** 2
        self.steps[too_long & (self.steps > _SHORTEST)] /= 2

    def keep(self, rows: Tensor) -> None:
        """Go on with these inputs only."""
        self.score = self.score.of(rows)
        self.point, self.residual = self.point[rows], self.residual[rows]
        self.steps = self.steps[rows]


def _prox(points: Tensor, form: TensorForm | None) -> Tensor:
    if form is None:
        return points
    seen = points.reshape(len(points), *form.cells.shape)
    return torch.vmap(lambda one: prox(form, one, 1.0))(seen).reshape(points.shape)


def _norms(maps: Tensor) -> Tensor:
    return maps.flatten(1).norm(dim=1)


def _ranges(x: Tensor) -> Tensor:
    flat = x.flatten(1)
    return flat.amax(dim=1) - flat.amin(dim=1)


def _pairs(x: Tensor, n_samples: int, seed: int) -> Tensor:
    """(n_samples, ...) standard normal in pairs of opposite sign; one zero for no samples."""
    if n_samples == 0:
        return torch.zeros_like(x[:1])
    generator = torch.Generator().manual_seed(seed)
    half = torch.randn((n_samples // 2, *x.shape[1:]), generator=generator, dtype=x.dtype)
    return torch.cat([half, -half]).to(x.device)


def _targets(
    model: Callable[[Tensor], Tensor], x: Tensor, target: int | Tensor | None
) -> Tensor | None:
    scores = model(x)
    if scores.shape == x.shape[:1]:
        if target is not None:
            raise ValueError("target must be None for a model with one score an input.")
        return None
    if scores.dim() != 2 or len(scores) != len(x):
        raise ValueError(
            f"model must return scores of shape ({len(x)}, n_classes) or ({len(x)},), got "
            f"{tuple(scores.shape)}."
        )
    if target is None:
        return scores.argmax(dim=1)
    chosen = torch.as_tensor(target, device=x.device)
    if chosen.is_floating_point() or chosen.shape not in ((), x.shape[:1]):
        raise ValueError(
            f"target must be an integer or {len(x)} of them, got {chosen.dtype} of shape "
            f"{tuple(chosen.shape)}."
        )
    if not ((chosen >= 0) & (chosen < scores.shape[1])).all():
        raise ValueError(f"target must be in 0 .. {scores.shape[1] - 1}, got {target!r}.")
    return chosen.long().expand(len(x))


def _form(sparse: Penalty, shape: tuple[int, ...], view: tuple[int, ...] | None) -> TensorForm:
    seen = shape if view is None else tuple(view)
    if torch.Size(seen).numel() != torch.Size(shape).numel():
        raise ValueError(f"view {seen} does not have as many entries as one input, {shape}.")
    return tensor_form(sparse, seen, "the map")


def _check(x: Tensor, rho: float, noise: float, n_samples: int, tol: float, max_iter: int) -> None:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError("x must be a tensor of floats, with one input a row.")
    if x.dim() < 2 or x.numel() == 0:
        raise ValueError(f"x must be (B, ...) and not empty, got shape {tuple(x.shape)}.")
    for name, value in (("rho", rho), ("noise", noise)):
        if not (isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a finite number >= 0, got {value!r}.")
    if n_samples < 2 or n_samples % 2:
        raise ValueError(f"n_samples must be even and >= 2, got {n_samples}.")
    if max_iter < 1:
        raise ValueError(f"max_iter must be >= 1, got {max_iter}.")
    if not tol > 0:
        raise ValueError(f"tol must be > 0, got {tol!r}.")


@contextmanager
def _evaluation(model: object) -> Iterator[None]:
    """Evaluation mode, then every module's own mode again."""
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    modes = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
