"""Measure, and write the tables and pictures: ``python -m benchmarks.runtime``.

onnxruntime and DeepSparse may live in a Python of their own, which the environment variable
GOSSAMER_ENGINES names: benchmarks/runtime/requirements.txt says how it is made. Whatever is not
installed is left out. An interrupted run goes on where it ended.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.command import command, hand_over
from benchmarks.records import forget, read
from benchmarks.runtime import table
from benchmarks.runtime.problems import BATCHES, SHAPES, SPARSITIES, THREADS, cases
from benchmarks.runtime.runner import case_of, run

HERE = Path(__file__).resolve().parent
# Parts that print tables of their own: the title that these get, and the arguments of each run.
PARTS: dict[str, tuple[str, tuple[tuple[str, ...], ...]]] = {
    "models": ("Whole models", ((),)),
    "convolutions": ("Convolutions", ((),)),
    "training": ("Sparse training", ((), ("--wide",))),
}


def draw(results: table.Results, folder: Path) -> dict[int, str]:
    """A picture for each number of threads; the files' names."""
    from benchmarks.runtime import plot  # matplotlib is not needed for the figures alone

    folder.mkdir(parents=True, exist_ok=True)
    names = {threads: f"runtime_{threads}.svg" for threads in results.threads()}
    for threads, name in names.items():
        plot.draw(results, threads, folder / name)
    return names


def part(name: str, results: Path, again: bool) -> str:
    """The tables of a part: as they were printed last, or now, by a process of their own."""
    file, (title, runs) = results.with_name(f"{name}.md"), PARTS[name]
    if again:  # what it printed, and the records that it went on from
        file.unlink(missing_ok=True)
        file.with_suffix(".jsonl").unlink(missing_ok=True)
    if not file.exists():
        command = [sys.executable, "-m", f"benchmarks.runtime.{name}"]
        texts = [
            subprocess.run(
                [*command, *run], cwd=HERE.parents[1], check=True, stdout=subprocess.PIPE, text=True
            ).stdout
            for run in runs
        ]
        file.write_text("\n\n".join(text.strip() for text in texts) + "\n", encoding="utf-8")
    return f"## {title}\n\n{file.read_text(encoding='utf-8').strip()}"


def report(results: Path, parts: Sequence[str], folder: Path | None) -> str:
    """What is known, as Markdown."""
    found = table.Results.of(read(results))
    pictures = draw(found, folder) if folder else {}
    places = {threads: f"_static/{name}" for threads, name in pictures.items()}
    texts = [part(name, results, again=False) for name in parts]
    return "\n\n".join(["## Products", table.report(found, places), *texts])


def quick(budget: float) -> None:
    """One shape at one sparsity with all patterns, nothing kept: half a minute."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "quick.jsonl"
        run(cases([(768, 768)], (1, 64), (0.9,)), results, budget)
        print(report(results, [], Path(folder)))


def pair(text: str) -> tuple[int, int]:
    rows, inputs = text.split("x")
    return int(rows), int(inputs)


def main(arguments: list[str] | None = None) -> None:
    results = HERE / "results" / "products.jsonl"
    parser = command(__package__, __doc__, results, "docs/benchmarks_runtime.md")
    add = parser.add_argument
    add("--shapes", type=pair, nargs="+", default=SHAPES, help="rows x inputs: 768x768")
    add("--batches", type=int, nargs="+", default=BATCHES)
    add("--sparsities", type=float, nargs="+", default=SPARSITIES)
    add("--threads", type=int, nargs="+", default=[1])
    add("--budget", type=float, default=3.0, help="seconds of a case, about")
    add("--parts", nargs="*", default=[], choices=PARTS, help="other tables")
    add("--all", action="store_true", help="all parts, one and two threads: an hour")
    options = parser.parse_args(arguments)
    if options.quick:
        return quick(options.budget)

    threads, parts = options.threads, options.parts
    if options.all:
        threads = THREADS
        parts = list(PARTS)
    if not options.report:
        asked = list(cases(options.shapes, options.batches, options.sparsities, threads))
        if options.again:
            unwanted = set(asked)
            forget(options.results, lambda record: case_of(record) in unwanted)
        run(asked, options.results, options.budget)
        for name in parts:
            part(name, options.results, options.again)
    kept = [name for name in PARTS if options.results.with_name(f"{name}.md").exists()]
    text = report(options.results, kept, options.out.parent / "_static" if options.out else None)
    hand_over(text, options.out)


if __name__ == "__main__":
    main()
