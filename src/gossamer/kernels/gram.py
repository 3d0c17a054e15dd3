"""Gram matrices of sparse columns, row by row: a row adds the outer product of its few entries."""

# mypy: disable-error-code="no-untyped-def"


def sparse_gram(data, indices, indptr, h, first, out):
    """Add ``A[:, first:]' diag(h) A`` to ``out`` for a CSR matrix A with sorted indices; of the
    square part, which is symmetric, the lower triangle."""
    for i in range(indptr.size - 1):
        start, stop = indptr[i], indptr[i + 1]
        if h[i] == 0.0:
            continue
        for b in range(stop - 1, start - 1, -1):
            k = indices[b] - first
            if k < 0:
                break
            weighted = h[i] * data[b]
            for a in range(start, b + 1):
                out[k, indices[a]] += weighted * data[a]
