"""Column stores: what a coordinate step needs of the quadratic model's matrix.

The model's gradient in coordinate (j, k), column j of output k, is ``dot(columns, j, k, state)``,
and ``axpy(columns, j, k, delta, state)`` keeps the state up to date when that coordinate moves by
delta. One descent kernel runs on every store.

======== ================================= ==============================================
store    state                             when
======== ================================= ==============================================
gram     (K, m) gradient of coordinates    small working sets: a step costs m
dense    (K, n) gradient of samples        large working sets
csc      (K, n + 1) the same, and a shift  sparse columns, implicitly centred and scaled
softmax  (K, n) the same                   several classes, whose predictions interact
======== ================================= ==============================================
"""

# mypy: disable-error-code="no-untyped-def"


def gram_dot(columns, j, k, state):
    return state[k, j]


def gram_axpy(columns, j, k, delta, state):
    (gram,) = columns
    for i in range(gram.shape[0]):
        state[k, i] += delta * gram[j, i]


def dense_dot(columns, j, k, state):
    X, _ = columns
    total = 0.0
    for i in range(X.shape[0]):
        total += X[i, j] * state[k, i]
    return total


def dense_axpy(columns, j, k, delta, state):
    X, h = columns
    for i in range(X.shape[0]):
        state[k, i] += delta * h[k, i] * X[i, j]


def csc_dot(columns, j, k, state):
    data, indices, indptr, _, means, scale = columns
    total = state[k, state.shape[1] - 1] * means[j]
    for at in range(indptr[j], indptr[j + 1]):
        total += data[at] * state[k, indices[at]]
    return total * scale[j]


def csc_axpy(columns, j, k, delta, state):
    # centring moves every sample by the same amount: the shift in the last entry, whose
    # own gradient stays zero because the intercept of the quadratic loss is profiled out
    data, indices, indptr, h, means, scale = columns
    step = delta * scale[j]
    for at in range(indptr[j], indptr[j + 1]):
        i = indices[at]
        state[k, i] += step * h[k, i] * data[at]
    state[k, state.shape[1] - 1] -= step * means[j]


def softmax_dense_dot(columns, j, k, state):
    X = columns[0]
    total = 0.0
    for i in range(X.shape[0]):
        total += X[i, j] * state[k, i]
    return total


def softmax_dense_axpy(columns, j, k, delta, state):
    X, h, s, chance = columns
    for i in range(X.shape[0]):
        step = delta * X[i, j]
        push = step * s[i] * chance[k, i]
        for m in range(chance.shape[0]):
            state[m, i] -= push * chance[m, i]
        state[k, i] += push + step * h[k, i]


def softmax_csc_dot(columns, j, k, state):
    data, indices, indptr, _, _, _, scale = columns
    total = 0.0
    for at in range(indptr[j], indptr[j + 1]):
        total += data[at] * state[k, indices[at]]
    return total * scale[j]


def softmax_csc_axpy(columns, j, k, delta, state):
    data, indices, indptr, h, s, chance, scale = columns
    for at in range(indptr[j], indptr[j + 1]):
        i = indices[at]
        step = delta * scale[j] * data[at]
        push = step * s[i] * chance[k, i]
        for m in range(chance.shape[0]):
            state[m, i] -= push * chance[m, i]
        state[k, i] += push + step * h[k, i]
