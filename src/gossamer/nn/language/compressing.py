"""Compressing: a transformer's linear layers made sparse, block by block, without training."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gossamer.core.structure import Structure
from gossamer.nn.channels import evaluating
from gossamer.nn.language.architectures import (
    architecture_of,
    is_transposed,
    linear_layers,
    matrix_of,
)
from gossamer.nn.language.compression import Compression, Row
from gossamer.nn.language.journal import Done, Journal
from gossamer.nn.language.layer import Layer, Solved
from gossamer.nn.language.likelihood import check_tokens
from gossamer.nn.language.method import METHODS, Method
from gossamer.nn.language.quantisation import Quantised
from gossamer.nn.language.refining import BlockTuning
from gossamer.nn.language.statistics import InputStatistics
from gossamer.nn.language.stream import Stream, gathering
from gossamer.nn.pruning.masks import Masks
from gossamer.nn.pruning.recipe import pattern_of
from gossamer.nn.pruning.registries import piece_of
from gossamer.nn.rules import match, shares_of

Progress = Callable[[int, int], Any]
On = Structure | str | Mapping[Any, Structure | str | None]


def compress(
    model: nn.Module,
    calibration: Tensor,
    method: str | Method = "wanda",
    *,
    keep: float | Mapping[str, float] = 0.5,
    on: On | None = None,
    blocks: str | None = None,
    refine: BlockTuning | None = None,
    batch_size: int = 4,
    folder: str | Path | None = None,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> Compression:
    r"""Make the linear layers of a transformer's blocks sparse, in place and without training.

    Block by block, the inputs X of each layer are gathered on the calibration text, and a method
    chooses a sparse weight U that nearly gives the same outputs,

    .. math:: \min_U \|(W - U) X\|_F^2 \quad \text{s.t. } U \text{ has at most so many units},

    before the next block gets what the sparse one puts out, so that later layers make up for
    earlier ones. Memory holds the model, the statistics of one block and one batch; hidden states
    lie in a file.

    Parameters
    ----------
    model : nn.Module
        A Hugging Face model or one's own; changed in place. Embeddings, norms and the output layer
        stay as they are.
    calibration : (n, length) integer tensor
        Windows of tokens, such as :func:`gossamer.nn.language.tokens_of` makes.
    method : str or Method, default "wanda"
        A name of ``gs.nn.language.methods`` or one with settings.
    keep : float in (0, 1], or mapping of patterns of layer names to such, default 0.5
        Share of the weights that stays in each layer. The first pattern that fits counts.
    on : Structure, pattern such as "2:4" or "16x1", or mapping of such by rules, optional
        What lives or dies together; by default the method's own choice. In rules, None leaves
        layers alone.
    blocks : str, optional
        Path of the list of blocks in a model of an unknown kind.
    refine : BlockTuning, optional
        Train what stays in each block until it puts out what the dense model has there, before the
        next block is looked at.
    batch_size : int, default 4
        Windows at a time.
    folder : path, optional
        For work that can be interrupted: what is done is saved there after each block, and the same
        call goes on from it. Hidden states lie there too: 4 bytes n length width, twice.
    device : optional
        Where blocks run one at a time, such as "cuda"; by default where they are.
    progress : function of (blocks done, blocks in all), optional

    Returns
    -------
    Compression
        ``print`` it. Its ``masks`` keep the zeros while one trains on.

    Raises
    ------
    ValueError
        For unknown names, structures that do not fit a layer, shares outside of (0, 1], layers that
        no token reaches, weights or inputs that are not finite, a folder of other work.
    TypeError
        For tokens that are none.

    References
    ----------
    Frantar and Alistarh (2023), SparseGPT: massive language models can be accurately pruned in
    one-shot.

    Examples
    --------
    >>> import gossamer as gs
    >>> class Block(nn.Sequential):
    ...     def forward(self, x):
    ...         return x + super().forward(x)
    >>> stack = [Block(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8)) for _ in range(2)]
    >>> class Model(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.embedding, self.blocks = nn.Embedding(10, 8), nn.ModuleList(stack)
    ...     def forward(self, tokens):
    ...         x = self.embedding(tokens)
    ...         for block in self.blocks:
    ...             x = block(x)
    ...         return x @ self.embedding.weight.T
    >>> tokens = torch.randint(10, (4, 12))
    >>> compression = gs.nn.language.compress(Model(), tokens, "magnitude", keep=0.25)
    >>> compression.sparsity
    0.75
    """
    check_tokens("calibration", calibration)
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size must be an integer >= 1, got {batch_size!r}.")
    piece = piece_of(METHODS, method, Method)
    plan = plan_of(model, piece, keep, on, blocks)
    where = torch.device(device or next(plan.stack.parameters()).device)
    with _workspace(folder) as place, evaluating(model):
        journal = Journal.open(place, plan.fingerprint(model, piece, calibration, refine))
        stream = Stream(model, plan.stack, calibration, place, batch_size, where)
        dense = None if refine is None else stream.beside("dense")
        rows, masks, quantised = _resumed(plan, journal)
        if journal.done == 0:
            for each in filter(None, (stream, dense)):
                each.begin()
        count = len(plan.stack)
        for turn in range(journal.done, count):
            if progress is not None:
                progress(turn, count)
            with _placed(plan.stack[turn], where):
                if dense is not None:
                    dense.advance(turn)
                done = _compress_block(plan, turn, piece, stream, rows)
                if refine is not None and dense is not None:
                    prefix, targets = f"{plan.path}.{turn}.", dense.states(turn + 1)
                    error = refine.tune(plan.stack[turn], prefix, done, stream, turn, targets)
                    for row in rows[-len(done.masks) :]:
                        row.facts["block_error"] = error
                if turn + 1 < count:
                    stream.advance(turn)
            done.state = _state(plan.stack[turn])
            masks |= done.masks
            quantised |= done.quantised
            journal.note(turn, rows, done)
        if progress is not None:
            progress(count, count)
    named = {name: model.get_parameter(name) for name in masks}
    return Compression(
        Masks(model, {named[name]: mask.to(named[name].device) for name, mask in masks.items()}),
        tuple(rows),
        type(piece).__name__,
        quantised,
    )


@dataclass(frozen=True, eq=False)
class Plan:
    """Which layers of which blocks are compressed, in which structure, and how far."""

    path: str
    stack: nn.ModuleList
    structures: dict[str, Structure]
    shares: dict[str, float]

    def layers(self, turn: int) -> dict[str, nn.Module]:
        """The layers of a block, by their full names."""
        found = linear_layers(self.stack[turn], f"{self.path}.{turn}")
        return {name: module for name, module in found if name in self.shares}

    def fingerprint(
        self, model: nn.Module, method: Method, calibration: Tensor, refine: BlockTuning | None
    ) -> dict[str, str]:
        """What tells this work from another; the same before the work and in the middle of it."""
        inside = [layer for turn in range(len(self.stack)) for layer in self.layers(turn).values()]
        changed = {id(layer.weight) for layer in inside}
        fixed = [p for p in model.parameters() if p.ndim and id(p) not in changed]
        return {
            "method": repr(method),
            "refine": repr(refine),
            "structures": repr(self.structures),
            "shares": repr(self.shares),
            "calibration": f"{tuple(calibration.shape)} {int(calibration.long().sum())}",
            "model": repr([float(p.detach().double().sum()) for p in fixed]),
        }


def plan_of(
    model: nn.Module,
    method: Method,
    keep: float | Mapping[str, float],
    on: On | None,
    blocks: str | None,
) -> Plan:
    """The layers that are asked for, with their structures and shares."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}.")
    path = architecture_of(model, blocks).blocks
    stack: Any = model.get_submodule(path)
    inside = {id(module): name for name, module in linear_layers(stack, path)}
    rules: dict[Any, Structure | None] = {lambda _, module: id(module) not in inside: None}
    for key, value in _rules(method.on if on is None else on).items():
        rules[key] = _structure(value)
    with _trainable(stack):
        found = match(model, rules, Structure, '{"*": gs.Elements()}')
    structures = {inside[id(at.module)]: at.penalty for at in found if at.tensor_name == "weight"}
    shares = shares_of(structures, keep)
    if not shares:
        raise ValueError(f"keep={keep!r} fits no layer, such as {next(iter(structures))!r}.")
    for name in shares:  # a structure that does not fit is refused before any work
        structures[name].tiling(tuple(matrix_of(model.get_submodule(name)).shape))
    return Plan(path, stack, structures, shares)


