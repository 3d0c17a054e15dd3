"""The set of targets for which the lasso selects the same features with the same signs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True, eq=False)
class Polyhedron:
    r"""Targets y with :math:`A y \le b`.

    Reference: Lee, Sun, Sun and Taylor (2016), Exact post-selection inference, sections 3 to 5.
    """

    A: np.ndarray
    b: np.ndarray

    @classmethod
    def of_lasso(
        cls, X: np.ndarray, active: np.ndarray, signs: np.ndarray, strength: float
    ) -> Self:
        r"""Where :math:`\min_w \frac12 \|y - Xw\|^2 + \lambda \|w\|_1` selects ``active`` with
        ``signs`` (theorem 4.3)."""
        chosen = X[:, active]
        pseudo = np.linalg.pinv(chosen)  # (k, n)
        inverse = np.linalg.inv(chosen.T @ chosen)
        keeps_sign = -signs[:, None] * pseudo
        signs_limit = -strength * signs * (inverse @ signs)
        others = np.delete(X, active, axis=1)
        left = others.T - (others.T @ chosen) @ pseudo
        pull = others.T @ (pseudo.T @ signs)
        return cls(
            np.vstack([keeps_sign, left / strength, -left / strength]),
            np.concatenate([signs_limit, 1 - pull, 1 + pull]),
        )

    def limits(self, y: np.ndarray, direction: np.ndarray) -> tuple[float, float]:
        """How far ``direction @ y`` can go inside when the rest of y stays as it is."""
        length = float(direction @ direction)
        value = float(direction @ y)
        slope = self.A @ direction / length
        slack = self.b - self.A @ (y - direction * (value / length))
        flat = 1e-12 * np.linalg.norm(self.A, axis=1) / np.sqrt(length)
        up, down = slope > flat, slope < -flat
        low = np.max(slack[down] / slope[down], initial=-np.inf)
        high = np.min(slack[up] / slope[up], initial=np.inf)
        return float(min(low, value)), float(max(high, value))
