"""A regularisation path: one model at many strengths, each trained from the last."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from gossamer.nn.report import Report
from gossamer.nn.sparse import Sparse


@dataclass(frozen=True, eq=False)
class PathPoint:
    """The model at one strength.

    Attributes
    ----------
    strength : float
    sparsity : float
        Share of the entries of all sparse weights that are zero.
    score : float or None
        What ``evaluate`` said of the finalised model.
    report : Report
        Before it was finalised.
    state : dict
        ``state_dict`` of the finalised model.
    """

    strength: float
    sparsity: float
    score: float | None
    report: Report
    state: dict[str, torch.Tensor]


@dataclass(eq=False)
class Path:
    """The points of a path, from the weakest strength to the strongest; printed, a table."""

    points: list[PathPoint] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.points)

    def __iter__(self) -> Iterator[PathPoint]:
        return iter(self.points)

    def __getitem__(self, index: int) -> PathPoint:
        return self.points[index]

    def sparsest(self, slack: float = 0.0) -> PathPoint:
        """The sparsest point whose score is within ``slack`` of the best one.

        Raises
        ------
        ValueError
            When no scores were asked for.
        """
        scored = [(point.score, point) for point in self if point.score is not None]
        if not scored:
            raise ValueError("the path has no scores: give path(..., evaluate=...).")
        best = max(score for score, _ in scored)
        return max(
            (point for score, point in scored if score >= best - slack),
            key=lambda point: point.sparsity,
        )

    def __str__(self) -> str:
        lines = [" strength  sparsity     score"]
        for point in self:
            score = "" if point.score is None else f"{point.score:>10.4g}"
            lines.append(f"{point.strength:>9.2e}  {point.sparsity:>8.2%}{score}")
        return "\n".join(lines)


def path(
    sparse: Sparse,
    strengths: Sequence[float],
    train: Callable[[Sparse], Any],
    *,
    evaluate: Callable[[nn.Module], float] | None = None,
    on_point: Callable[[PathPoint], Any] | None = None,
    **finalise: Any,
) -> Path:
    """Train at each strength in increasing order, from the weights of the one before.

    Parameters
    ----------
    sparse : Sparse
        Its model stays factorised, at the last strength.
    strengths : sequence of floats > 0
        Multiples of the rules' strengths.
    train : callable
        ``train(sparse)`` runs a training at ``sparse.strength``, as a user's loop would;
        ``sparse.model`` is the model.
    evaluate : callable, default None
        ``evaluate(model)`` scores a finalised copy in evaluation mode; larger is better.
    on_point : callable, default None
        Called with each point as it is finished: for progress, or to save it.
    finalise
        Arguments of :meth:`Sparse.finalise` for the copies.

    Returns
    -------
    Path
        Interrupted, with the points that were finished, and a warning.

    Examples
    --------
    >>> import gossamer as gs, torch
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Linear(8, 1, bias=False)
    >>> X = torch.randn(64, 8); y = X[:, :1] + 0.3 * X[:, 1:2]
    >>> def train(sparse):
    ...     optimiser = torch.optim.Adam(sparse.param_groups(lr=0.05))
    ...     for _ in range(200):
    ...         optimiser.zero_grad()
    ...         loss = ((sparse.model(X) - y) ** 2).mean() / 2 + sparse.penalty()
    ...         loss.backward()
    ...         optimiser.step()
    >>> found = path(gs.nn.sparsify(model, {"*": gs.L1(1.0)}), [0.05, 0.5], train)
    >>> [round(point.sparsity * 8) for point in found]
    [6, 7]
    """
    ordered = sorted(float(strength) for strength in strengths)
    if not ordered or ordered[0] <= 0:
        raise ValueError(f"strengths must be numbers > 0, at least one, got {list(strengths)}.")
    if sparse.target is not None:
        raise ValueError("a path has its own strengths: call sparsify without keep.")
    found = Path()
    try:
        for strength in ordered:
            sparse.base, sparse.course.steps = strength, 0
            train(sparse)
            found.points.append(_point(sparse, strength, evaluate, finalise))
            if on_point is not None:
                on_point(found.points[-1])
    except KeyboardInterrupt:
        if not found.points:
            raise
        warnings.warn(
            f"interrupted: the path has {len(found)} of {len(ordered)} points.", stacklevel=2
        )
    return found


def _point(
    sparse: Sparse, strength: float, evaluate: Callable[[nn.Module], float] | None,
    arguments: dict[str, Any],
) -> PathPoint:  # fmt: skip
    report = sparse.report()
    plain = deepcopy(sparse.model)
    done = sparse.of(plain).finalise(**arguments)
    score = None
    if evaluate is not None:
        plain.eval()
        with torch.no_grad():
            score = float(evaluate(plain))
    return PathPoint(strength, done.sparsity, score, report, plain.state_dict())
