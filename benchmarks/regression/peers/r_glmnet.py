"""glmnet in R, in a process of its own that is handed the data once and times its own fits."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmarks import r
from benchmarks.regression.peers.base import Fit, Peer, offered, rows
from benchmarks.regression.problems import Problem

SCRIPT = Path(__file__).with_suffix(".R")


class RGlmnet(Peer):
    name = "R glmnet"
    module = distribution = "glmnet (R)"
    tolerances: ClassVar = tuple(10.0**-k for k in range(7, 25))

    @classmethod
    def version(cls) -> str | None:
        return r.version("glmnet")

    def refuses(self, problem: Problem) -> str | None:
        return offered(
            problem, ("quadratic", "l1"), ("logistic", "l1"), ("poisson", "l1"),
            ("quadratic", "rows"),
        )  # fmt: skip

    def load(self) -> None:
        """Nothing: the fit starts R."""

    def prepare(self, problem: Problem) -> Any:
        self.folder = tempfile.TemporaryDirectory()
        self._write("strengths", problem.approach())
        self._write("y", problem.y)
        if problem.is_sparse:
            self._write("x", problem.X.data)
            self._write("indices", problem.X.indices, np.int32)
            self._write("indptr", problem.X.indptr, np.int32)
        else:
            self._write("x", problem.X)
        family = {"quadratic": "gaussian", "logistic": "binomial", "poisson": "poisson"}
        name = "mgaussian" if problem.penalty == "rows" else family[problem.loss]
        outputs = problem.y.shape[1] if problem.y.ndim == 2 else 1
        numbers = [str(number) for number in (*problem.X.shape, outputs)]
        whole = "path" if problem.is_path else "last"
        self.process = subprocess.Popen(
            ["Rscript", str(SCRIPT), self.folder.name, *numbers, name, whole],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdin is not None and self.process.stdout is not None
        self.questions, self.answers = self.process.stdin, self.process.stdout
        self._answer()
        return self.process

    def _write(self, name: str, array: Any, dtype: Any = np.float64) -> None:
        """In R's order: by columns."""
        with (Path(self.folder.name) / name).open("wb") as file:
            for column in np.atleast_2d(np.asarray(array, dtype=dtype).T):
                column.tofile(file)

    def _answer(self) -> str:
        line = self.answers.readline()
        if not line:
            raise RuntimeError("R ended; its message stands above")
        return line

    def solve(self, problem: Problem, data: Any, tol: float) -> Any:
        return self.fit(problem, data, tol).coefs

    def fit(self, problem: Problem, data: Any, tol: float) -> Fit:
        self.questions.write(f"{tol}\n")
        self.questions.flush()
        wall, cpu, length = self._answer().split()
        if int(length) < len(problem.approach()):
            raise RuntimeError(f"the path ended early, after {length} strengths")
        flat = np.fromfile(Path(self.folder.name) / "coefs")
        if problem.y.ndim == 2:
            flat = flat.reshape(problem.y.shape[1], -1).T
        # R counts CPU time in milliseconds: below some, the wall clock of its one thread is truer
        took = float(wall), float(cpu)
        return Fit(rows(problem, flat), took[0], took[1] if took[1] > 0.01 else took[0])

    def peak_process(self) -> int | None:
        return self.process.pid

    def close(self) -> None:
        self.questions.close()
        self.process.wait()
        self.folder.cleanup()
