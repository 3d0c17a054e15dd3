"""Whole networks, dense and sparse, compiled: latency and bytes, with what they reach beside it.

``python -m benchmarks.runtime.models``. Trained networks are kept in ``.cache/runtime``, so that an
interrupted run goes on.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from torch import nn

import gossamer as gs
from benchmarks.neural.table import row
from benchmarks.records import Record, append, forget, read
from benchmarks.runtime.contestants import InProcess
from benchmarks.runtime.networks import NETWORKS, OWN_CLASSES, PATTERNS, ROOT, Network
from benchmarks.runtime.problems import TITLES
from benchmarks.runtime.runner import at_work
from benchmarks.runtime.turns import PAUSE, Taken, in_turn

RESULTS = Path(__file__).resolve().parent / "results" / "models.jsonl"
TRAINED = ROOT / ".cache" / "runtime"
BUDGET = 6.0  # seconds of runs for each network and batch
KEY = ("network", "batch", "threads")


def prepared(name: str, folder: Path) -> dict[str, nn.Module]:
    """The dense network and the sparse ones by pattern: as they were kept, or made and kept."""
    network, found = NETWORKS[name], {}
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in ("dense", *PATTERNS):
        file = folder / f"{name}-{pattern}.safetensors"
        if not file.exists():
            dense = pattern == "dense"
            model = network.make() if dense else network.sparse(found["dense"], pattern)
            gs.nn.save_model(model, file)
        found[pattern] = gs.nn.load_model(file, trust=OWN_CLASSES).eval()
    return found


def measure(network: Network, models: dict[str, nn.Module], batch: int, threads: int) -> Record:
    """All of a network in turn: as it was, and compiled; the dense one compiled as well."""
    x = network.inputs(batch)
    compiled = {name: gs.compile(model, x) for name, model in models.items()}
    running = [models["dense"], *compiled.values()]
    taken = in_turn(
        [InProcess(lambda model=model: model(x)) for model in running],
        BUDGET, PAUSE if threads > 1 else 0.0,
    )  # fmt: skip
    times = dict(zip(("as it was", *compiled), taken, strict=True))
    return {"before": before(models["dense"], times["as it was"])} | {
        name: {
            "seconds": times[name].seconds,
            "least": times[name].least,
            "bytes": file_size(model),
            "score": network.score(model) if network.unit else None,
            "score_dense": network.score(models[name]) if network.unit else None,
            "sparsity": sparsity(models[name]),
        }
        for name, model in compiled.items()
    }


def before(model: nn.Module, times: Taken) -> Record:
    return {"seconds": times.seconds, "least": times.least, "bytes": file_size(model)}


def file_size(model: nn.Module) -> int:
    """Bytes of its file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        gs.nn.save_model(model, file)
        return file.stat().st_size


def sparsity(model: nn.Module) -> float:
    """Share of zeros in all weights of two axes or more."""
    weights = [weight for weight in model.parameters() if weight.ndim > 1]
    return 1 - sum(int(w.count_nonzero()) for w in weights) / sum(w.numel() for w in weights)


def key(record: Record) -> tuple:
    return tuple(record[name] for name in KEY)


def run(names: Iterable[str], threads: int, results: Path, folder: Path = TRAINED) -> None:
    """Measure what is missing."""
    done = {key(record) for record in read(results)}
    for name in names:
        missing = [b for b in NETWORKS[name].batches if (name, b, threads) not in done]
        if not missing:
            continue
        models = prepared(name, folder)
        with at_work(threads):
            for batch in missing:
                record = dict(zip(KEY, (name, batch, threads), strict=True))
                record |= measure(NETWORKS[name], models, batch, threads)
                append(results, record)
                print(*key(record), file=sys.stderr, flush=True)


def table(records: Iterable[Record]) -> str:
    """A row a network, batch and pattern."""
    columns = ["batch", "zeros", "reached", "ms, dense", "dense, compiled", "sparse, compiled",
               "times as fast", "MB before", "MB"]  # fmt: skip
    lines = [row(["network", *columns]), row(["---", "--:", *["---"] * 2, *["--:"] * 6])]
    for record in records:
        network, was, dense = NETWORKS[record["network"]], record["before"], record["dense"]
        for pattern in PATTERNS:
            one = record[pattern]
            ms = (f"{1e3 * found['seconds']:.3g}" for found in (was, dense, one))
            megabytes = (f"{found['bytes'] / 1e6:.3g}" for found in (was, one))
            lines.append(row([
                network.title, str(record["batch"]), f"{one['sparsity']:.0%}, {TITLES[pattern]}",
                reached(network, dense, one), *ms, f"{was['seconds'] / one['seconds']:.2f}",
                *megabytes,
            ]))  # fmt: skip
    return "\n".join(lines)


def reached(network: Network, dense: Record, one: Record) -> str:
    """The score of the dense network, and of the sparse one once compiled."""
    if not network.unit:
        return "random weights"
    return f"{dense['score_dense']:.2f}, then {one['score']:.2f} {network.unit}"


NOTE = """\
Networks at 90 % zeros in the layers that are pruned; the share in the table counts all weights of
the network. The digits' networks and the byte transformer are trained here by gradual magnitude
pruning (`gmp`), in as many steps as the dense ones. The others are pruned by magnitude as they are,
without a step of training, so that only their speed says something. *Dense, compiled* is
`gs.compile` of the dense network: what fusing alone brings. All four take turns. Bytes are those of
the files that `gs.nn.save_model` writes."""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.runtime.models")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--results", type=Path, default=RESULTS, help="where to go on")
    parser.add_argument("--again", action="store_true", help="measure again")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    options = parser.parse_args(arguments)
    if options.again:
        forget(options.results, lambda record: record["network"] in options.networks)
    for threads in options.threads:
        if not options.report:
            run(options.networks, threads, options.results)
        there = [record for record in read(options.results) if record["threads"] == threads]
        if there:
            print(f"{'One thread' if threads == 1 else f'{threads} threads'}.\n\n{table(there)}\n")
    print(NOTE)


if __name__ == "__main__":
    main()
