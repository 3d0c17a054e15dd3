"""What was measured, as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import geometric_mean
from typing import Any

from benchmarks.neural.table import row
from benchmarks.records import Record
from benchmarks.runtime.contestants import COMPILED, DENSE, OTHERS
from benchmarks.runtime.problems import N_OF_M, PATTERNS, TITLES, Case
from benchmarks.runtime.roofline import bound

Times = dict[tuple[str, str], Record]  # by who and pattern
Ratio = Callable[[Case], float | None]

# Times as fast as dense float32 at 90 % on one thread: shape, batch, at least; by pattern.
GOALS = {
    "16x1": (("768x768", 1, 4.0), ("768x768", 64, 9.0), ("4096x4096", 1, 20.0)),
    "unstructured": (("768x768", 1, 1.4), ("768x768", 64, 4.0), ("4096x4096", 1, 4.0)),
}


@dataclass(frozen=True)
class Results:
    """Records by case."""

    times: dict[Case, Times]
    machines: dict[Case, Record]

    @classmethod
    def of(cls, records: Iterable[Record]) -> Results:
        times, machines = {}, {}
        for record in records:
            case = Case(**record["case"])
            times[case] = {(one["who"], one["pattern"]): one for one in record["found"]}
            machines[case] = record["machine"]
        return cls(times, machines)

    def cases(self, threads: int, **which: Any) -> list[Case]:
        return sorted(
            case for case in self.times
            if case.threads == threads and all(getattr(case, n) == v for n, v in which.items())
        )  # fmt: skip

    def threads(self) -> list[int]:
        return sorted({case.threads for case in self.times})

    def sparsities(self) -> list[float]:
        return sorted({case.sparsity for case in self.times})

    def bare(self, case: Case, pattern: str) -> Record | None:
        """The fastest layout of a pattern."""
        own = [
            one for (who, other), one in self.times[case].items()
            if other == pattern and who not in OTHERS and who != COMPILED
        ]  # fmt: skip
        return min(own, key=lambda one: one["seconds"], default=None)

    def compiled(self, case: Case, pattern: str) -> Record | None:
        """What a user gets."""
        return self.times[case].get((COMPILED, pattern))

    def best(self, case: Case, pattern: str) -> Record | None:
        """What a user gets, or where that was not measured the fastest layout."""
        return self.compiled(case, pattern) or self.bare(case, pattern)

    def speed(self, case: Case, one: Record | None, when: str = "seconds") -> float | None:
        """Times as fast as dense float32."""
        return self.times[case][DENSE][when] / one[when] if one else None

    def share(self, case: Case, pattern: str) -> float | None:
        """Of the roofline: the least time that reading and computing must take, over the time."""
        one = self.bare(case, pattern)
        if one is None:
            return None
        bytes_ = one["bytes"] + 4 * case.batch * (case.rows + case.inputs)
        return bound(self.machines[case], bytes_, 2 * one["nonzero"] * case.batch) / one["seconds"]


def percent(sparsity: float) -> str:
    return f"{100 * sparsity:.4g} %"


def head(first: Sequence[str], columns: Iterable[str]) -> list[str]:
    columns = list(columns)
    return [row([*first, *columns]), row([*["---"] * len(first), *["--:"] * len(columns)])]


def shown(value: float | None, form: str = ".1f") -> str:
    """More digits for what is small."""
    if value is None:
        return ""
    return f"{value:.2f}" if form == ".1f" and value < 3 else f"{value:{form}}"


def mean(values: Iterable[float | None]) -> float | None:
    """Geometric mean of what there is."""
    there = [value for value in values if value is not None]
    return geometric_mean(there) if there else None


def both(results: Results, cases: Iterable[Case], pattern: str, when: str = "seconds") -> str:
    """The bare product and the compiled module: geometric means over cases."""
    cases = list(cases)
    ways = (results.bare, results.compiled)
    texts = [
        shown(mean(results.speed(case, way(case, pattern), when) for case in cases)) for way in ways
    ]
    return " / ".join(text for text in texts if text)


def summary(results: Results, threads: int) -> str:
    """Geometric means over shapes and batches, and the worst case, of every pattern."""
    sparsities = results.sparsities()
    lines = head(
        ["times as fast as dense float32"], [*map(percent, sparsities), "first calls", "worst"]
    )
    everything = results.cases(threads)
    for pattern in PATTERNS:
        cells = [
            both(results, results.cases(threads, sparsity=sparsity), pattern)
            for sparsity in sparsities
        ]
        cells.append(both(results, everything, pattern, "cold"))
        speeds = [results.speed(case, results.best(case, pattern)) for case in everything]
        cells.append(shown(min((s for s in speeds if s is not None), default=None)))
        if any(cells):
            lines.append(row([TITLES[pattern], *cells]))
    return "\n".join(lines)


def worst(results: Results, threads: int) -> str:
    """The smallest ratio anywhere with the automatic choice, and how often it was dense."""
    found = [
        (results.speed(case, one), case, pattern, one["choice"])
        for case in results.cases(threads)
        for pattern in PATTERNS
        if (one := results.compiled(case, pattern))
    ]
    if not found:
        return ""
    ratio, case, pattern, choice = min(found, key=lambda one: one[0])
    dense = sum(one[3] == "Linear" for one in found)
    below = sum(one[0] < 1 for one in found)
    return (
        f"Worst case of `gs.compile`: {ratio:.2f} times as fast as dense float32 "
        f"({case.shape}, batch {case.batch}, {percent(case.sparsity)}, {TITLES[pattern]}; chosen: "
        f"`{choice}`). Of {len(found)} products it left {dense} dense; {below} measured below 1.00."
    )


def goals(results: Results) -> str:
    """What was to be reached, and what was."""
    lines = head(["at 90 %, one thread", "shape", "batch"], ["goal", "bare", "compiled", ""])
    for pattern, aims in GOALS.items():
        for shape, batch, aim in aims:
            for case in results.cases(1, shape=shape, batch=batch, sparsity=0.9):
                bare = results.speed(case, results.bare(case, pattern))
                compiled = results.speed(case, results.compiled(case, pattern))
                verdict = "reached" if (compiled or bare or 0) >= aim else "missed"
                cells = [f"{aim:g}", shown(bare), shown(compiled), verdict]
                lines.append(row([TITLES[pattern], shape, str(batch), *cells]))
    return "\n".join(lines) if len(lines) > 2 else ""


def peers(results: Results, threads: int) -> str:
    """Times as fast as every other: geometric means over shapes and batches; the least."""
    sparsities = results.sparsities()
    lines = head(["times as fast as", "zeros"], [*map(percent, sparsities), "least", "faster in"])
    for who, title in OTHERS.items():
        for pattern in ("unstructured", "16x1", "dense"):
            ratios = {
                case: times[who, pattern]["seconds"] / own["seconds"]
                for case in results.cases(threads)
                if (who, pattern) in (times := results.times[case])
                and (own := results.best(case, "unstructured" if pattern == "dense" else pattern))
            }
            if not ratios:
                continue
            cells = [
                shown(mean(ratio for case, ratio in ratios.items() if case.sparsity == sparsity))
                for sparsity in sparsities
            ]
            won = sum(ratio >= 1 for ratio in ratios.values())
            least = min(ratios, key=ratios.__getitem__)
            where = f"{least.shape}, batch {least.batch}, {percent(least.sparsity)}"
            cells += [f"{ratios[least]:.2f} ({where})", f"{won} of {len(ratios)}"]
            what = "its own dense" if pattern == "dense" else TITLES[pattern]
            lines.append(row([title, what, *cells]))
    return "\n".join(lines)


def products(results: Results, threads: int, pattern: str) -> str:
    """A row a shape and batch, a column a sparsity."""
    sparsities = results.sparsities()
    lines = head(["shape", "batch"], map(percent, sparsities))
    for shape, batch in _places(results, threads):
        cells = [
            both(results, results.cases(threads, shape=shape, batch=batch, sparsity=s), pattern)
            for s in sparsities
        ]
        if any(cells):
            lines.append(row([shape, str(batch), *cells]))
    return "\n".join(lines) if len(lines) > 2 else ""


def others(results: Results, threads: int, sparsity: float) -> str:
    """Everybody with any zeros, a row a shape and batch."""
    cases = results.cases(threads, sparsity=sparsity)
    there = {name for case in cases for name in results.times[case]}
    names = [(who, p) for who in OTHERS for p in ("unstructured", "dense") if (who, p) in there]
    names.remove(DENSE)
    titles = [OTHERS[who] + (", its dense" if p == "dense" else "") for who, p in names]
    lines = head(["shape", "batch"], ["bare / compiled", *titles])
    for shape, batch in _places(results, threads):
        for case in results.cases(threads, shape=shape, batch=batch, sparsity=sparsity):
            speeds = [results.speed(case, results.times[case].get(name)) for name in names]
            own = both(results, [case], "unstructured")
            lines.append(row([shape, str(batch), own, *map(shown, speeds)]))
    return "\n".join(lines)


def rooflines(results: Results, threads: int) -> str:
    """The bare product's share of what the machine could do, geometric means over shapes."""
    sparsities = results.sparsities()
    lines = head(["zeros", "batch"], map(percent, sparsities))
    for pattern in PATTERNS:
        for batch in sorted({case.batch for case in results.cases(threads)}):
            cells = [
                shown(
                    mean(
                        results.share(case, pattern)
                        for case in results.cases(threads, batch=batch, sparsity=sparsity)
                    ),
                    ".0%",
                )
                for sparsity in sparsities
            ]
            if any(cells):
                lines.append(row([TITLES[pattern], str(batch), *cells]))
    return "\n".join(lines)


