"""One table: time, gap, objective and support of each peer, judged by one certificate.

``python -m benchmarks.survival`` takes some minutes, and needs SurvSet for DLBCL; peers that are
not installed are left out. Each peer is run at tighter and tighter tolerances of its own until the
relative duality gap of its worst value is 1e-6 (or the limit of seconds is passed); CPU seconds
of that run, best of two where they are short, one thread. "/10" is one strength, reached by path
solvers in 20 steps; "path" is 50 strengths to a twentieth of the largest.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

from survival_tables import SURVIVAL_TABLES

import gossamer as gs
from benchmarks.survival.peers import PEERS

# a run longer than LIMIT seconds is the last, one longer than AGAIN is not repeated
TARGET, LIMIT, AGAIN = 1e-6, 20.0, 5.0
TASKS = {"/10": np.array([0.1]), "path": np.geomspace(1.0, 0.05, 50)}


def judged(problem: gs.Problem, strengths: np.ndarray, coefs: np.ndarray) -> tuple[float, float]:
    """The worst relative gap, and the objective at the last strength."""
    worst, objective = np.inf if len(coefs) < len(strengths) else 0.0, np.inf
    for strength, coef in zip(strengths, coefs, strict=False):
        certificate = problem.with_penalty(gs.L1(strength)).certificate(coef)
        worst, objective = max(worst, certificate.value), certificate.objective
    return worst, objective


def run(name: str, problem: gs.Problem, strengths: np.ndarray) -> tuple[float, float, float, int]:
    """Seconds, gap, objective and support of the first run that reaches the target."""
    solve, tolerances = PEERS[name]
    for tol in tolerances:
        coefs, seconds = solve(problem, strengths, tol)
        if seconds < AGAIN:
            seconds = min(seconds, solve(problem, strengths, tol)[1])
        gap, objective = judged(problem, strengths, coefs)
        if gap <= TARGET or seconds > LIMIT:
            break
    return seconds, gap, objective, int((coefs[-1] != 0).sum())


def main(tables: list[str]) -> None:
    print(f"{'table':<14}{'task':<6}{'tool':<17}{'CPU s':>9}{'ratio':>8}{'gap':>10}"
          f"{'objective':>14}{'support':>9}")  # fmt: skip
    for table in tables:
        t = SURVIVAL_TABLES[table]()
        problem = gs.Problem(t.X, t.y, gs.losses.Cox(), gs.L1(1.0))
        for task, shares in TASKS.items():
            own = 0.0
            for name in PEERS:
                try:
                    found = run(name, problem, shares * problem.strength_max())
                except (ImportError, FileNotFoundError) as error:
                    print(f"{table:<14}{task:<6}{name:<17} not here: {error}")
                    continue
                seconds, gap, objective, support = found
                own = own or seconds
                print(f"{table:<14}{task:<6}{name:<17}{seconds:>9.3f}{seconds / own:>8.1f}"
                      f"{gap:>10.1e}{objective:>14.9f}{support:>9}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:] or ["dlbcl", "flchain", "rotterdam", "brain_cancer"])
