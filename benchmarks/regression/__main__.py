"""Measure, and write the table and the picture: ``python -m benchmarks.regression``."""

from __future__ import annotations

import fnmatch
import sys
import tempfile
from pathlib import Path

from benchmarks.command import command, hand_over
from benchmarks.records import forget, read
from benchmarks.regression import cold, table
from benchmarks.regression.peers import PEERS
from benchmarks.regression.problems import PROBLEMS
from benchmarks.regression.runner import Plan, run

HERE = Path(__file__).resolve().parent

# One problem for all peers, then what takes other ways through the code.
QUICK = (("lasso-200x50k-20", None), ("logistic-text-20", ("gossamer", "scikit-learn")),
         ("mcp-path-500x10k-20", ("gossamer", "pycasso")))  # fmt: skip


def report(records: list[dict], first_fits: list[dict], picture: str | None = None) -> str:
    """All of it as Markdown."""
    results = table.Results.of(records)
    parts = [table.means(results)]
    if picture:
        parts.append(f"![CPU time of every library over gossamer's]({picture})")
    parts += [table.summary(results), "### Every library", table.details(results)]
    if first_fits:
        parts += ["### The first fit of a process", "CPU seconds.", cold.table(first_fits)]
    parts.append("Measured: " + table.versions(results))
    return "\n\n".join(parts)


def installed(asked: str | None) -> list[str]:
    """The peers that are asked for and there; the others are named."""
    names = asked.split(",") if asked else list(PEERS)
    if unknown := [name for name in names if name not in PEERS]:
        raise SystemExit(f"no such peer: {unknown}; there are {list(PEERS)}")
    absent = [name for name in names if PEERS[name].version() is None]
    if absent:
        print("not installed:", ", ".join(absent), file=sys.stderr)
    return [name for name in names if name not in absent]


def quick(peers: list[str]) -> None:
    """The whole chain in tiny size, nothing kept: do all parts fit together?"""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "quick.jsonl"
        for problem, few in QUICK:
            names = [name for name in peers if few is None or name in few]
            run(Plan([problem], names, [1e-6, 1e-9], 10.0, tiny=True), results)
        _draw(results, Path(folder) / "quick.svg")
        print(report(read(results), []))


def _draw(results: Path, to: Path) -> None:
    from benchmarks.regression import plot  # matplotlib is not needed for the figures alone

    plot.draw(table.Results.of(read(results)), to)


def main(arguments: list[str] | None = None) -> None:
    results = HERE / "results" / "full.jsonl"
    parser = command(__package__, __doc__, results, "docs/benchmarks.md")
    add = parser.add_argument
    add("--problems", default="*", help="names, or globs of them, with commas between")
    add("--peers", help="names with commas between; all that are installed by default")
    add("--targets", default="1e-6,1e-9", help="certificates to be reached")
    add("--limit", type=float, default=60.0, help="seconds after which a fit is ended")
    add("--cold", nargs="?", const=",".join(cold.SEEN), help="first fits of fresh processes, too")
    add("--list", action="store_true", help="the problems and the peers")
    options = parser.parse_args(arguments)
    globs = options.problems.split(",")
    problems = [n for n in PROBLEMS if any(fnmatch.fnmatch(n, glob) for glob in globs)]
    if options.list:
        print("\n".join(f"{name:24} {PROBLEMS[name].title}" for name in problems))
        print("\n".join(f"{name:24} {peer.version()}" for name, peer in PEERS.items()))
        return
    if options.quick:
        return quick(installed(options.peers))

    targets = [float(target) for target in options.targets.split(",")]
    first_fits = options.results.with_name(options.results.stem + "-cold.jsonl")
    if not options.report:
        plan = Plan(problems, installed(options.peers), targets, options.limit)
        if options.again:
            forget(options.results, plan.includes)
        run(plan, options.results)
        if options.cold:
            cold.run(options.cold.split(","), plan.peers, first_fits)
    picture = None
    if options.out:
        picture = "_static/benchmark.svg"
        _draw(options.results, options.out.parent / picture)
    text = report(read(options.results), read(first_fits), picture)
    hand_over(text, options.out)


if __name__ == "__main__":
    main()