def machine(results: Results, threads: int) -> str:
    """What the roofline is made of, and with which versions."""
    found = results.machines[results.cases(threads)[-1]]
    reads = ", ".join(f"{size >> 10:,} kB {speed / 1e9:.0f}" for size, speed in found["bandwidth"])
    peaks = ", ".join(f"{name} {speed / 1e9:.0f}" for name, speed in found["peak"].items())
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return (
        f"Reading arrays of a size, GB/s: {reads}. A dense float32 product of 1024 x 1024 "
        f"matrices, GFLOP/s: {peaks}. {found['processor']}; {versions}."
    )


def n_of_m() -> str:
    """Which N:M stands at which sparsity."""
    pairs = (f"{n}:{m} at {percent(sparsity)}" for sparsity, (n, m) in N_OF_M.items())
    return "N:M is " + ", ".join(pairs) + "."


def report(results: Results, pictures: dict[int, str]) -> str:
    """All of it."""
    parts = [goals(results)]
    for threads in results.threads():
        parts.append(f"### {'One thread' if threads == 1 else f'{threads} threads'}")
        if threads in pictures:
            parts.append(f"![Speed-up over sparsity, with peers]({pictures[threads]})")
        parts += [summary(results, threads), n_of_m(), worst(results, threads)]
        parts += ["#### Other libraries", peers(results, threads)]
        if 0.9 in results.sparsities():
            parts += ["Times as fast as dense float32 at 90 %.", others(results, threads, 0.9)]
        for pattern in PATTERNS:
            if text := products(results, threads, pattern):
                parts += [f"#### With {TITLES[pattern]}", text]
        parts += ["#### Share of the roofline", rooflines(results, threads)]
        parts.append(machine(results, threads))
    return "\n\n".join(part for part in parts if part)


def _places(results: Results, threads: int) -> list[tuple[str, int]]:
    """Shapes and batches in the order of the problems."""
    return list(dict.fromkeys((case.shape, case.batch) for case in results.cases(threads)))
