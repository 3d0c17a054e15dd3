"""The problems of benchmarks/regression for benchopt: ``benchopt run benchmarks/benchopt``."""

from typing import Any

import numpy as np
from benchmark_utils import Problem, certificate
from benchopt import BaseObjective


class Objective(BaseObjective):
    name = "sparse regression"
    url = "docs/benchmarks.md"
    min_benchopt_version = "1.6"

    def set_data(self, problem: Problem) -> None:
        self.problem = problem

    def get_objective(self) -> dict[str, Any]:
        return {"problem": self.problem}

    def get_one_result(self) -> dict[str, Any]:
        shape = (self.problem.X.shape[1], *self.problem.y.shape[1:])
        return {"coefs": np.zeros((len(self.problem.strengths), *shape))}

    def evaluate_result(self, coefs: np.ndarray) -> dict[str, float]:
        last = self.problem.strengths[-1]
        return {
            "value": certificate.certificate(self.problem, coefs),
            "objective": certificate.objective(self.problem, coefs[-1], last),
            "support": float((certificate.sizes(self.problem, coefs[-1]) > 0).sum()),
        }
