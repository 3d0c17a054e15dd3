"""Cyclic (block) coordinate descent on a quadratic model, one kernel for each kind of unit.

The global names ``prox``, ``dot`` and ``axpy`` are bound by :func:`gossamer.kernels.bind` to a
penalty's formula and a column store.
"""

# ruff: noqa: F821
# mypy: disable-error-code="no-untyped-def, name-defined"

import math


def element_cycles(columns, state, w, feature, output, curvature, weights, lower, par, tol, trail):
    """Cycle over single coefficients until none moves the objective by more than ``tol``, at most
    once for each row of ``trail``, which keeps the coefficients after each cycle. The first cycle
    takes all, those after it the ones that are not zero.

    w : (m,) coefficients, updated in place, as is ``state``.
    feature, output : (m,) column and output of each coefficient.
    curvature : (m,) second derivative of the model along each; zero for a dead column.
    lower : (m,) bounds, minus infinity for none.
    Returns the number of cycles done, the first one's largest ``curvature * move^2``, and half
    the sum of all of them, by which the objective fell at least.
    """
    first = total = 0.0
    for cycle in range(trail.shape[0]):
        largest = 0.0
        for c in range(w.size):
            old = w[c]
            if curvature[c] == 0.0 or (cycle > 0 and old == 0.0):
                continue
            new = old - dot(columns, feature[c], output[c], state) / curvature[c]
            new = max(new, lower[c])
            if weights[c] > 0.0:
                new = prox(new, weights[c] / curvature[c], par)
            if new != old:
                axpy(columns, feature[c], output[c], new - old, state)
                w[c] = new
                gain = curvature[c] * (new - old) ** 2
                largest = max(largest, gain)
                total += 0.5 * gain
        trail[cycle] = w
        if cycle == 0:
            first = largest
        if largest <= tol:
            return cycle + 1, first, total
    return trail.shape[0], first, total


def block_cycles(
    columns,
    state,
    w,
    feature,
    output,
    starts,
    curvature,
    weights,
    inner,
    lower,
    par,
    tol,
    trial,
    trail,
):
    """Cycle over units of several coefficients; unit u is ``starts[u]:starts[u + 1]``.

    curvature : (n_units,) largest eigenvalue of each unit's block of the model.
    inner : (m,) soft thresholds inside the units, zero for none.
    trial : (m,) work space.
    """
    first = total = 0.0
    for cycle in range(trail.shape[0]):
        largest = 0.0
        for u in range(starts.size - 1):
            if curvature[u] == 0.0 or (cycle > 0 and not w[starts[u] : starts[u + 1]].any()):
                continue
            step = 1.0 / curvature[u]
            squares = 0.0
            for c in range(starts[u], starts[u + 1]):
                v = w[c] - step * dot(columns, feature[c], output[c], state)
                if inner[c] > 0.0:
                    v = math.copysign(max(abs(v) - step * inner[c], 0.0), v)
                v = max(v, lower[c])
                trial[c] = v
                squares += v * v
            factor = 1.0
            if weights[u] > 0.0 and squares > 0.0:
                size = math.sqrt(squares)
                factor = prox(size, step * weights[u], par) / size
            moved = 0.0
            for c in range(starts[u], starts[u + 1]):
                delta = factor * trial[c] - w[c]
                if delta != 0.0:
                    axpy(columns, feature[c], output[c], delta, state)
                    w[c] += delta
                    moved += delta * delta
            largest = max(largest, curvature[u] * moved)
            total += 0.5 * curvature[u] * moved
        trail[cycle] = w
        if cycle == 0:
            first = largest
        if largest <= tol:
            return cycle + 1, first, total
    return trail.shape[0], first, total
