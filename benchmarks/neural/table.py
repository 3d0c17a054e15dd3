"""What was measured, as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from benchmarks.neural.runner import chosen
from benchmarks.neural.training import METHODS, NETWORKS

Record = dict[str, Any]
SMOOTH = ("depth-2", "depth-3", "depth-4")
RIVAL = "gradual"


def networks(records: Iterable[Record]) -> list[str]:
    seen = {record["network"] for record in records}
    return [name for name in NETWORKS if name in seen]


def accuracies(records: Iterable[Record], network: str) -> dict[tuple[str, float], list[float]]:
    """Of every seed, by method and share kept."""
    found: dict[tuple[str, float], list[float]] = {}
    for record in records:
        if record["network"] == network:
            key = record["method"], record["keep"]
            found.setdefault(key, []).append(record["accuracy"])
    return found


def mean_error(values: list[float]) -> tuple[float, float]:
    """Mean over seeds and its standard error, zero for a single seed."""
    if len(values) < 2:
        return statistics.mean(values), 0.0
    return statistics.mean(values), statistics.stdev(values) / len(values) ** 0.5


def sparsity(keep: float) -> str:
    return f"{100 * (1 - keep):.4g} %"


def row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def curves(records: list[Record], network: str) -> str:
    """A row a method, a column a sparsity; the best of each in bold."""
    found = accuracies(records, network)
    keeps = sorted({keep for _, keep in found}, reverse=True)
    best = {k: max(mean_error(v)[0] for (_, keep), v in found.items() if keep == k) for k in keeps}
    lines = [row(["", *map(sparsity, keeps)]), row(["---", *["--:"] * len(keeps)])]
    for method in METHODS:
        cells = []
        for keep in keeps:
            values = found.get((method, keep))
            if values is None:
                cells.append("")
                continue
            mean, error = mean_error(values)
            text = f"**{mean:.2f}**" if mean == best[keep] else f"{mean:.2f}"
            cells.append(f"{text} ± {error:.2f}" if len(values) > 1 else text)
        if any(cells):
            lines.append(row([METHODS[method].title, *cells]))
    return "\n".join(lines)


def margins(records: list[Record], network: str) -> str:
    """Every smooth form against gradual pruning, seed by seed."""
    by_seed = {
        (r["method"], r["keep"], r["seed"]): r["accuracy"]
        for r in records
        if r["network"] == network
    }
    keeps = sorted({keep for _, keep, _ in by_seed}, reverse=True)
    lines = [row(["over gradual pruning", *map(sparsity, keeps)])]
    lines.append(row(["---", *["--:"] * len(keeps)]))
    for method in SMOOTH:
        cells = []
        for keep in keeps:
            pairs = [
                (accuracy, by_seed[RIVAL, keep, seed])
                for (name, share, seed), accuracy in by_seed.items()
                if (name, share) == (method, keep) and (RIVAL, keep, seed) in by_seed
            ]
            mean, error = mean_error([ours - theirs for ours, theirs in pairs]) if pairs else (0, 0)
            cells.append(f"{mean:+.2f} ± {error:.2f}" if pairs else "")
        if any(cells):
            lines.append(row([METHODS[method].title, *cells]))
    return "\n".join(lines) if len(lines) > 2 else ""


def settings(trials: list[Record], network: str) -> str:
    """What tuning chose."""
    lines = [
        row(["", "optimiser", "learning rate", "decay", "strength"]),
        "| --- | --- | --: | --: | --: |",
    ]
    for method in METHODS:
        if any((t["network"], t["method"]) == (network, method) for t in trials):
            s = chosen(trials, network, method)
            strength = f"{s.strength:g}" if METHODS[method].has_strength else ""
            cells = [s.optimiser, f"{s.lr:g}", f"{s.decay:g}", strength]
            lines.append(row([METHODS[method].title, *cells]))
    return "\n".join(lines) if len(lines) > 2 else ""


def report(records: list[Record], trials: list[Record], pictures: list[str]) -> str:
    """All of it."""
    parts = []
    for number, network in enumerate(networks(records)):
        mine = [record for record in records if record["network"] == network]
        counts = [len(values) for values in accuracies(mine, network).values()]
        seeds = f"{min(counts)} to {max(counts)}" if min(counts) < max(counts) else f"{max(counts)}"
        sizes = {r["size"] for r in mine}
        steps = ", ".join(f"{n:,}" for n in sorted({r["steps"] for r in mine}))
        parts.append(f"### {NETWORKS[network].title}")
        if pictures:
            parts.append(f"![Accuracy against sparsity]({pictures[number]})")
        parts.append(
            f"Test accuracy in per cent, mean and standard error of {seeds} seeds; "
            f"{sizes.pop():,} weights, {steps} steps."
        )
        parts += [curves(records, network), margins(records, network), settings(trials, network)]
    return "\n\n".join(part for part in parts if part)
