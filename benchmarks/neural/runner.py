"""All runs of a plan, several at a time; results kept as JSON lines, so that nothing is lost."""

from __future__ import annotations

import math
import multiprocessing
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks.neural.data import mnist
from benchmarks.neural.method import Setting
from benchmarks.neural.methods import METHODS, tuner
from benchmarks.neural.training import NETWORKS, train
from benchmarks.records import Record, append, forget, read

Case = tuple[str, str, float, int]
KEY = ("network", "method", "keep", "seed")
TUNED_AT = 0.05  # the share kept while settings are compared
RATES = (5e-3, 1e-2, 2e-2)
LIMIT = 90.0  # CPU seconds of a run


@dataclass(frozen=True)
class Plan:
    """Which networks, methods, sparsities and seeds."""

    networks: list[str]
    methods: list[str]
    seeds: int
    keeps: tuple[float, ...] | None = None

    def cases(self) -> Iterator[Case]:
        """All runs, those of a seed together: an interrupted run has whole curves."""
        for network in self.networks:
            for seed in range(self.seeds):
                for method in self.methods:
                    asked = self.keeps or NETWORKS[network].keeps
                    for keep in METHODS[method].keeps or asked:
                        yield network, method, keep, seed


def key(record: Record) -> Case:
    return tuple(record[name] for name in KEY)  # type: ignore[return-value]


def run(plan: Plan, results: Path, tuning: Path, jobs: int = 1) -> None:
    """Make the runs that are missing; those that failed before are tried again."""
    forget(results, lambda record: "error" in record)
    done = {key(record) for record in read(results)}
    trials = read(tuning)
    asked = [
        (case, chosen(trials, case[0], case[1]), False) for case in plan.cases() if case not in done
    ]
    for (case, setting, _), found in in_parallel(asked, jobs):
        append(results, dict(zip(KEY, case, strict=True)) | found | {"setting": setting.as_dict()})


def tune(plan: Plan, tuning: Path, jobs: int = 1) -> None:
    """Compare settings on validation images taken from the training ones.

    First learning rates, then decays or strengths at the best of them: as many trials for each
    method that is not tuned as another one is.
    """
    methods = list(dict.fromkeys(tuner(method) for method in plan.methods))
    for second in (False, True):
        asked = []
        for network in plan.networks:
            for method in methods:
                known = trials_of(read(tuning), network, method)
                trials = [Setting(lr=lr) for lr in RATES]
                if second:
                    # of the first trials alone: an interrupted tuning goes on with the same ones
                    firsts = [t for t in known if Setting(**t["setting"]) in trials]
                    trials = neighbours(best_of(firsts), METHODS[method].has_strength)
                tried = [Setting(**t["setting"]) for t in known]
                case = (network, method, TUNED_AT, 0)
                asked += [(case, trial, True) for trial in trials if trial not in tried]
        for (case, setting, _), found in in_parallel(asked, jobs):
            record = {"network": case[0], "method": case[1], "setting": setting.as_dict()}
            append(tuning, record | found)


def neighbours(best: Setting, has_strength: bool) -> list[Setting]:
    """Two others at the same learning rate."""
    if has_strength:
        return [replace(best, strength=best.strength * factor) for factor in (0.3, 3.0)]
    return [replace(best, decay=best.decay * factor) for factor in (0.2, 2.0)]


Asked = tuple[Case, Setting, bool]


def in_parallel(asked: Iterable[Asked], jobs: int) -> Iterator[tuple[Asked, Record]]:
    """Each run with what it found, as they end."""
    if jobs == 1:
        for one in asked:
            yield one, said(one, attempt(*one))
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, spawn, torch.set_num_threads, (1,)) as pool:
        futures = {pool.submit(attempt, *one): one for one in asked}
        for future in as_completed(futures):
            yield futures[future], said(futures[future], future.result())


def attempt(case: Case, setting: Setting, validation: bool) -> Record:
    """Train, or say why that failed: the other runs go on."""
    network, method, keep, seed = case
    split = mnist(validation=validation)
    try:
        found = train(network, method, keep, seed, setting, split, limit=LIMIT)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}", "loss": None}
    if not math.isfinite(found["loss"]):
        found["loss"] = None  # diverged
    return found


def said(one: Asked, found: Record) -> Record:
    """The same, and a line for who is waiting."""
    case, setting, validation = one
    what = f"{found['accuracy']:.2f} %" if "accuracy" in found else found["error"]
    print(*case, setting if validation else "", what, file=sys.stderr, flush=True)
    return found


def chosen(trials: list[Record], network: str, method: str) -> Setting:
    """The setting that tuning chose for a method, or for the one whose setting it shares."""
    return best_of(trials_of(trials, network, tuner(method)))


def trials_of(trials: list[Record], network: str, method: str) -> list[Record]:
    return [t for t in trials if (t["network"], t["method"]) == (network, method)]


def best_of(trials: list[Record]) -> Setting:
    """The setting of the lowest validation loss, which is less noisy than the accuracy."""
    tried = [trial for trial in trials if trial["loss"] is not None]
    if not tried:
        return Setting()
    return Setting(**min(tried, key=lambda record: record["loss"])["setting"])
