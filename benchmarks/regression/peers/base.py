"""What a peer is: how one library is asked for the answer to a problem."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import time
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from benchmarks.regression.problems import Problem


@dataclass(frozen=True)
class Fit:
    """Coefficients, one row a strength, and the seconds they took."""

    coefs: np.ndarray
    wall: float
    cpu: float


class Peer(ABC):
    """One library; adding one means one subclass with ``refuses``, ``solve`` and the class fields.

    module and distribution : what is imported, and what is installed for it.
    tolerances : the library's own, from loose to tight; the ladder that is climbed down.
    """

    name: ClassVar[str]
    module: ClassVar[str]
    distribution: ClassVar[str]
    tolerances: ClassVar[tuple[float, ...]] = tuple(10.0**-k for k in range(2, 15))
    threads: ClassVar[int] = 1

    @classmethod
    def version(cls) -> str | None:
        """Of the installed library; None when it is not installed."""
        if importlib.util.find_spec(cls.module) is None:
            return None
        return importlib.metadata.version(cls.distribution)

    def refuses(self, problem: Problem) -> str | None:
        """Why the library cannot solve the problem; None when it can."""
        return None

    def load(self) -> None:
        """Import what a user would import."""
        importlib.import_module(self.module)

    def prepare(self, problem: Problem) -> Any:
        """The data as the library likes them, not timed: another order in memory, another type."""
        return problem.X

    @abstractmethod
    def solve(self, problem: Problem, data: Any, tol: float) -> Any:
        """(p,) or (p, K) coefficients; for a path one row a strength before that."""

    def fit(self, problem: Problem, data: Any, tol: float) -> Fit:
        """Solve it, and say how long that took."""
        wall, cpu = time.perf_counter(), time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tolerances out of reach: the answer is judged
            coefs = self.solve(problem, data, tol)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        return Fit(rows(problem, coefs), wall, cpu)

    def peak_process(self) -> int | None:
        """Id of the process whose memory counts; None for this one."""
        return None

    def close(self) -> None:  # noqa: B027 - most peers have nothing to give back
        """Give back what ``prepare`` has taken."""


def rows(problem: Problem, coefs: Any) -> np.ndarray:
    """(m, p) or (m, p, K), of one answer or of a path's."""
    coefs = np.asarray(coefs, dtype=float)
    shape = (len(problem.strengths), problem.X.shape[1], *problem.y.shape[1:])
    return coefs.reshape(shape)


def wanted(problem: Problem, path: Any) -> Any:
    """Of a path along ``problem.approach()``, one row a strength, what the problem asks for."""
    if path.shape[0] < len(problem.approach()):
        raise RuntimeError(f"the path ended early, after {path.shape[0]} strengths")
    return path if problem.is_path else path[-1]


def offered(problem: Problem, *kinds: tuple[str, str]) -> str | None:
    """None when the pair (loss, penalty) is among ``kinds``."""
    if (problem.loss, problem.penalty) in kinds:
        return None
    return f"no {problem.penalty} penalty for the {problem.loss} loss"
