"""Total variation on a chain: the exact prox by dynamic programming."""

# mypy: disable-error-code="no-untyped-def"


def chain_prox(y, weights, edges, knots, slopes, offsets, low, high, out):
    """``argmin_b sum_i weights_i (b_i - y_i)^2 / 2 + sum_i edges_i |b_i - b_(i+1)|`` into ``out``.

    Forward the derivative of the best cost so far, a piecewise linear function of the last
    coefficient, is kept as knots with changes of slope and offset, and clipped to the next
    edge's weight; each clip adds two knots and drops those outside, so that all takes time
    linear in n, whatever the data. Backward the clip points give the solution.

    weights : (n,) > 0.    edges : (n - 1,) >= 0.
    knots, slopes, offsets : (2 n,) and low, high : (n,) work space.

    Reference: Johnson (2013), A dynamic programming algorithm for the fused lasso and
    L0-segmentation.
    """
    n = y.size
    left, right = n, n - 1
    first_slope, first_offset = weights[0], -weights[0] * y[0]
    last_slope, last_offset = -first_slope, -first_offset
    for k in range(n - 1):
        bound = edges[k]
        slope, offset, at = first_slope, first_offset, left
        while at <= right and slope * knots[at] + offset <= -bound:
            slope += slopes[at]
            offset += offsets[at]
            at += 1
        slope_end, offset_end, end = last_slope, last_offset, right
        while end >= at and -slope_end * knots[end] - offset_end >= bound:
            slope_end += slopes[end]
            offset_end += offsets[end]
            end -= 1
        low[k] = (-bound - offset) / slope
        high[k] = (bound + offset_end) / -slope_end
        left, right = at - 1, end + 1
        knots[left], slopes[left], offsets[left] = low[k], slope, offset + bound
        knots[right], slopes[right], offsets[right] = high[k], slope_end, offset_end + bound
        weight, pull = weights[k + 1], weights[k + 1] * y[k + 1]
        first_slope, first_offset = weight, -bound - pull
        last_slope, last_offset = -weight, -bound + pull
    slope, offset, at = first_slope, first_offset, left
    while at <= right and slope * knots[at] + offset <= 0.0:
        slope += slopes[at]
        offset += offsets[at]
        at += 1
    out[n - 1] = -offset / slope
    for k in range(n - 2, -1, -1):
        out[k] = min(max(out[k + 1], low[k]), high[k])
