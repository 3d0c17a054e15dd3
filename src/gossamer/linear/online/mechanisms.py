"""Local privacy: reports of a vector that say little about the person who sends them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, gammaln, log_ndtr, ndtr

from gossamer.core.validation import finite_number


def clipped(vectors: np.ndarray, radius: float) -> np.ndarray:
    """Rows (n, d) drawn back to the ball of ``radius``; NaN and infinity become the origin."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    scale = np.minimum(1.0, radius / np.maximum(norms, np.finfo(float).tiny))
    return np.where(np.isfinite(norms), scale, 0.0) * np.nan_to_num(vectors, posinf=0, neginf=0)


@dataclass(frozen=True)
class Mechanism(ABC):
    """An unbiased random report of a vector of norm at most ``radius``, (epsilon, delta) private.

    For any two vectors v, v' and any set S of reports,
    ``P(report(v) in S) <= exp(epsilon) P(report(v') in S) + delta``.
    """

    epsilon: float
    radius: float
    dimension: int
    delta: float = 0.0

    def __post_init__(self) -> None:
        for name in ("epsilon", "radius"):
            if finite_number(getattr(self, name), name, 0.0) == 0:
                raise ValueError(f"{name} must be > 0, got 0.")
        if not 0 <= finite_number(self.delta, "delta") < 1:
            raise ValueError(f"delta must be in [0, 1), got {self.delta}.")

    @abstractmethod
    def report(self, vectors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Reports (n, d) of vectors (n, d), which are clipped to the radius first."""

    @property
    @abstractmethod
    def noise(self) -> float:
        """A bound of the standard deviation of one coordinate of one report."""


@dataclass(frozen=True)
class SphereMechanism(Mechanism):
    r"""Pure privacy: a point of a large sphere, likelier from the half that the vector points to.

    The vector is rounded at random to the sphere of its bound, and the report is uniform on the
    half of a sphere of radius

    .. math:: B = r \frac{e^\epsilon + 1}{e^\epsilon - 1} \frac{\sqrt\pi}{2}
        \frac{d\,\Gamma(\frac{d - 1}{2} + 1)}{\Gamma(\frac d2 + 1)}

    on its side with probability :math:`e^\epsilon / (1 + e^\epsilon)`, on the other one otherwise.

    References
    ----------
    Duchi, Jordan and Wainwright (2018), Minimax optimal procedures for locally private estimation.

    Examples
    --------
    >>> import numpy as np
    >>> mechanism = SphereMechanism(epsilon=1.0, radius=1.0, dimension=2)
    >>> reports = mechanism.report(np.tile([0.6, 0.0], (40_000, 1)), np.random.default_rng(0))
    >>> reports.mean(axis=0).round(1) + 0.0
    array([0.6, 0. ])
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.delta:
            raise ValueError(
                f"SphereMechanism is purely private: delta must be 0, not {self.delta}"
            )

    @property
    def reach(self) -> float:
        """The radius B of the sphere of reports."""
        d = self.dimension
        log_ratio = np.log(d) + gammaln((d - 1) / 2 + 1) - gammaln(d / 2 + 1)
        spread = np.sqrt(np.pi) / 2 * np.exp(log_ratio)
        return float(self.radius * spread / np.tanh(self.epsilon / 2))

    @property
    def noise(self) -> float:
        return self.reach / float(np.sqrt(self.dimension))

    def report(self, vectors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        vectors = clipped(vectors, self.radius)
        norms = np.linalg.norm(vectors, axis=1)
        points = rng.standard_normal(vectors.shape)
        points *= (self.reach / np.linalg.norm(points, axis=1))[:, None]
        # two random signs in one: rounding to the sphere, and telling the truth
        side = rng.random(len(norms)) < 0.5 + 0.5 * norms / self.radius
        honest = rng.random(len(norms)) < expit(self.epsilon)
        wanted = np.where(side == honest, 1.0, -1.0)
        actual = np.where(np.einsum("ij,ij->i", points, vectors) >= 0, 1.0, -1.0)
        return points * (wanted * actual)[:, None]

    def density(self, reports: np.ndarray, vector: np.ndarray) -> np.ndarray:
        """(n,) density of reports for a vector, relative to the uniform one on their sphere."""
        vector = clipped(np.asarray(vector, dtype=float)[None], self.radius)[0]
        toward = 0.5 + 0.5 * np.linalg.norm(vector) / self.radius
        honest = expit(self.epsilon)
        same = toward * honest + (1 - toward) * (1 - honest)
        return 2 * np.where(reports @ vector >= 0, same, 1 - same)


@dataclass(frozen=True)
class GaussianMechanism(Mechanism):
    r"""Approximate privacy (delta > 0): normal noise of the smallest standard deviation.

    The deviation solves
    :math:`\Phi(\Delta / 2s - \epsilon s / \Delta) - e^\epsilon \Phi(-\Delta / 2s - \epsilon s /
    \Delta) = \delta` with :math:`\Delta = 2r`, the distance of two vectors.

    References
    ----------
    Balle and Wang (2018), Improving the Gaussian mechanism for differential privacy: analytical
    calibration and optimal denoising.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.delta:
            raise ValueError("GaussianMechanism needs delta > 0; SphereMechanism is for delta = 0.")

    @property
    def noise(self) -> float:
        def excess(log_scale: float) -> float:
            return gaussian_delta(self.epsilon, np.exp(log_scale)) - self.delta

        return 2 * self.radius * float(np.exp(brentq(excess, -20.0, 20.0, xtol=1e-12)))

    def report(self, vectors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return clipped(vectors, self.radius) + self.noise * rng.standard_normal(vectors.shape)


def gaussian_delta(epsilon: float, scale: float) -> float:
    """The exact delta of normal noise with a deviation of ``scale`` times the sensitivity."""
    near, far = 0.5 / scale - epsilon * scale, -0.5 / scale - epsilon * scale
    return float(ndtr(near) - np.exp(epsilon + log_ndtr(far)))


def mechanism_for(epsilon: float, delta: float, radius: float, dimension: int) -> Mechanism:
    """The sphere mechanism where delta is zero, else the Gaussian one."""
    kind = GaussianMechanism if delta else SphereMechanism
    return kind(epsilon, radius, dimension, delta)
