"""What was measured, as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from benchmarks.neural.methods import GROUPS, METHODS, UNSTRUCTURED, names_of, tuner
from benchmarks.neural.runner import chosen
from benchmarks.neural.training import NETWORKS
from benchmarks.records import Record

STRUCTURED, LAYOUT = ("channels",), ("layout",)
SMOOTH = "depth-4"
Accuracies = dict[tuple[str, float], list[float]]


def networks(records: Iterable[Record]) -> list[str]:
    seen = {record["network"] for record in records}
    return [name for name in NETWORKS if name in seen]


def of(records: Iterable[Record], network: str) -> list[Record]:
    """Those of a network, of methods that are still there, that ended well."""
    return [
        r for r in records
        if r["network"] == network and r["method"] in METHODS and "error" not in r
    ]  # fmt: skip


def accuracies(records: Iterable[Record], network: str) -> Accuracies:
    """Of every seed, by method and share kept."""
    found: Accuracies = {}
    for record in of(records, network):
        found.setdefault((record["method"], record["keep"]), []).append(record["accuracy"])
    return found


def shares(found: Accuracies) -> list[float]:
    """Those that sparse methods keep, most first."""
    return sorted({keep for _, keep in found if keep < 1}, reverse=True)


def mean_error(values: list[float]) -> tuple[float, float]:
    """Mean over seeds and its standard error, zero for a single seed."""
    if len(values) < 2:
        return statistics.mean(values), 0.0
    return statistics.mean(values), statistics.stdev(values) / len(values) ** 0.5


def sparsity(keep: float) -> str:
    return f"{100 * (1 - keep):.4g} %"


def row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def shown(values: list[float] | None, form: str = ".2f", bold: bool = False) -> str:
    """Mean and standard error."""
    if not values:
        return ""
    mean, error = mean_error(values)
    text = f"**{mean:{form}}**" if bold else f"{mean:{form}}"
    return f"{text} ± {error:.2f}" if len(values) > 1 else text


def head(first: str, keeps: Sequence[float], *more: str) -> list[str]:
    columns = [*map(sparsity, keeps), *more]
    return [row([first, *columns]), row(["---", *["--:"] * len(columns)])]


def curves(records: list[Record], network: str, groups: Sequence[str]) -> str:
    """A row a method, the best of a group first; a column a sparsity, its best in bold."""
    found = accuracies(records, network)
    mine = {k: v for k, v in found.items() if METHODS[k[0]].group in groups}
    keeps = shares(mine)
    best = {k: max(mean_error(v)[0] for (_, keep), v in mine.items() if keep == k) for k in keeps}
    costs = relative_costs(records, network)
    lines = head("", keeps, "time")
    for group in groups:
        names = [m for m in names_of(group) if any((m, keep) in mine for keep in keeps)]
        if names:
            lines.append(row([f"*{GROUPS[group]}*", *[""] * (len(keeps) + 1)]))
        for method in sorted(names, key=lambda m: -standing(mine, m, keeps)):
            cells = [mine.get((method, keep)) for keep in keeps]
            texts = [
                shown(values, bold=bool(values) and mean_error(values)[0] == best[keep])
                for keep, values in zip(keeps, cells, strict=True)
            ]
            time = f"{costs[method]:.1f}" if method in costs else ""
            lines.append(row([METHODS[method].title, *texts, time]))
    return "\n".join(lines) if len(lines) > 2 else ""


def standing(found: Accuracies, method: str, keeps: Sequence[float]) -> float:
    """By how much a method is above the mean of all that ran where it did."""
    above = []
    for keep in keeps:
        if (method, keep) in found:
            others = [mean_error(v)[0] for (_, other), v in found.items() if other == keep]
            above.append(mean_error(found[method, keep])[0] - statistics.mean(others))
    return statistics.mean(above) if above else -100.0


def relative_costs(records: list[Record], network: str) -> dict[str, float]:
    """CPU time of a run over the dense network's: the medians of all runs."""
    times: dict[str, list[float]] = {}
    for record in of(records, network):
        times.setdefault(record["method"], []).append(record["cpu"])
    if "dense" not in times:
        return {}
    dense = statistics.median(times["dense"])
    return {method: statistics.median(values) / dense for method, values in times.items()}


