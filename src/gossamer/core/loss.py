"""Loss: how a prediction is judged, one number a sample."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

#: slack on the border of a conjugate's domain, for dual points that lie on it up to rounding
ROUNDING = 1e-12


class Loss(ABC):
    """A convex function of the linear prediction ``z`` of each sample.

    ``z`` has shape (n, K), one column an output or class; ``y`` is what :meth:`encode` returned,
    of the same shape unless :meth:`n_outputs` says otherwise. Values are per sample, (n,): weights
    and means are the problem's business.

    Where samples interact (``joint``), as in a partial likelihood, :meth:`bind` returns the loss
    that knows all targets and weights ``s``, and only the weighted sums have a meaning:
    ``s @ value`` is the objective, ``s * gradient`` its derivative, ``s @ conjugate(theta)`` its
    conjugate at ``s * theta``, and the second derivative is ``diag(s * curvature) - B'B`` with
    ``B @ columns`` from :meth:`interaction`.
    """

    #: second derivative at most this number, ``None`` when unbounded
    smoothness: ClassVar[float | None]
    #: a gradient everywhere; else :meth:`lines` tell of the kinks
    is_smooth: ClassVar[bool] = True
    #: the target is a label: estimators of this loss are classifiers
    classifies: ClassVar[bool] = False
    #: the mean of a loss that classifies is a probability
    is_likelihood: ClassVar[bool] = True
    #: a target of several columns is taken, whose losses add up
    takes_columns: ClassVar[bool] = False
    #: curvature does not depend on ``z``
    is_quadratic: ClassVar[bool] = False

    #: a sample's outputs interact: its second derivative is diag(p) - p p', p = mean(z)
    coupled: ClassVar[bool] = False
    #: samples interact: the loss has to be bound to them
    joint: ClassVar[bool] = False
    #: the same shift of all predictions changes nothing: there is no intercept
    shift_invariant: ClassVar[bool] = False
    #: samples are compared with each other: those held out are judged by what they add to the loss
    #: of the others
    comparative: ClassVar[bool] = False

    def n_outputs(self, y: np.ndarray) -> int:
        """K, the columns of the prediction for an encoded target."""
        return int(y.shape[1])

    def bind(self, y: np.ndarray, sample_weight: np.ndarray) -> Loss:
        """The loss of these samples, weights sum to one; itself where each stands alone."""
        return self

    def interaction(self, z: np.ndarray, y: np.ndarray, columns: np.ndarray) -> np.ndarray | None:
        """(r, m) ``B @ columns`` for ``columns`` (n, m), ``None`` where samples do not interact or
        numbers do not allow it: the diagonal is then a bound of the second derivative."""
        return None

    @abstractmethod
    def encode(self, y: Any) -> np.ndarray:
        """The target as a float array (n, K); raises ``ValueError`` when it does not fit."""

    @abstractmethod
    def value(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(n,) loss of each sample, zero for the best possible prediction of that sample."""

    @abstractmethod
    def gradient(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(n, K) derivative of each sample's loss in its prediction."""

    @abstractmethod
    def curvature(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(n, K) diagonal of the second derivative of each sample's loss."""

    @abstractmethod
    def conjugate(self, theta: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(n,) sup_z <theta, z> - loss(z, y), infinite outside its domain."""

    @abstractmethod
    def mean(self, z: np.ndarray) -> np.ndarray:
        """(n, K) expected target for the prediction ``z`` (the inverse link)."""

    def lines(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """(n, K) kinks, and the slopes left and right of them, of a loss of two straight lines."""
        return None

    def best_shift(self, z: np.ndarray, y: np.ndarray, s: np.ndarray) -> np.ndarray | None:
        """(K,) argmin_b of the mean loss at ``z + b`` under weights ``s``; ``None``: by Newton."""
        return None

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.parameters == other.parameters

    def __hash__(self) -> int:
        return hash((type(self), tuple(self.parameters.items())))

    @property
    def parameters(self) -> dict[str, Any]:
        """What the loss was made with, without what it is bound to."""
        return {k: v for k, v in vars(self).items() if not k.startswith("_")}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{k}={v!r}" for k, v in self.parameters.items())
        return f"{type(self).__name__}({arguments})"


def numeric_target(y: Any, loss: str) -> np.ndarray:
    """The target as float64 (n, K), or a clear error."""
    y = np.asarray(y)
    if y.dtype == object or y.dtype.kind in "USmM":
        try:
            y = y.astype(float)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"y must be numeric for the {loss} loss, got values like {y.ravel()[:1].tolist()}. "
                "For labels use SparseLogistic."
            ) from error
    if y.ndim not in (1, 2) or 0 in y.shape:
        raise ValueError(f"y must have shape (n,) or (n, K) and not be empty, got {y.shape}.")
    if y.dtype.kind == "c":
        raise ValueError("y is complex: only real numbers are supported.")
    y = y.astype(float).reshape(len(y), -1)
    if not np.isfinite(y).all():
        raise ValueError("y contains NaN or inf: drop or repair those samples.")
    return y


def nonnegative_target(y: Any, loss: str) -> np.ndarray:
    """Counts or amounts with a log link: at least zero, and not zero everywhere."""
    y = numeric_target(y, loss)
    if (y < 0).any():
        raise ValueError(f"y must be >= 0 for the {loss} loss, got {y.min()}.")
    if not y.any(axis=0).all():
        raise ValueError(
            "y is zero everywhere: the optimal rate is zero, which no finite coefficients give."
        )
    return y


def binary_target(y: Any, loss: str) -> np.ndarray:
    """Labels {0, 1}, {-1, 1} or booleans, as (n, 1) zeros and ones."""
    y = single_target(y, loss)
    found = np.unique(y)
    if not (np.isin(found, (0, 1)).all() or np.isin(found, (-1, 1)).all()):
        raise ValueError(
            f"y must be in {{0, 1}} or {{-1, 1}} for the {loss} loss, got {found[:5]}. "
            "For other labels use SparseLogistic, for several classes Multinomial()."
        )
    return (y > 0).astype(float)


def single_target(y: Any, loss: str) -> np.ndarray:
    """A target of one column, (n, 1)."""
    y = numeric_target(y, loss)
    if y.shape[1] != 1:
        raise ValueError(f"y must have one column for the {loss} loss, got {y.shape[1]}.")
    return y