def _rules(on: On) -> Mapping[Any, Structure | str | None]:
    return on if isinstance(on, Mapping) else {"*": on}


def _structure(value: Structure | str | None) -> Structure | None:
    if not isinstance(value, str):
        return value
    pattern = pattern_of(value)
    if pattern is None:
        raise ValueError(
            f'on must be a structure or a pattern such as "2:4" or "16x1", got {value!r}.'
        )
    return pattern


@contextmanager
def _trainable(stack: nn.Module) -> Iterator[None]:
    """Rules pass over parameters that are frozen; no training is meant here."""
    before = [(p, p.requires_grad) for p in stack.parameters()]
    for parameter, _ in before:
        parameter.requires_grad_(parameter.is_floating_point())
    try:
        yield
    finally:
        for parameter, learned in before:
            parameter.requires_grad_(learned)


def _compress_block(plan: Plan, turn: int, method: Method, stream: Stream, rows: list[Row]) -> Done:
    """Solve the layers of one block."""
    layers = plan.layers(turn)
    with gathering(layers) as seen:
        for _ in stream.run(turn):
            pass
    done = Done({}, {}, {})
    for name, module in layers.items():
        begun = time.perf_counter()
        layer = _layer(name, module, plan, seen)
        solved = method.solve(layer)
        _write(module, solved)
        seconds = time.perf_counter() - begun
        rows.append(Row.of(layer, solved, seconds))
        mask = solved.mask.T if is_transposed(module) else solved.mask
        done.masks[f"{name}.weight"] = mask.contiguous().cpu()
        if solved.quantised is not None:
            done.quantised[name] = solved.quantised
    return done


