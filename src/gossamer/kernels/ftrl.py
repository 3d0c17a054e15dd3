"""Follow the regularised leader over rows of a sparse matrix.

The global names ``slope`` and ``prox`` are bound by :func:`gossamer.kernels.bind` to the derivative
of a loss and to the formula of a penalty.
"""

# ruff: noqa: F821
# mypy: disable-error-code="no-untyped-def, name-defined"

import math


def quadratic_slope(z, y):
    return z - y


def logistic_slope(z, y):
    # written apart, so that neither overflows and no difference of near ones is taken
    if y > 0:
        return -1.0 / (1.0 + math.exp(min(z, 700.0)))
    return 1.0 / (1.0 + math.exp(min(-z, 700.0)))


def poisson_slope(z, y):
    return math.exp(z) - y


def ftrl_rows(
    data,
    indices,
    indptr,
    y,
    sample_weight,
    order,
    pull,
    squares,
    seen,
    rate,
    beta,
    weights,
    nonnegative,
    par,
    constant,
    w,
    predicted,
):
    """One update for each row of ``order``; the last coefficient is the intercept.

    pull, squares : (p + 1,) sums of shifted gradients, and of their squares; updated in place.
    seen : sample weight so far, by which the penalty counts.
    weights : (p,) of the penalty. constant : 1.0 or 0.0, the intercept's feature.
    w : (p + 1,) work space. predicted : (n,) predictions before each update.
    Returns ``seen`` after the rows. Coefficients are computed when a row asks for them: they are a
    function of ``pull``, ``squares`` and ``seen``, so that rows cost their entries only.
    """
    p = weights.size
    for i in order:
        scale = (beta + math.sqrt(squares[p])) / rate
        w[p] = -pull[p] / scale * constant
        z = w[p]
        for at in range(indptr[i], indptr[i + 1]):
            j = indices[at]
            scale = (beta + math.sqrt(squares[j])) / rate
            value = -pull[j] / scale
            if nonnegative:
                value = max(value, 0.0)
            if weights[j] > 0.0 and seen > 0.0:
                value = prox(value, seen * weights[j] / scale, par)
            w[j] = value
            z += data[at] * value
        predicted[i] = z
        derivative = sample_weight[i] * slope(z, y[i])
        seen += sample_weight[i]
        for at in range(indptr[i], indptr[i + 1]):
            j = indices[at]
            gradient = derivative * data[at]
            after = squares[j] + gradient * gradient
            pull[j] += gradient - (math.sqrt(after) - math.sqrt(squares[j])) / rate * w[j]
            squares[j] = after
        gradient = derivative * constant
        after = squares[p] + gradient * gradient
        pull[p] += gradient - (math.sqrt(after) - math.sqrt(squares[p])) / rate * w[p]
        squares[p] = after
    return seen
