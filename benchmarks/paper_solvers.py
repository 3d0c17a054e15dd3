"""Solvers of published papers beside the methods that those papers compare with.

``python -m benchmarks.paper_solvers`` prints one table: steps, passes over X and seconds to the
same certificate. Designs are autoregressive, with ten coefficients of size one to two and noise of
size one; strengths are shares of the largest. Times are of one run each, one after the other.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np

import gossamer as gs
from gossamer.core import ConvergenceWarning, Penalty
from gossamer.core.certificate import certify
from gossamer.core.point import Point
from gossamer.core.registry import LOSSES
from gossamer.core.result import Certificate
from gossamer.core.unit_form import gradient_of_form, prox_of_form
from gossamer.solvers.cyclic_averages import split
from gossamer.solvers.damped_gradient import concavity
from gossamer.solvers.iterating import IterativeSolver, settled, steepest_curvature
from gossamer.solvers.sampled_coder import Sampler, Snapshot

_EVERY = 10


def signal(p: int, seed: int = 0) -> np.ndarray:
    """(p,) ten coefficients of size one to two."""
    rng = np.random.default_rng(seed)
    w = np.zeros(p)
    w[rng.permutation(p)[:10]] = rng.choice([-1, 1], 10) * rng.uniform(1, 2, 10)
    return w


def autoregressive(
    n: int, p: int, correlation: float, penalty: Penalty, ratio: float,
    loss: str = "quadratic", seed: int = 0,
) -> gs.Problem:  # fmt: skip
    """A problem of :func:`signal` whose neighbouring columns are correlated."""
    rng = np.random.default_rng([seed, 1])
    X = rng.standard_normal((n, p))
    for j in range(1, p):
        X[:, j] = correlation * X[:, j - 1] + np.sqrt(1 - correlation**2) * X[:, j]
    y = X @ signal(p, seed)
    y = y + rng.standard_normal(n) if loss == "quadratic" else rng.random(n) < 1 / (1 + np.exp(-y))
    problem = gs.Problem(X, y, LOSSES[loss](), penalty)
    return problem.with_penalty(penalty.with_strength(ratio * problem.strength_max()))


def judged(
    problem: gs.Problem, step: Callable[[Point], Point], tol: float, limit: int
) -> tuple[int, Certificate]:
    """Steps until the certificate, looked at every ten, is at most ``tol``."""
    point = problem.start()
    for k in range(limit + 1):
        if k % _EVERY == 0:
            certificate = certify(problem, point, tol).certificate
            if certificate.holds:
                break
        point = step(point)
    return k, certificate


def proximal_gradient(
    problem: gs.Problem, tol: float, limit: int = 50_000
) -> tuple[int, Certificate]:
    """Proximal gradient without momentum, the concave part of MCP or SCAD joined to the loss."""
    penalty = problem.penalty
    whole = penalty.form(problem.shape)
    norm = gs.L1(penalty.strength)
    linear = norm.form(problem.shape)
    length = 1 / max(steepest_curvature(problem), concavity(penalty))

    def step(point: Point) -> Point:
        w = point.w
        gradient = point.gradient + gradient_of_form(whole, w) - gradient_of_form(linear, w)
        return settled(problem, norm.prox(w - length * gradient, length), point.b)

    return judged(problem, step, tol, limit)


def block_descent(problem: gs.Problem, blocks: int, tol: float, limit: int = 5000) -> int:
    """Cycles of cyclic proximal descent, each block's step by its largest curvature."""
    parts, s, loss = split(problem, blocks), problem.sample_weight, problem.loss
    assert loss.smoothness is not None
    curvatures = [
        loss.smoothness * np.linalg.eigvalsh(part.columns.T @ (s[:, None] * part.columns))[-1]
        for part in parts
    ]

    def step(point: Point) -> Point:
        w, z = point.w.copy(), point.z[:, 0].copy()
        for part, curvature in zip(parts, curvatures, strict=True):
            before = w[part.features, 0]
            pull = part.columns.T @ (s * loss.gradient(z[:, None], problem.y)[:, 0])
            after = prox_of_form(part.form, before - pull / curvature, 1 / curvature)
            z = z + part.columns @ (after - before)
            w[part.features, 0] = after
        return settled(problem, w, point.b)

    return judged(problem, step, tol, limit)[0]


def steps_to(
    problem: gs.Problem, steps: Iterator[tuple[np.ndarray, np.ndarray]], tol: float, limit: int
) -> int:
    """Steps until the certificate, looked at after each, is at most ``tol``; or ``limit``."""
    for k, (w, b) in enumerate(islice(steps, limit), 1):
        if certify(problem, settled(problem, w, b), tol).certificate.holds:
            return k
    return limit


