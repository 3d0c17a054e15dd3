"""Cox: proportional hazards, censored survival times."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import numpy as np

from gossamer.core.loss import Loss
from gossamer.core.registry import LOSSES
from gossamer.losses.risk_sets import RiskSets

_TIES = ("breslow", "efron")
_FORMS = (
    "y must have shape (n, 2), time and event (1, or 0 if censored), or (n, 3) with a stratum, or "
    "be a structured array with an event field and a time field"
)


@LOSSES.register
class Cox(Loss):
    r"""Minus the log partial likelihood of proportional hazards, for censored survival times.

    .. math:: \sum_{i:\, \text{event}}
        s_i \Bigl[\log \sum_{j:\, t_j \ge t_i} s_j e^{z_j} - z_i\Bigr]
        + \text{const}

    with weights ``s`` that sum to one: glmnet's objective, whose lambda is this library's alpha.
    The constant (which is zero for unit weights, no ties and s = 1) makes the best possible
    prediction cost zero, so that the loss is half the deviance over n. Adding a number to all
    predictions changes nothing, there is no intercept.

    Parameters
    ----------
    ties : {"breslow", "efron"}, default "breslow"
        What is at risk at tied times: all who were before, or on average those that would be left
        if the events came one after the other. Breslow's is glmnet's and scikit-survival's,
        Efron's is the default of R's survival, and is nearer to the truth where ties are many.

    Notes
    -----
    The conjugate, and so the duality gap, is exact and costs O(n): risk sets are nested.
    Predictions as far apart as 800 are summed by running maxima.

    References
    ----------
    Cox (1972), Regression models and life-tables.
    Efron (1977), The efficiency of Cox's likelihood function for censored data.
    Simon, Friedman, Hastie and Tibshirani (2011), Regularization paths for Cox's proportional
    hazards model via coordinate descent.

    Examples
    --------
    >>> import numpy as np
    >>> loss = Cox()
    >>> y = loss.encode([[1.0, 1], [2.0, 0], [3.0, 1]])
    >>> s = np.full(3, 1 / 3)
    >>> 3 * (s @ loss.bind(y, s).value(np.zeros((3, 1)), y)).round(6)  # log 3 + log 1
    np.float64(1.098612)
    """

    smoothness: ClassVar[float | None] = None
    joint: ClassVar[bool] = True
    shift_invariant: ClassVar[bool] = True
    comparative: ClassVar[bool] = True

    def __init__(self, ties: str = "breslow") -> None:
        if ties not in _TIES:
            raise ValueError(f"Cox: ties must be one of {', '.join(_TIES)}, got {ties!r}.")
        self.ties = ties
        self._risk: RiskSets | None = None

    # -- targets -----------------------------------------------------------------------------------
    def encode(self, y: Any) -> np.ndarray:
        """(n, 3) time, event (0 or 1) and number of the stratum."""
        y = _columns(y)
        time, event = y[:, 0], y[:, 1]
        if not np.isfinite(y).all():
            raise ValueError("y contains NaN or inf: drop or repair those samples.")
        if not np.isin(event, (0, 1)).all():
            swapped = " Are time and event swapped?" if np.isin(time, (0, 1)).all() else ""
            raise ValueError(
                f"y has events like {event[~np.isin(event, (0, 1))][0]:g} in its second column: "
                f"1 is an event, 0 is censored.{swapped}"
            )
        if (time < 0).any():
            raise ValueError(f"y has the negative time {time.min():g}: times must be >= 0.")
        if not event.any():
            raise ValueError("y has no event: all samples are censored, no risk can be compared.")
        strata = np.unique(y[:, 2], return_inverse=True)[1] if y.shape[1] == 3 else 0 * time
        return np.column_stack([time, event, strata]).astype(float)

    def n_outputs(self, y: np.ndarray) -> int:
        return 1

    def bind(self, y: np.ndarray, sample_weight: np.ndarray) -> Cox:
        event = y[:, 1] > 0
        if not (event & (sample_weight > 0)).any():
            raise ValueError(
                "y has no event among the samples with a positive sample_weight (the training "
                "samples of a fold, in cross-validation: take fewer folds)."
            )
        bound = copy.copy(self)
        bound._risk = RiskSets(y[:, 0], event, y[:, 2], sample_weight, self.ties == "efron")
        return bound

    @property
    def risk_sets(self) -> RiskSets:
        """The samples it is bound to, by time."""
        if self._risk is None:
            raise ValueError("Cox: samples interact, bind(y, sample_weight) comes first.")
        return self._risk

    # -- the loss ----------------------------------------------------------------------------------
    def value(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        risk, value = self.risk_sets, np.zeros(len(z))
        event = risk.order[risk.event]
        cost = risk.terms(z[:, 0])[risk.event_block] / risk.event_weight[risk.event_block]
        value[event] = cost - z[event, 0]
        return value

    def gradient(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self.curvature(z, y) - y[:, 1:2]

    def curvature(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(n, 1) events expected of each sample by the time it is last seen."""
        risk, expected = self.risk_sets, np.zeros((len(z), 1))
        expected[risk.order, 0] = np.exp(risk.hazard(z[:, 0]).cumulative + z[risk.order, 0])
        return expected

    def interaction(self, z: np.ndarray, y: np.ndarray, columns: np.ndarray) -> np.ndarray | None:
        return self.risk_sets.weighted_means(z[:, 0], columns)

    def conjugate(self, theta: np.ndarray, y: np.ndarray) -> np.ndarray:
        risk, parts = self.risk_sets, np.zeros(len(theta))
        mass = np.zeros(len(theta))
        mass[risk.order] = risk.weight * (theta[risk.order, 0] + y[risk.order, 1])
        own, common = risk.conjugate(mass)
        parts[risk.order] = own / risk.weight + common
        return parts

    def mean(self, z: np.ndarray) -> np.ndarray:
        """The hazard relative to that of z = 0."""
        with np.errstate(over="ignore"):
            return np.exp(z)


def _columns(y: Any) -> np.ndarray:
    """Time, event and perhaps stratum as columns of floats."""
    y = np.asarray(y)
    if y.dtype.names is not None:
        y = _fields(y)
    if y.ndim != 2 or y.shape[1] not in (2, 3) or not len(y):
        raise ValueError(f"{_FORMS}, got {y.shape}.")
    if y.dtype.kind == "c":
        raise ValueError("y is complex: only real numbers are supported.")
    try:
        return y.astype(float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"y must be numeric for the Cox loss: {error}.") from error


def _fields(y: np.ndarray) -> np.ndarray:
    """Columns of a structured array, in which the event is the Boolean field."""
    names = list(y.dtype.names or ())
    events = [name for name in names if y.dtype[name].kind == "b"]
    if len(names) != 2 or len(events) != 1:
        raise ValueError(f"{_FORMS}: one of two fields is Boolean, got {y.dtype}.")
    names.remove(events[0])
    return np.column_stack([y[names[0]].ravel().astype(float), y[events[0]].ravel()])
