"""Coordinate descent on the perspective relaxation of a subset's squared error."""

# mypy: disable-error-code="no-untyped-def"


def perspective_descent(gram, gradient, w, ridge, slope, kink, box, forced, sweeps, precision):
    """Cycle until no coefficient moves by more than ``precision``; ``w`` and ``gradient`` change.

    A coefficient costs ``slope |w|`` up to ``kink`` and as much ridge as holds it there beyond; a
    forced one costs its ridge only. None is larger than its ``box``.
    """
    for _ in range(sweeps):
        largest = 0.0
        for j in range(w.size):
            bend = gram[j, j]
            pull = bend * w[j] - gradient[j]
            size = abs(pull)
            shrunk = size / (bend + ridge[j])
            if not forced[j]:
                soft = (size - slope[j]) / bend
                if soft <= kink[j]:
                    shrunk = max(soft, 0.0)
                elif shrunk < kink[j]:
                    shrunk = kink[j]
            if shrunk > box[j]:
                shrunk = box[j]
            change = (shrunk if pull > 0.0 else -shrunk) - w[j]
            if change != 0.0:
                w[j] += change
                for i in range(w.size):
                    gradient[i] += change * gram[j, i]
                largest = max(largest, abs(change))
        if largest <= precision:
            break


def add_rows(rows, slots, factors, out):
    """Add some rows, each times its factor, to ``out``."""
    for a in range(slots.size):
        factor = factors[a]
        row = rows[slots[a]]
        for i in range(out.size):
            out[i] += factor * row[i]
