"""Coordinate ascent for the mean-field posterior under a spike-and-slab prior, Laplace slab.

Every coefficient is ``chance N(mean, deviation^2) + (1 - chance) at zero``, independently. The
updates are those of Ray and Szabo (2021), Variational Bayes for high-dimensional linear regression
with sparse priors; each minimises a convex function of one number, found by safeguarded Newton.
"""

# mypy: disable-error-code="no-untyped-def, name-defined"

import math

_ROOT_2, _ROOT_2_PI = math.sqrt(2.0), math.sqrt(2.0 / math.pi)


def slab_mean(slope, bend, deviation, rate, start):
    """argmin_m of ``bend m^2 / 2 - slope m + rate E|N(m, deviation^2)|``."""
    low, high = (slope - rate) / bend, (slope + rate) / bend
    mean = min(max(start, low), high)
    for _ in range(50):
        scaled = mean / deviation
        gradient = bend * mean - slope + rate * math.erf(scaled / _ROOT_2)
        if gradient > 0:
            high = mean
        else:
            low = mean
        second = bend + rate * _ROOT_2_PI / deviation * math.exp(-0.5 * scaled * scaled)
        moved = mean - gradient / second
        if moved <= low or moved >= high:
            moved = 0.5 * (low + high)
        done = abs(moved - mean) <= 1e-10 * (abs(mean) + deviation)
        mean = moved
        if done:
            break
    return mean


def slab_deviation(mean, bend, rate, start):
    """argmin_s of ``bend s^2 / 2 + rate E|N(mean, s^2)| - log s``."""
    charge = rate * _ROOT_2_PI
    high = 1.0 / math.sqrt(bend)
    low = 2.0 / (charge + math.sqrt(charge * charge + 4.0 * bend))
    deviation = min(max(start, low), high)
    for _ in range(50):
        scaled = mean / deviation
        inside = charge * math.exp(-0.5 * scaled * scaled)
        gradient = bend * deviation + inside - 1.0 / deviation
        if gradient > 0:
            high = deviation
        else:
            low = deviation
        second = bend + inside * scaled * scaled / deviation + 1.0 / (deviation * deviation)
        moved = deviation - gradient / second
        if moved <= low or moved >= high:
            moved = 0.5 * (low + high)
        done = abs(moved - deviation) <= 1e-10 * deviation
        deviation = moved
        if done:
            break
    return deviation


def slab_cost(slope, bend, mean, deviation, rate):
    """What the slab adds to minus the evidence bound, beside the spike's zero and the log odds."""
    scaled = mean / deviation
    size = deviation * _ROOT_2_PI * math.exp(-0.5 * scaled * scaled)
    size += mean * math.erf(scaled / _ROOT_2)
    quadratic = 0.5 * bend * (mean * mean + deviation * deviation) - slope * mean
    return quadratic + rate * size - math.log(deviation * rate * math.sqrt(0.5 * math.pi)) - 0.5


def posterior_sweep(gram, first, rate, log_odds, order, means, deviations, chances, product):
    """One sweep over the coefficients ``order``.

    gram : (p, p) X'X, and first : (p,) X'y, both over the variance of the noise.
    log_odds : of the slab against the spike, before the data.
    product : (p,) ``gram @ (chances * means)``, kept up to date.
    Returns the largest change of a chance or of a mean over the prior's scale.
    """
    largest = 0.0
    for j in order:
        bend = gram[j, j] + 1e-12
        old = chances[j] * means[j]
        slope = first[j] - product[j] + gram[j, j] * old
        before = chances[j]
        means[j] = slab_mean(slope, bend, deviations[j], rate, means[j])
        deviations[j] = slab_deviation(means[j], bend, rate, deviations[j])
        logit = log_odds - slab_cost(slope, bend, means[j], deviations[j], rate)
        chances[j] = 1.0 / (1.0 + math.exp(-min(max(logit, -500.0), 500.0)))
        change = chances[j] * means[j] - old
        if change != 0.0:
            for i in range(product.size):
                product[i] += gram[j, i] * change
        largest = max(largest, abs(chances[j] - before), abs(change) * rate)
    return largest
