"""All runs of a plan, one after the other; results kept as JSON lines, so that nothing is lost."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.neural.data import Split, mnist
from benchmarks.neural.method import Setting
from benchmarks.neural.training import METHODS, NETWORKS, train

Record = dict[str, Any]
KEY = ("network", "method", "keep", "seed")
TUNED_AT = 0.01  # the share kept while settings are compared
RATES = (("adam", 5e-3), ("adam", 1e-2), ("adam", 2e-2), ("sgd", 0.1), ("sgd", 0.3))


@dataclass(frozen=True)
class Plan:
    """Which networks, methods, sparsities and seeds."""

    networks: list[str]
    methods: list[str]
    seeds: int
    keeps: tuple[float, ...] | None = None

    def cases(self) -> Iterator[tuple[str, str, float, int]]:
        """All runs, those of a seed together: an interrupted run has whole curves."""
        for network in self.networks:
            for seed in range(self.seeds):
                for keep in reversed(self.keeps or NETWORKS[network].keeps):
                    for method in self.methods:
                        yield network, method, keep, seed


def read(results: Path) -> list[Record]:
    if not results.exists():
        return []
    return [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]


def append(results: Path, record: Record) -> None:
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def forget(results: Path, plan: Plan) -> None:
    """Leave out the plan's runs, so that they are made again."""
    cases = set(plan.cases())
    kept = [r for r in read(results) if tuple(r[name] for name in KEY) not in cases]
    results.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")


def run(plan: Plan, results: Path, tuning: Path) -> None:
    """Make the runs that are missing."""
    done = {tuple(record[name] for name in KEY) for record in read(results)}
    trials = read(tuning)
    split = mnist()
    for case in plan.cases():
        if case in done:
            continue
        network, method, keep, seed = case
        setting = chosen(trials, network, method)
        found = train(NETWORKS[network], method, keep, seed, setting, split)
        append(results, dict(zip(KEY, case, strict=True)) | found | {"setting": setting.as_dict()})
        print(*case, f"{found['accuracy']:.2f} %", file=sys.stderr, flush=True)


def tune(plan: Plan, tuning: Path) -> None:
    """Compare settings of every method on validation images taken from the training ones.

    First optimisers and learning rates, then decays or strengths at the best of them: as many
    trials for each method.
    """
    split = mnist(validation=True)
    for network in plan.networks:
        for method in plan.methods:
            first = [Setting(optimiser, lr) for optimiser, lr in RATES]
            for setting in first:
                _try(network, method, setting, split, tuning)
            # of the first trials alone, so that an interrupted tuning goes on with the same ones
            trials = [r for r in read(tuning) if Setting(**r["setting"]) in first]
            best = chosen(trials, network, method)
            for other in neighbours(best, METHODS[method].has_strength):
                _try(network, method, other, split, tuning)


def neighbours(best: Setting, has_strength: bool) -> list[Setting]:
    """Four others at the same learning rate."""
    if not has_strength:
        return [replace(best, decay=best.decay * factor) for factor in (0.0, 0.2, 0.5, 2.0)]
    strengths = [replace(best, strength=best.strength * factor) for factor in (0.3, 3.0)]
    return strengths + [replace(best, decay=best.decay * factor) for factor in (0.5, 2.0)]


def _try(network: str, method: str, setting: Setting, split: Split, tuning: Path) -> None:
    known = {"network": network, "method": method, "setting": setting.as_dict()}
    if any(known.items() <= record.items() for record in read(tuning)):
        return
    try:
        found = train(NETWORKS[network], method, TUNED_AT, 0, setting, split)
    except ValueError as error:  # the library refuses to go on from weights that are not finite
        found = {"accuracy": 0.0, "loss": math.inf, "note": str(error)}
    if not math.isfinite(found["loss"]):
        found["loss"] = None  # diverged
    append(tuning, known | found)
    print(network, method, setting, f"{found['accuracy']:.2f} %", file=sys.stderr, flush=True)


def chosen(trials: list[Record], network: str, method: str) -> Setting:
    """The setting of the lowest validation loss, which is less noisy than the accuracy."""
    mine = [r for r in trials if (r["network"], r["method"]) == (network, method)]
    tried = [r for r in mine if r["loss"] is not None]
    if not tried:
        return Setting()
    return Setting(**min(tried, key=lambda record: record["loss"])["setting"])
