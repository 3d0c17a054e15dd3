"""One problem and one peer in a process of their own: started by the runner, answers in JSON lines.

The peer climbs down its own tolerances until the common certificate reaches each target; what
counts is the fit at the loosest tolerance that does. A line ``{"event": "fit"}`` goes before every
fit, so that the runner can end one that takes too long.
"""

from __future__ import annotations

import argparse
import json
import time
import traceback
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.regression import certificate, memory
from benchmarks.regression.peers import PEERS, Fit, Peer
from benchmarks.regression.problems import PROBLEMS, Problem

LONG = 5.0  # seconds from which on one fit is enough
SHORT = 0.5  # and below which scatter asks for more of them
RUNGS = 3  # a ladder may take so many times the limit of one fit


@dataclass(frozen=True)
class Answer:
    """The fit that reached a target: seconds, bytes, and how good it is."""

    target: float
    tol: float
    wall: float
    cpu: float
    pass_wall: float
    certificate: float
    own_certificate: float
    objective: float
    support: int
    extra_bytes: int
    design_bytes: int
    version: str | None


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def pass_seconds(problem: Problem) -> float:
    """One product ``X.T @ r``, the fastest of several."""
    r = np.random.default_rng(0).standard_normal(len(problem.y))
    seconds = []
    for _ in range(9):
        begun = time.perf_counter()
        problem.X.T @ r
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def own_certificate(problem: Problem, coefs: np.ndarray) -> float:
    """gossamer's own word on the answer, the worst point of a path."""
    from benchmarks.regression.peers.own import as_problem

    stated = as_problem(problem, problem.strengths[-1])
    points = zip(coefs, problem.strengths, strict=True)
    return max(
        stated.with_penalty(stated.penalty.with_strength(float(s))).certificate(w).value
        for w, s in points
    )


def fit(peer: Peer, problem: Problem, data: Any, tol: float) -> Fit:
    say(event="fit", tol=tol)
    return peer.fit(problem, data, tol)


def fastest(peer: Peer, problem: Problem, data: Any, tol: float, first: Fit) -> Fit:
    """The fastest of several fits like the first one."""
    again = 0 if first.wall > LONG else 2 if first.wall > SHORT else 6
    fits = [first, *(fit(peer, problem, data, tol) for _ in range(again))]
    return min(fits, key=lambda one: one.cpu)


def climb(peer: Peer, problem: Problem, targets: list[float], limit: float) -> str:
    """Say the answer for every target that is reached, and return why no other is."""
    data = peer.prepare(problem)
    try:
        one_pass = pass_seconds(problem)
        before = memory.forget_peak(peer.peak_process())
        open_targets, spent = sorted(targets, reverse=True), 0.0
        for tol in peer.tolerances:
            found = fit(peer, problem, data, tol)
            extra = memory.peak(peer.peak_process()) - before
            value = certificate.certificate(problem, found.coefs)
            spent += found.wall
            say(event="rung", tol=tol, certificate=value, wall=found.wall)
            while open_targets and value <= open_targets[0]:
                best = fastest(peer, problem, data, tol, found)
                answer = Answer(
                    open_targets.pop(0), tol, best.wall, best.cpu, one_pass, value,
                    own_certificate(problem, found.coefs),
                    certificate.objective(problem, found.coefs[-1], problem.strengths[-1]),
                    int((certificate.sizes(problem, found.coefs[-1]) > 0).sum()),
                    max(extra, 0), problem.design_bytes, peer.version(),
                )  # fmt: skip
                say(event="answer", **asdict(answer))
            if not open_targets:
                return "all reached"
            if spent > RUNGS * limit:
                return f"not reached in {spent:.0f} s"
        return f"not reached at its tolerance {tol:.0e}"
    finally:
        peer.close()


def warm_up(peer: Peer, tiny: Problem) -> None:
    """Import and compile: a fit of the same kind in tiny size."""
    peer.fit(tiny, peer.prepare(tiny), peer.tolerances[0])
    peer.close()


def measure(peer: Peer, name: str, targets: list[float], limit: float, tiny: bool) -> str:
    """Say the answers, and return what is to be noted where there is none."""
    small = PROBLEMS[name].build(tiny=True)
    refusal = peer.refuses(small)
    if refusal is None:
        warm_up(peer, small)
        problem = small if tiny else PROBLEMS[name].build()
        refusal = peer.refuses(problem)
    if refusal is None:
        return climb(peer, problem, targets, limit)
    return f"not offered: {refusal}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("problem")
    parser.add_argument("peer")
    parser.add_argument("--targets", required=True)
    parser.add_argument("--limit", type=float, required=True)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    targets = [float(target) for target in options.targets.split(",")]
    peer = PEERS[options.peer]
    try:
        note = measure(peer, options.problem, targets, options.limit, options.tiny)
    except Exception as error:  # a library's own: noted in the table, and the others go on
        traceback.print_exc()
        note = f"failed: {error}"
    say(event="end", note=note)


if __name__ == "__main__":
    main()