def variance_reduced_descent(
    problem: gs.Problem, batch: int, length: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Epochs of proximal SVRG, two passes each: the samples, chances and metric of VR-A-CODER, one
    block, no momentum; steps are ``length`` times what the same bound of the curvature allows."""
    blocks = split(problem, 1)
    (part,), sampler = blocks, Sampler.of(problem, blocks, batch, 0)
    at, point = part.features, problem.start()
    length /= 1 + len(part.curvature) / batch
    while True:
        snapshot, w = Snapshot(point, sampler), point.w.copy()
        for (drawn,) in sampler.draw(-(-len(problem.y) // batch), 1):
            pull = snapshot.estimate(at, drawn, np.repeat(w, 3, axis=1), 0.0)
            ahead = w[at, 0] - length * pull / part.scale
            w[at, 0] = prox_of_form(part.form, ahead, length / part.curvature)
        point = settled(problem, w, point.b)
        if point.loss > problem.null_objective:
            return  # diverges
        yield point.w, point.b


def passes_to(problem: gs.Problem, tol: float, limit: int = 400) -> dict[str, tuple[float, float]]:
    """Passes over X and seconds until the gap is ``tol``, of finite-sum methods and of full ones.

    A pass is a gradient of every sample, or as many rows read whole; looking at the gap is not
    counted. Of proximal SVRG the best of three step lengths. Runs end at ``limit`` passes.
    """
    sampled = gs.solvers.VRACODER()

    def run(passes: float, steps: Iterator[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
        begun = time.perf_counter()
        count = steps_to(problem, steps, tol, int(limit / passes))
        return passes * count, time.perf_counter() - begun

    def of(solver: IterativeSolver, passes: float) -> tuple[float, float]:
        return run(passes, solver.steps(problem, problem.start()))

    descents = (variance_reduced_descent(problem, sampled.batch, 2.0**k) for k in range(-2, 1))
    return {
        "VR-A-CODER": of(sampled, sampled.passes(problem)),
        "A-CODER": of(gs.solvers.ACODER(), 2),
        "SVRG": min(run(2, steps) for steps in descents),
        "FISTA": of(gs.solvers.ProximalGradient(), 1),
    }


def first_below(certificates: Sequence[Certificate], tol: float) -> int:
    """The first iteration whose certificate is at most ``tol``, or their number."""
    return next((i for i, c in enumerate(certificates) if c.value <= tol), len(certificates))


def identified(certificates: Sequence[Certificate], support: np.ndarray) -> int:
    """The iteration from which the support stays ``support``, or their number."""
    same = [np.array_equal(c.support, support) for c in certificates]
    return next((i for i in range(len(same)) if all(same[i:])), len(same))


def timed(run: Callable[[], int]) -> str:
    begun = time.perf_counter()
    steps = run()
    return f"{steps:6d} {time.perf_counter() - begun:7.2f} s"


def concave(n: int, p: int, loss: str) -> None:
    print(f"\nMCP and SCAD, {loss}, {n} x {p}, certificate 1e-6: steps and seconds")
    print(f"{'':18}conjugate (37)     damped (383)       house (FISTA)      proximal gradient")
    # weak concavity under the logistic loss: the methods end at the same optimum
    ratio, shape = (0.3, {}) if loss == "quadratic" else (0.5, {"gamma": 20.0})
    for penalty in (gs.MCP(1.0, **shape), gs.SCAD(1.0, **shape)):
        for correlation in (0.0, 0.5, 0.9):
            problem = autoregressive(n, p, correlation, penalty, ratio, loss)
            runs = [
                lambda name=name: problem.solve(name, tol=1e-6, max_iter=2000).n_iter  # noqa: B023
                for name in ("proximalconjugategradient", "dampedgradient", "proximalgradient")
            ]
            runs.append(lambda: proximal_gradient(problem, 1e-6)[0])  # noqa: B023
            name = f"{type(penalty).__name__}, AR {correlation}"
            print(f"{name:18}" + "  ".join(timed(run) for run in runs), flush=True)


def greedy(n: int, p: int, size: int) -> None:
    print(f"\nblocks of {size}, lasso: iterations to 1e-3 and 1e-9, and to the support")
    for loss in ("quadratic", "logistic"):
        problem = autoregressive(n, p, 0.5, gs.L1(1.0), 0.1, loss)
        support = problem.solve(tol=1e-11).certificate.support
        for rule in ("gsd", "gs", "cyclic", "random"):
            for newton in (True, False):
                solver = gs.solvers.GreedyBlocks(rule, size, newton)
                begun = time.perf_counter()
                track = solver.certificates(problem, 400)
                seconds = time.perf_counter() - begun
                numbers = first_below(track, 1e-3), first_below(track, 1e-9)
                at = identified(track, support)
                end = "Newton" if newton else "      "
                found = "".join(f"{k:7d}" for k in (*numbers, at))
                rest = f"   {len(support)} features, 400 in {seconds:.1f} s"
                print(f"{loss:10}{rule:8}{end}{found}{rest}", flush=True)


def coder(n: int, p: int, blocks: int) -> None:
    print(f"\n{blocks} blocks, gap 1e-5: cycles and seconds (a cycle of A-CODER takes two passes)")
    print("                          A-CODER (45)       cyclic descent     house (FISTA)")
    for name, penalty, loss in (
        ("lasso", gs.L1(1.0), "quadratic"),
        ("elastic net", gs.ElasticNet(1.0, l1_ratio=0.9), "quadratic"),
        ("logistic", gs.L1(1.0), "logistic"),
    ):
        for correlation in (0.5, 0.9):
            problem = autoregressive(n, p, correlation, penalty, 0.05, loss)
            solver = gs.solvers.ACODER(blocks)
            runs = (
                lambda: problem.solve(solver, tol=1e-5, max_iter=1000).n_iter,  # noqa: B023
                lambda: block_descent(problem, blocks, 1e-5),  # noqa: B023
                lambda: problem.solve("proximalgradient", tol=1e-5, max_iter=1000).n_iter,  # noqa: B023
            )
            label = f"{name}, AR {correlation}"
            print(f"{label:23}" + "  ".join(timed(run) for run in runs), flush=True)


def cutting_planes(n: int, radius: float) -> None:
    print(f"\nleast squares in a ball of {radius:g}, {n} samples: steps to a certified gap of 1e-3")
    print("and of 1e-6 of the null model's objective, seconds for 400 steps, and the proven number")
    for p in (4, 8, 16):
        rng = np.random.default_rng(0)
        X = rng.standard_normal((n, p))
        y = X[:, :3] @ [2.0, -1.5, 1.0] + rng.standard_normal(n)
        problem = gs.Problem(X, y, gs.losses.Quadratic(), gs.L1Ball(radius))
        for method in (gs.solvers.catalogue.kelley, gs.solvers.catalogue.level):
            begun = time.perf_counter()
            trace = method(problem, 400)
            seconds = time.perf_counter() - begun
            assert trace.lower is not None
            gap = (trace.objective - trace.lower) / problem.null_objective
            counts = [int((gap > tol).sum()) + 1 for tol in (1e-3, 1e-6)]
            first = trace.bound[0] / problem.null_objective
            # the bound of level falls as t ** -0.5 from its first value, that of kelley as volumes
            proven = (first / 1e-3) ** 2 if method.__name__ == "level" else (first / 1e-3 + 1) ** p
            found = "".join(f"{k:5d}" if k <= 400 else " >400" for k in counts)
            print(f"p {p:2d} {method.__name__:7}{found} {seconds:6.1f} s  {proven:.0e}", flush=True)


def samples(n: int, p: int) -> None:
    print(f"\n{n} x {p}, gap 1e-6, looked at after each step: passes over X and seconds")
    print(f"{'':30}VR-A-CODER (45)    A-CODER (45)       proximal SVRG      house (FISTA)")
    for name, penalty, loss in (
        ("lasso", gs.L1(1.0), "quadratic"),
        ("logistic", gs.L1(1.0), "logistic"),
        ("logistic net", gs.ElasticNet(1.0, l1_ratio=0.9), "logistic"),
    ):
        for correlation in (0.5, 0.9, 0.98):
            # the first guess of the curvature was chosen on designs of seed 0
            problem = autoregressive(n, p, correlation, penalty, 0.01, loss, seed=1)
            found = passes_to(problem, 1e-6).values()
            label = f"{name}, AR {correlation}"
            print(f"{label:30}" + "  ".join(f"{k:6.0f} {t:7.2f} s" for k, t in found), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    concave(200, 400, "quadratic")
    concave(400, 150, "logistic")
    greedy(150, 400, 5)
    coder(150, 300, 20)
    cutting_planes(80, 2.0)
    cutting_planes(80, 9.0)
    samples(3000, 40)
