"""What was measured, as Markdown: a summary, then every peer on every problem."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.records import Record
from benchmarks.regression.peers import OWN, PEERS
from benchmarks.regression.problems import PROBLEMS

# A local optimum of a non-convex problem counts only when it is about as good as the best.
WORSE = 1.01


@dataclass(frozen=True)
class Results:
    """Records of a run, by problem, target and peer."""

    records: dict[tuple[str, float, str], Record]

    @classmethod
    def of(cls, records: Iterable[Record]) -> Results:
        return cls({(r["problem"], r["target"], r["peer"]): r for r in records})

    @property
    def problems(self) -> list[str]:
        seen = {problem for problem, _, _ in self.records}
        return [name for name in PROBLEMS if name in seen]

    @property
    def targets(self) -> list[float]:
        return sorted({target for _, target, _ in self.records}, reverse=True)

    @property
    def peers(self) -> list[str]:
        seen = {peer for _, _, peer in self.records}
        return [name for name in PEERS if name in seen]

    def lowest_objective(self, problem: str) -> float:
        values = (r["objective"] for k, r in self.records.items() if k[0] == problem and "cpu" in r)
        return min(values, default=math.inf)

    def reached(self, problem: str, target: float, peer: str) -> Record | None:
        """The fastest answer at least as good, unless it is a much worse local optimum."""
        worst = WORSE * self.lowest_objective(problem)
        answers = (
            record
            for (name, reached, who), record in self.records.items()
            if name == problem and who == peer and reached <= target and "cpu" in record
        )
        good = (record for record in answers if record["objective"] <= worst)
        return min(good, key=lambda r: r["cpu"], default=None)

    def best_peer(self, problem: str, target: float) -> Record | None:
        """The fastest answer that is not gossamer's, in CPU seconds."""
        others = (self.reached(problem, target, peer) for peer in self.peers if peer not in OWN)
        return min(filter(None, others), key=lambda r: r["cpu"], default=None)

    def ratio(self, problem: str, target: float) -> float | None:
        """CPU seconds of the best peer over gossamer's on one thread: above one, we are faster."""
        ours, best = self.reached(problem, target, OWN[0]), self.best_peer(problem, target)
        return best["cpu"] / ours["cpu"] if ours and best else None