def _layer(name: str, module: nn.Module, plan: Plan, seen: dict[str, InputStatistics]) -> Layer:
    weight = matrix_of(module).to(torch.float32, copy=True).contiguous()
    if name not in seen:
        raise ValueError(
            f"{name!r} is not reached by any token of the calibration: give more text, or leave it "
            f"alone by on={{{name!r}: None, ...}}."
        )
    for what, tensor in (("weights", weight), ("inputs", seen[name].gram)):
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"{name!r} has {what} that are not finite: the model is broken there.")
    return Layer(name, weight, seen[name], plan.structures[name], plan.shares[name])


@torch.no_grad()
def _write(module: nn.Module, solved: Solved) -> None:
    matrix_of(module).copy_(solved.weight * solved.mask)


def _state(block: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu() for name, tensor in block.state_dict().items()}


def _resumed(
    plan: Plan, journal: Journal
) -> tuple[list[Row], dict[str, Tensor], dict[str, Quantised]]:
    """What earlier work has done, put into the model."""
    masks: dict[str, Tensor] = {}
    quantised: dict[str, Quantised] = {}
    for turn in range(journal.done):
        done = journal.block(turn)
        plan.stack[turn].load_state_dict(done.state)
        masks |= done.masks
        quantised |= done.quantised
    return [Row(**row) for row in journal.rows], masks, quantised


@contextmanager
def _placed(block: nn.Module, device: torch.device) -> Iterator[None]:
    """A block on the device where it is worked on, for a while."""
    home = next(block.parameters()).device
    block.to(device)
    try:
        yield
    finally:
        block.to(home)


def _workspace(folder: str | Path | None) -> AbstractContextManager[Path]:
    """The user's folder, or one that is gone afterwards."""
    if folder is None:
        return _temporary()
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    return nullcontext(place)


@contextmanager
def _temporary() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gossamer-") as name:
        yield Path(name)
