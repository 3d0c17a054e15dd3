"""Other people's code for one-shot pruning, run as it is on one layer at a time.

Once, in a folder FOLDER::

    git clone https://github.com/IST-DASLab/sparsegpt FOLDER/sparsegpt
    pip install --no-deps --target FOLDER llmcompressor==0.14.0.1

Their files that work on a layer are loaded alone: what the whole packages ask for besides is not
needed. Here all get the very same statistics, from the same stream of blocks as ours.

``python -m benchmarks.language.peers FOLDER`` compares all on the layers of one block of SmolLM2.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.language import texts
from benchmarks.language.models import smollm2
from gossamer.nn.language import InputStatistics, Layer, Method, Solved, methods
from gossamer.nn.language.architectures import linear_layers
from gossamer.nn.language.stream import gathering
from gossamer.structures import Elements, FanIn, NofM

DAMPING = 0.01


def _load(file: Path, **stubs: ModuleType) -> ModuleType:
    """One file of a package, with stand-ins for what it imports and does not need."""
    if not file.exists():
        raise FileNotFoundError(f"{file} is not there.\n{__doc__}")
    spec = spec_from_file_location(f"peer_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    known = {name: sys.modules.get(name) for name in stubs}
    sys.modules.update(stubs)
    try:
        spec.loader.exec_module(module)
    finally:
        for name, before in known.items():
            if before is None:
                del sys.modules[name]
            else:
                sys.modules[name] = before
    return module


def _stub(name: str, **values: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(values)
    return module


def _linear(weight: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data = weight.clone()
    return layer.requires_grad_(False)


def sparsegpt(
    folder: Path, weight: Tensor, gram: Tensor, block: int, sparsity: float, n: int = 0, m: int = 0
) -> Tensor:
    """The authors' class, which would wait for a graphics card in the end."""
    code = _load(folder / "sparsegpt" / "sparsegpt.py", quant=_stub("quant"))
    code.torch = _stub("torch", **vars(torch))
    code.torch.cuda = _stub("cuda", synchronize=lambda: None)
    code.print = lambda *_: None
    layer = _linear(weight)
    run = code.SparseGPT(layer)
    run.H = 2 * gram
    run.fasterprune(sparsity, prunen=n, prunem=m, blocksize=block, percdamp=DAMPING)
    return layer.weight.data


def llmcompressor_sparsegpt(
    folder: Path, weight: Tensor, gram: Tensor, block: int, sparsity: float, n: int = 0, m: int = 0
) -> Tensor:
    """llm-compressor's function."""
    file = folder / "llmcompressor/modifiers/pruning/sparsegpt/sgpt_sparsify.py"
    code = _load(file, loguru=_stub("loguru", logger=None))
    layer = _linear(weight)
    _, found = code.sparsify_weight(layer, {layer: 2 * gram}, sparsity, n, m, block, DAMPING, False)
    return found


def llmcompressor_wanda(
    folder: Path, weight: Tensor, squares: Tensor, sparsity: float, n: int = 0, m: int = 0
) -> Tensor:
    """llm-compressor's function, of the sums of squares of each input."""
    code = _load(folder / "llmcompressor/modifiers/pruning/wanda/wanda_sparsify.py")
    layer = _linear(weight)
    return code.sparsify_weight(layer, {layer: squares}, sparsity, n, m)


@dataclass
class Peer(Method):
    """A peer's function as one of our methods, for the structures that it knows."""

    run: Callable[[Layer, dict[str, Any]], Tensor]

    def solve(self, layer: Layer) -> Solved:
        weight = self.run(layer, _pattern(layer))
        return Solved(weight, weight != 0)

    def __repr__(self) -> str:
        return f"Peer({self.run.__name__})"


def _pattern(layer: Layer) -> dict[str, Any]:
    if isinstance(layer.structure, NofM):
        n, m = layer.structure.n, layer.structure.m
        return {"sparsity": 1 - n / m, "n": m - n, "m": m}  # theirs is how many go
    if isinstance(layer.structure, Elements | FanIn):
        return {"sparsity": 1 - layer.keep}
    raise NotImplementedError(f"{layer.structure!r} is not a pattern that the peer knows.")


def peers(folder: Path) -> dict[str, Method]:
    """By name, for a table."""

    def llmcompressor_wanda_of(layer: Layer, pattern: dict[str, Any]) -> Tensor:
        return llmcompressor_wanda(
            folder, layer.weight, layer.statistics.mean_squares.clone(), **pattern
        )

    def llmcompressor_sparsegpt_of(layer: Layer, pattern: dict[str, Any]) -> Tensor:
        return llmcompressor_sparsegpt(folder, layer.weight, layer.hessian, 128, **pattern)

    def sparsegpt_of(layer: Layer, pattern: dict[str, Any]) -> Tensor:
        return sparsegpt(folder, layer.weight, layer.hessian, 128, **pattern)

    return {
        "llm-compressor Wanda": Peer(llmcompressor_wanda_of),
        "llm-compressor SparseGPT": Peer(llmcompressor_sparsegpt_of),
        "SparseGPT, authors": Peer(sparsegpt_of),
    }


PAIRS = {
    "llm-compressor Wanda": methods.Wanda(),
    "llm-compressor SparseGPT": methods.SparseGPT(),
    "SparseGPT, authors": methods.SparseGPT(),
}


def layers_of_block(
    turn: int, *texts_of: Callable[[Any], Tensor]
) -> Iterator[tuple[str, Tensor, list[InputStatistics]]]:
    """The weights of the linear layers of a dense block of SmolLM2, and what they read in texts.

    Each text is a function of the tokenizer, to windows.
    """
    model, tokenizer = smollm2()
    layers = dict(linear_layers(model.get_submodule(f"model.layers.{turn}")))
    found = []
    for text in texts_of:
        with gathering(layers) as seen, torch.no_grad():
            model.get_submodule("model")(text(tokenizer), use_cache=False)
        found.append(seen)
    for name, module in layers.items():
        yield name, module.get_parameter("weight").detach(), [seen[name] for seen in found]


def agreement(folder: Path, turn: int = 10) -> None:
    """Print by layer, pattern and peer how near the weights are, and the times."""
    own, theirs = PAIRS, peers(folder)
    print("layer, pattern, peer: equal zeros, difference of weights, error ours / theirs, time")
    windows = functools.partial(texts.calibration, count=4)
    for name, weight, (seen,) in layers_of_block(turn, windows):
        for structure in (None, NofM(2, 4)):
            for peer, ours in own.items():
                layer = Layer(name, weight, seen, structure or ours.on, 0.5)
                seen.inverse_root(DAMPING)
                (mine, seconds), (other, their_seconds) = (
                    timed(ours, layer),
                    timed(theirs[peer], layer),
                )
                equal = float((mine.mask == other.mask).float().mean())
                off = float((mine.weight * mine.mask - other.weight).norm() / other.weight.norm())
                errors = f"{layer.error(mine.weight):.5f} / {layer.error(other.weight):.5f}"
                pattern = "50%" if structure is None else "2:4"
                times = f"{seconds / their_seconds:.2f}"
                print(f"{name:20} {pattern} {peer:26} {equal:8.4%} {off:9.2e} {errors} {times}")


def timed(method: Method, layer: Layer) -> tuple[Solved, float]:
    begun = time.process_time()
    return method.solve(layer), time.process_time() - begun


if __name__ == "__main__":
    agreement(Path(sys.argv[1]))
