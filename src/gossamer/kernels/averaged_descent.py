"""Averaged stochastic gradient descent over dense rows."""

# mypy: disable-error-code="no-untyped-def"


def averaged_descent(X, y, order, step, constant, w, average, count):
    """One pass over the rows ``order``; squared loss, constant step, last entry the intercept.

    constant : 1.0, the feature of the intercept, or 0.0 for none.

    w, average : (p + 1,) iterate and mean of all iterates, updated in place.
    count : iterates in ``average`` so far. Returns the count after the pass.
    """
    p = X.shape[1]
    for i in order:
        residual = constant * w[p] - y[i]
        for j in range(p):
            residual += X[i, j] * w[j]
        count += 1
        for j in range(p):
            w[j] -= step * residual * X[i, j]
            average[j] += (w[j] - average[j]) / count
        w[p] -= step * residual * constant
        average[p] += (w[p] - average[p]) / count
    return count