def margins(records: list[Record], network: str) -> str:
    """What gossamer has over each peer's way of doing the same, and the smooth form over all."""
    by_seed = {(r["method"], r["keep"], r["seed"]): r["accuracy"] for r in of(records, network)}
    keeps = shares(accuracies(records, network))
    lines = head("points, seed by seed", keeps)
    for method in names_of("peer", "channels"):
        ours = METHODS[method].ours
        rivals = [ours] if METHODS[method].group == "channels" else [ours, SMOOTH]
        for mine in rivals if ours else []:
            cells = [differences(by_seed, mine, method, keep) for keep in keeps]
            if any(cells):
                title = f"{METHODS[mine].title} over {METHODS[method].title}"
                lines.append(row([title, *[shown(values, "+.2f") for values in cells]]))
    return "\n".join(lines) if len(lines) > 2 else ""


def differences(
    by_seed: dict[tuple[str, float, int], float], mine: str, other: str, keep: float
) -> list[float]:
    """Of accuracies, seed by seed."""
    return [
        accuracy - by_seed[other, keep, seed]
        for (method, share, seed), accuracy in by_seed.items()
        if (method, share) == (mine, keep) and (other, keep, seed) in by_seed
    ]


def settings(trials: list[Record], network: str) -> str:
    """What tuning chose, and for whom."""
    lines = [
        row(["setting of", "learning rate", "decay", "strength", "shared by"]),
        "| --- | --: | --: | --: | --- |",
    ]
    for method, way in METHODS.items():
        if any((t["network"], t["method"]) == (network, method) for t in trials):
            s = chosen(trials, network, method)
            strength = f"{s.strength:g}" if way.has_strength else ""
            same = [n for n in METHODS if tuner(n) == method != n and METHODS[n].group != "layout"]
            lines.append(row([way.title, f"{s.lr:g}", f"{s.decay:g}", strength, ", ".join(same)]))
    return "\n".join(lines) if len(lines) > 2 else ""


def failures(records: list[Record], network: str) -> str:
    """What did not end, and why."""
    reasons: dict[tuple[str, str], set[float]] = {}
    for record in records:
        if record["network"] == network and "error" in record and record["method"] in METHODS:
            why = METHODS[record["method"]].title, record["error"]
            reasons.setdefault(why, set()).add(record["keep"])
    return "\n".join(
        f"- {title} at {', '.join(map(sparsity, sorted(keeps, reverse=True)))}: {error}"
        for (title, error), keeps in reasons.items()
    )


def caption(records: list[Record], network: str) -> str:
    """What the figures are."""
    mine = of(records, network)
    found = accuracies(mine, network)
    counts = {len(values) for values in found.values()}
    seeds = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else f"{max(counts)}"
    steps = ", ".join(f"{n:,}" for n in sorted({r["steps"] for r in mine}))
    text = (
        f"Test accuracy in per cent, mean and standard error of {seeds} seeds; "
        f"{mine[0]['size']:,} weights, {steps} steps."
    )
    dense = found.get(("dense", 1.0))
    return f"{text} The dense network: {shown(dense)}." if dense else text


def report(records: list[Record], trials: list[Record], pictures: dict[str, str]) -> str:
    """All of it."""
    parts = []
    for network in networks(records):
        if not of(records, network):
            continue
        parts.append(f"### {NETWORKS[network].title}")
        if network in pictures:
            parts.append(f"![Accuracy against sparsity]({pictures[network]})")
        parts.append(caption(records, network))
        parts += [curves(records, network, groups) for groups in (UNSTRUCTURED, STRUCTURED, LAYOUT)]
        parts += [part(records, network) for part in (margins, failures)]
        parts.append(settings(trials, network))
    return "\n\n".join(part for part in parts if part)
