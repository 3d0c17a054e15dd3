"""The options of ``gossamer fit`` and ``compress``, in groups that follow the questions."""

from __future__ import annotations

import argparse
import difflib
from pathlib import Path
from typing import Any, NoReturn

_LOSSES = """auto (by the target), quadratic, huber, leastabsolute, quantile (--level), squareroot,
gamma, tweedie (--power), poisson, negativebinomial (--dispersion), logistic, multinomial, ordinal
(--order), hinge, squaredhinge, cox (--event)"""
_PENALTIES = """l1 (the default), elasticnet (--l1-ratio), l0, lq (--q), mcp and scad (--gamma),
logsum (--epsilon), slope (--fdr), fused (--sparsity: neighbouring columns alike); with --groups
also sparsegroup (--l1-ratio) and exclusive"""

_METHODS = """wanda (the default), magnitude, or another of gossamer.nn.language.methods"""
_ALLOCATIONS = """what matters more keeps more: blocks by their outliers or by their influence on
hidden states, or layers by the sensitivity of their outputs (default: all the same)"""


class UsageError(Exception):
    """Options that cannot be understood."""


class Parser(argparse.ArgumentParser):
    """Errors become exceptions, and unknown options get a suggestion."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}.\nSee {self.prog} --help.")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            known = [name for action in self._actions for name in action.option_strings]
            close = difflib.get_close_matches(unknown[0].partition("=")[0], known, n=1)
            hint = f" Did you mean {close[0]}?" if close else f" See {self.prog} --help."
            raise UsageError(f"{self.prog} does not know {unknown[0]!r}.{hint}")
        return found, unknown


def add_fit(fit: Parser) -> None:
    fit.usage = "gossamer fit TABLE --target COL -o OUT [options]"
    fit.add_argument("table", metavar="TABLE", help="a CSV, TSV or Parquet file")
    fit.add_argument("--target", "-t", required=True, metavar="COL", help="column to predict")
    fit.add_argument("-o", "--output", required=True, type=Path, metavar="OUT", help="a folder")
    for add in (_add_loss, _add_penalty, _add_model, _add_choice, _add_inference, _add_data):
        add(fit)
    work = fit.add_argument_group("work")
    work.add_argument("--tol", type=float, default=1e-6, help="certificate asked for (1e-6)")
    work.add_argument("--seed", type=int, default=0, help="of all random choices (0)")
    work.add_argument("--jobs", type=int, metavar="N", help="threads (default: all cores)")
    work.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="scheduler of a Dask cluster that reads the rows (TABLE: a file, a folder of Parquet "
        "files or a pattern that all workers see)",
    )


def add_compress(compress: Parser) -> None:
    compress.usage = "gossamer compress MODEL_DIR --calibration TEXT -o OUT [options]"
    compress.add_argument(
        "model", type=Path, metavar="MODEL_DIR", help="a model directory of Hugging Face"
    )
    compress.add_argument(
        "--calibration", "-c", required=True, type=Path, metavar="TEXT", help="a text file, UTF-8"
    )
    compress.add_argument(
        "-o", "--output", required=True, type=Path, metavar="OUT", help="a new folder"
    )
    sparse = compress.add_argument_group("what is sparse")
    sparse.add_argument("--method", default="wanda", metavar="NAME", help=_METHODS)
    sparse.add_argument(
        "--sparsity", type=float, metavar="S", help="share of zeros (0.5, or the pattern's)"
    )
    sparse.add_argument(
        "--pattern",
        metavar="P",
        help="2:4 keeps two of every four inputs, 16x1 whole blocks of 16 outputs by 1 input "
        "(default: any weight)",
    )
    sparse.add_argument("--allocation", metavar="BY", help=_ALLOCATIONS)
    sparse.add_argument(
        "--refine",
        type=int,
        default=0,
        metavar="N",
        help="passes over the text that train what stays of each block (0; 4 help much, and take "
        "many times as long)",
    )
    data = compress.add_argument_group("data")
    data.add_argument(
        "--samples", type=int, default=64, metavar="N", help="windows of the text (64)"
    )
    data.add_argument("--length", type=int, default=512, metavar="N", help="tokens in each (512)")
    data.add_argument(
        "--evaluate",
        type=Path,
        metavar="TEXT",
        help="a text to judge by (default: the last tenth of the calibration text is held out)",
    )
    work = compress.add_argument_group("work")
    work.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    work.add_argument("--seed", type=int, default=0, help="of all random choices (0)")
    work.add_argument(
        "--dtype", default="auto", help="float32, bfloat16 or float16 (default: that of the files)"
    )
    work.add_argument("--device", default="cpu", help="such as cuda (default: cpu)")
    work.add_argument("--threads", type=int, metavar="N", help="default: all cores")


def _add_loss(fit: Parser) -> None:
    loss = fit.add_argument_group("what is predicted")
    loss.add_argument("--loss", default="auto", metavar="NAME", help=_LOSSES)
    loss.add_argument("--level", type=float, metavar="T", help="the quantile (default: 0.5)")
    loss.add_argument("--power", type=float, metavar="P", help="of the variance (1.5)")
    loss.add_argument("--dispersion", type=float, metavar="D", help="of counts (1)")
    loss.add_argument("--delta", type=float, metavar="D", help="of huber (by the target's spread)")
    loss.add_argument("--order", type=names, default=(), metavar="LOW,...,HIGH", help="of classes")
    loss.add_argument(
        "--event",
        metavar="COL",
        help="survival: 1 where the time in --target ended in an event, 0 where it was censored",
    )
    loss.add_argument("--strata", metavar="COL", help="survival: compare within these only")
    loss.add_argument("--ties", metavar="HOW", help="survival: breslow (the default) or efron")


def _add_penalty(fit: Parser) -> None:
    penalty = fit.add_argument_group("what is sparse")
    penalty.add_argument("--penalty", default="l1", metavar="NAME", help=_PENALTIES)
    penalty.add_argument("--l1-ratio", type=float, metavar="R", help="share of L1 (0.5)")
    penalty.add_argument("--gamma", type=float, metavar="G", help="concavity (3; scad: 3.7)")
    penalty.add_argument("--q", type=float, metavar="Q", help="power (2/3)")
    penalty.add_argument("--epsilon", type=float, metavar="E", help="of logsum (0.01)")
    penalty.add_argument("--ridge", type=float, metavar="R", help="of l0 and best subsets (0)")
    penalty.add_argument("--sparsity", type=float, metavar="S", help="L1 beside fused (0.5)")
    penalty.add_argument(
        "--groups",
        metavar="HOW",
        help="features selected together: categorical (the indicators of a column; so do the "
        "others), prefix, prefix:SEPARATORS, or a .json or .toml file of groups of columns",
    )
    penalty.add_argument(
        "--standardise",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="penalise columns by their standard deviation (default: yes)",
    )


def _add_model(fit: Parser) -> None:
    model = fit.add_argument_group("another model than a penalised linear one (one of them)")
    model.add_argument("--n-nonzero", type=int, metavar="K", help="the best subset of K features")
    model.add_argument(
        "--max-nonzero", type=int, metavar="K", help="best subsets of 0 to K features, one chosen"
    )
    model.add_argument(
        "--curves",
        "--splines",
        nargs="?",
        const="joint",
        metavar="PARTS",
        help="additive: a curve a feature. joint (in or out), separate (its line and its bends), "
        "nested (absent, linear or smooth)",
    )
    model.add_argument("--adaptive", action="store_true", help="large effects are shrunk less")
    model.add_argument("--refit", action="store_true", help="relaxed: selected, then not shrunk")
    model.add_argument(
        "--solver",
        default="auto",
        metavar="NAME",
        help="default: auto. For subsets omp, foba, iht, cosamp, or branch-and-bound: with a proof",
    )
    model.add_argument("--time-limit", type=float, metavar="S", help="seconds for the proof (60)")


def _add_choice(fit: Parser) -> None:
    choice = fit.add_argument_group("how much is sparse")
    choice.add_argument("--cv", type=int, default=10, metavar="K", help="folds (default: 10)")
    choice.add_argument(
        "--selection",
        choices=("1se", "min", "aic", "bic", "ebic", "gic", "gcv", "theory"),
        default="1se",
        help="default: 1se, the sparsest model within one standard error of the best; theory: of "
        "--loss squareroot, no choice to be made",
    )
    choice.add_argument("--alpha", type=float, metavar="A", help="this strength, no choice")


def _add_inference(fit: Parser) -> None:
    inference = fit.add_argument_group("how sure the selection is")
    inference.add_argument(
        "--inference",
        type=names,
        action="extend",
        default=[],
        metavar="METHOD,...",
        help="stability (few false selections), knockoffs (a rate of false ones), debiased "
        "(intervals and p-values), multisplit (no false one)",
    )
    inference.add_argument("--fdr", type=float, metavar="Q", help="of knockoffs and slope (0.1)")
    inference.add_argument("--max-false", type=float, metavar="N", help="of stability (1)")
    inference.add_argument(
        "--confidence", type=float, default=0.95, metavar="C", help="of intervals (0.95)"
    )
    inference.add_argument(
        "--resamples",
        type=int,
        metavar="N",
        help="half-samples on which the fit is repeated (default: 50; large tables: 20)",
    )


def _add_data(fit: Parser) -> None:
    data = fit.add_argument_group("data")
    data.add_argument("--test", type=Path, metavar="TABLE", help="a table of test samples")
    data.add_argument(
        "--test-size",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="share of rows held out without --test (default: 0.2; 0: none)",
    )
    data.add_argument("--drop", type=names, default=(), metavar="COL,...", help="leave out columns")
    data.add_argument(
        "--impute",
        choices=("median", "mean"),
        default="error",
        help="fill missing values (default: refuse them); categories get the most frequent",
    )
    data.add_argument(
        "--drop-missing",
        action="store_true",
        help="leave out rows with missing values (with --impute: only of the target)",
    )
    data.add_argument("--weights", metavar="COL", help="column of sample weights")
    data.add_argument("--offset", metavar="COL", help="column added to the linear prediction")
    data.add_argument("--group-column", metavar="COL", help="rows alike in it share a fold")


def names(text: str) -> tuple[str, ...]:
    """The words between commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def numbers(text: str) -> tuple[float, ...]:
    """The numbers between commas."""
    return tuple(float(number) for number in names(text))
