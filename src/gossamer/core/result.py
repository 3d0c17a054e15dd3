"""What a solver returns: the optimum and its certificate."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np


class Status(Enum):
    """Why a solver stopped; ``status.value`` is a sentence."""

    CONVERGED = "the certificate meets the asked tolerance"
    MAX_ITER = "the iteration limit was reached before the tolerance"
    TIME_LIMIT = "the time limit was reached before the tolerance"
    STALLED = "the solver made no further progress before the tolerance"
    INTERRUPTED = "interrupted by the user; the best point so far is returned"


@dataclass(frozen=True, eq=False)
class Certificate:
    """How far from optimal a point can be.

    Attributes
    ----------
    value : float
        The gap divided by the null objective where the problem is convex, else the largest
        violation divided by the largest gradient of the null model. ``holds`` means at most tol.
    kind : str
        "global" (convex, or searched through; "global in the box" among bounded coefficients),
        "coordinate-wise" (no single unit can improve) or "critical".
    gap : float
        Duality gap in the unit of the objective, NaN where there is none.
    violation : float
        Largest distance of minus the gradient to the subdifferential.
    objective, null_objective : float
        Objective here, and of the model without features.
    support : array of int
        Positions of the non-zero units.
    """

    value: float
    tol: float
    kind: str
    gap: float
    violation: float
    objective: float
    null_objective: float
    support: np.ndarray = field(repr=False)

    @property
    def holds(self) -> bool:
        return bool(self.value <= self.tol)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a file or a report."""
        numbers = ("value", "tol", "gap", "violation", "objective", "null_objective")
        plain: dict[str, Any] = {name: float(getattr(self, name)) for name in numbers}
        return plain | {"kind": self.kind, "holds": self.holds, "support": self.support.tolist()}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Certificate:
        known = {k: v for k, v in plain.items() if k not in ("holds", "support")}
        return cls(**known, support=np.array(plain["support"], dtype=np.intp))


@dataclass(frozen=True, eq=False)
class Result:
    """The optimum of a :class:`Problem`.

    Attributes
    ----------
    coef : (p,), or (p, K) when the target has K columns or classes
        For X as given.
    intercept : float, or (K,)
    history : list of (float, float)
        One (seconds, certificate value) pair an outer iteration.
    """

    coef: np.ndarray
    intercept: float | np.ndarray
    certificate: Certificate
    status: Status
    n_iter: int
    solver: str
    history: list[tuple[float, float]] = field(repr=False, default_factory=list)
