"""The adapters of benchmarks/regression as benchopt's solvers."""

import sys
from pathlib import Path
from typing import Any, ClassVar

from benchopt import BaseSolver
from benchopt.stopping_criterion import SufficientProgressCriterion

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from benchmarks.regression import certificate
from benchmarks.regression.peers import PEERS
from benchmarks.regression.problems import PROBLEMS, Problem


class PeerSolver(BaseSolver):
    """A peer at the tolerances that benchopt asks for; a subclass has its name."""

    # some libraries give the same answer at several tolerances before they improve
    stopping_criterion: ClassVar = SufficientProgressCriterion(patience=6, strategy="tolerance")

    @property
    def peer(self) -> Any:
        return PEERS[self.name]

    def skip(self, problem: Problem) -> tuple[bool, str | None]:
        refusal = self.peer.refuses(problem)
        return refusal is not None, refusal

    def set_objective(self, problem: Problem) -> None:
        self.problem, self.data = problem, self.peer.prepare(problem)

    def warm_up(self) -> None:
        """Compile outside the clock."""
        self.run(1.0)

    def run(self, tol: float) -> None:
        tol = tol * self.peer.tolerances[0]  # in the library's own scale
        self.coefs = self.peer.fit(self.problem, self.data, tol).coefs

    def get_result(self) -> dict[str, Any]:
        return {"coefs": self.coefs}


__all__ = ["PROBLEMS", "PeerSolver", "Problem", "certificate"]