def seconds(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def power(target: float) -> str:
    """1e-6, not 1e-06."""
    return f"{target:.0e}".replace("e-0", "e-")


def row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def passes(record: Record) -> str:
    return f"{record['wall'] / record['pass_wall']:.0f}"


def summary(results: Results) -> str:
    """A row a problem: gossamer against the best of the others at every target."""
    heads, rules = ["problem"], ["---"]
    for target in results.targets:
        heads += [f"to {power(target)}: CPU s", "passes", "best peer", "CPU s", "ratio"]
        rules += ["--:", "--:", "---", "--:", "--:"]
    lines = [row(heads), row(rules)]
    for problem in results.problems:
        cells = [PROBLEMS[problem].title]
        for target in results.targets:
            cells += _summary_cells(results, problem, target)
        lines.append(row(cells))
    return "\n".join(lines)


def _summary_cells(results: Results, problem: str, target: float) -> list[str]:
    ours, best = results.reached(problem, target, OWN[0]), results.best_peer(problem, target)
    ratio = results.ratio(problem, target)
    return [
        *([seconds(ours["cpu"]), passes(ours)] if ours else ["not reached", ""]),
        *([best["peer"], seconds(best["cpu"])] if best else ["none", ""]),
        f"**{ratio:.2f}**" if ratio else "",
    ]


def means(results: Results) -> str:
    """Geometric means of the ratios, with what they leave out."""
    lines = []
    for target in results.targets:
        ratios = {p: r for p in results.problems if (r := results.ratio(p, target))}
        if not ratios:
            continue
        mean = math.exp(sum(map(math.log, ratios.values())) / len(ratios))
        behind = [PROBLEMS[p].title for p, r in ratios.items() if r < 1]
        alone, missed = [], []
        for problem in results.problems:
            if not results.reached(problem, target, OWN[0]):
                missed.append(PROBLEMS[problem].title)
            elif not results.best_peer(problem, target):
                alone.append(PROBLEMS[problem].title)
        lines.append(
            f"- **To {power(target)}**: best peer's CPU time over gossamer's, geometric mean over "
            f"{len(ratios)} problems: **{mean:.2f}** (from {min(ratios.values()):.2f} to "
            f"{max(ratios.values()):.1f}). A peer is faster on: {_listed(behind)}. "
            f"No peer gets there on: {_listed(alone)}. gossamer does not get there on: "
            f"{_listed(missed)}."
        )
    return "\n".join(lines)


def _listed(titles: list[str]) -> str:
    return "; ".join(titles) if titles else "none"


def details(results: Results) -> str:
    """For every problem a table of all peers."""
    return "\n\n".join(_problem_details(results, problem) for problem in results.problems)


def _problem_details(results: Results, problem: str) -> str:
    heads, rules = ["library"], ["---"]
    for target in results.targets:
        heads += [f"to {power(target)}: CPU s", "wall s", "vs best peer", "passes"]
        rules += ["--:"] * 4
    heads += ["MB over X", "certificate", "gossamer's", "support"]
    lines, absent, design = [row(heads), row([*rules, *["--:"] * 4])], [], 0
    for peer in results.peers:
        records = [results.records.get((problem, target, peer), {}) for target in results.targets]
        notes = {r.get("note") for r in records}
        if all(str(note).startswith("not offered") for note in notes):
            absent.append(f"{peer} ({str(notes.pop()).removeprefix('not offered: ')})")
            continue
        if not any(records):
            continue
        cells = [peer]
        for target, record in zip(results.targets, records, strict=True):
            cells += _detail_cells(results, problem, target, record)
        last = next((r for r in reversed(records) if "cpu" in r), None)
        if last:
            design = last["design_bytes"]
        lines.append(row([*cells, *_last_cells(results, problem, last, records)]))
    size = f" X takes {design / 1e6:.1f} MB." if design else ""
    left_out = f" Not offered: {'; '.join(absent)}." if absent else ""
    head = f"<details><summary>{PROBLEMS[problem].title}</summary>"
    return "\n".join([head, "", *lines, "", f"`{problem}`.{size}{left_out}", "", "</details>"])


def _detail_cells(results: Results, problem: str, target: float, record: Record) -> list[str]:
    if "cpu" not in record:
        return [str(record.get("note", "")), "", "", ""]
    # a worse local optimum stands in the table, but is nobody's rival
    record = results.reached(problem, target, record["peer"]) or record
    best = results.best_peer(problem, target)
    versus = f"{record['cpu'] / best['cpu']:.2f}x" if best else ""
    return [seconds(record["cpu"]), seconds(record["wall"]), versus, passes(record)]


def _last_cells(
    results: Results, problem: str, last: Record | None, records: list[Record]
) -> list[str]:
    if last is None:
        reached = [r["certificate"] for r in records if r.get("certificate") is not None]
        return ["", f"{min(reached):.0e}" if reached else "", "", ""]
    objective = last["objective"] / results.lowest_objective(problem) - 1
    remark = f" (objective +{objective:.1%})" if objective > 1e-4 else ""
    certificate = f"{last['certificate']:.0e}{remark}"
    own = f"{last['own_certificate']:.0e}"
    return [f"{last['extra_bytes'] / 1e6:.1f}", certificate, own, str(last["support"])]


def versions(results: Results) -> str:
    """The libraries that were measured, and those that were not installed."""
    known = {k[2]: r["version"] for k, r in results.records.items() if "version" in r}
    seen = ", ".join(f"{name} {known.get(name, '(no answer)')}" for name in results.peers)
    others = [name for name in PEERS if name not in results.peers]
    return f"{seen}." + (f" Not installed or not asked: {', '.join(others)}." if others else "")
