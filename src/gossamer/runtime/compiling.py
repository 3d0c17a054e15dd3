"""Compiling: a trained sparse model whose layers run on compact layouts, where that is faster."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod

from gossamer.nn.hooks import has_hooks
from gossamer.nn.language.architectures import is_transposed
from gossamer.nn.memory import parameter_bytes
from gossamer.runtime.alike import Chooser
from gossamer.runtime.candidates import OBJECTIVES, VALUES, Options, replaceable
from gossamer.runtime.candidates.attention import opened
from gossamer.runtime.candidates.linear import as_linear
from gossamer.runtime.choosing import Choice, allowance
from gossamer.runtime.compile_report import ATTRIBUTE, CompileReport, Row
from gossamer.runtime.example_calls import Call, Example, deviation, example_calls
from gossamer.runtime.fusing import fold_norms, fuse_activations, readers
from gossamer.runtime.layout_module import LayoutModule
from gossamer.runtime.racing import race
from gossamer.runtime.swapping import copied, put_in
from gossamer.runtime.threads import checked_threads
from gossamer.runtime.tying import tied

# By which share of the largest output the outputs may differ: rounding, for weights as they are.
TOLERANCES = {"float32": 1e-4, "bfloat16": 0.05, "int8": 0.05}
_SECONDS = 0.5  # to measure a whole model


def compile(
    model: nn.Module,
    example_inputs: Tensor | Sequence[Any] | Mapping[str, Any],
    objective: str = "latency",
    *,
    values: str = "float32",
    threads: int | None = None,
    tolerance: float | None = None,
    progress: Callable[[str], Any] | None = None,
) -> nn.Module:
    """A copy of a sparse model that runs faster on this machine's CPU, for inference.

    Each layer with zeros is measured against the runtime modules that could take its place, in the
    layouts that the cost model finds promising, on what it sees of the example. The fastest stays:
    where that is the layer itself, it stays as it is. Batch norms are folded into the layers before
    them, and a ReLU or the like that alone reads a replaced layer's result becomes part of it. In
    the end the model is measured as a whole, and where it got slower (with ``"memory"``: by more
    than its layers may), replacements are taken back.

    Parameters
    ----------
    model : nn.Module
        Left as it is. Its zeros are what counts, however they came about: ``gs.nn.prune``,
        ``SparseTraining``, ``finalise()`` of ``gs.nn.sparsify``. float32, on the CPU: call
        ``float()`` of a language model that was loaded in bfloat16, and give ``values``.
    example_inputs : tensor, sequence of the forward method's arguments, or mapping by their names
        Of the size that matters: one sample where latency of single requests does, a batch where
        throughput does. The result takes other sizes too, at most as fast as it can with the
        layouts that were chosen for this one.
    objective : {"latency", "memory"}
        ``"memory"`` takes the fewest bytes in place of the shortest time, among what costs at most
        1 % of the model's time more than the layer itself.
    values : {"float32", "bfloat16", "int8"}
        The least precise type in which weights may be stored, where that is faster or smaller; sums
        are float32 always. int8 values have a scale for each input. With rounded values layers
        without zeros can gain too.
    threads : int, optional
        How many may share a layer's work; by default as many as ``torch.get_num_threads()`` says at
        the time of the call.
    tolerance : float, optional
        Largest difference of a layer's output, and of the model's, as a share of its largest
        number. Rounding of other orders of summation is below the default of 1e-4; 0.05 with
        values that are rounded.
    progress : function of a text, optional
        Called with each layer's name before it is measured: ``print``.

    Returns
    -------
    nn.Module
        Of the model's own class, in evaluation mode, with other modules in some places; nothing in
        it trains. :func:`gossamer.runtime.report` tells what became of each layer.
        :func:`gossamer.nn.save_model` saves it in as few bytes as it has, and
        :func:`gossamer.nn.load_model` reads it. Shared weights stay shared where both places got
        the same layout.

    Raises
    ------
    ValueError
        For parametrised or masked weights, another device, outputs that differ by more than the
        tolerance or from call to call.

    Examples
    --------
    >>> import torch, gossamer as gs
    >>> model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 16))
    >>> _ = gs.nn.prune(model, keep=0.1, on=gs.Blocks((16, 1)))
    >>> x = torch.randn(1, 784)
    >>> fast = gs.compile(model, x)
    >>> bool(torch.allclose(fast(x), model(x), atol=1e-5))
    True
    >>> print(gs.runtime.report(fast))  # doctest: +SKIP
    """
    options = _options(objective, values, threads)
    limit = _limit(values, tolerance)
    _check(model)
    example = Example.of(example_inputs)
    before = copied(model).eval().requires_grad_(False)
    plan = _Plan.of(deepcopy(before), example)
    found = plan.choices(options, limit, race([partial(example.run, before)])[0], progress)
    with torch.no_grad():
        expected = example.run(before)
        fast, times, used = _fastest(before, plan, found, example, options)
        apart = deviation(example.run(fast), expected)
        steady = apart <= limit or deviation(example.run(before), expected) <= limit
    if not steady:
        raise ValueError(
            "model gives other outputs at each call with example_inputs: by chance, by a state "
            "that it keeps, or as it changes its inputs. Compile the part of it that does not."
        )
    if apart > limit:
        worst = max(used, key=lambda choice: choice.deviation, default=None)
        layer = "" if worst is None else f" Of its layers {worst.row.name!r} differs most."
        raise ValueError(
            f"the outputs differ by {apart:.2g} of the largest, more than the tolerance of "
            f"{limit:.2g}.{layer} Allow more by the argument tolerance, or ask for more precise "
            "values."
        )
    rows = [choice.row if choice in used else choice.dense_row for choice in found]
    setattr(fast, ATTRIBUTE, _report(model, before, fast, rows, times, apart).to_dict())
    return fast


class _Plan:
    """The dense model with all its layers in the open, its norms folded, and what they see."""

    def __init__(self, model: nn.Module, originals: Mapping[str, nn.Module]) -> None:
        self.model, self.originals = model, originals
        self.calls: dict[nn.Module, Call] = {}
        self.follows: dict[nn.Module, nn.Module] = {}

    @classmethod
    def of(cls, model: nn.Module, example: Example) -> _Plan:
        names = {module: name for name, module in model.named_modules()}
        seen, _ = example_calls(model, names, example)
        made = {module: _opened(module, call) for module, call in seen.items()}
        new = {old: module for old, module in made.items() if module is not None}
        self = cls(put_in(model, new), {names[old]: old for old in new})
        calls, _ = example_calls(self.model, list(self.model.modules())[1:], example)
        self.model = fold_norms(self.model, calls)
        self.calls, _ = example_calls(self.model, self.model.modules(), example)
        self.follows = readers(self.model, self.calls)
        return self

    def choices(
        self,
        options: Options,
        tolerance: float,
        seconds: float,
        progress: Callable[[str], Any] | None,
    ) -> list[Choice]:
        """What should become of each layer that is of a known kind and was called."""
        names = {module: name for name, module in self.model.named_modules()}
        choose = Chooser(options, tolerance, seconds, parameter_bytes(self.model))
        found = []
        for module, call in self.calls.items():
            if not replaceable(module) or not _plainly_called(module, call):
                continue
            if progress is not None:
                progress(names[module])
            found.append(choose(names[module], module, call))
        return tied(found, self.calls, tolerance, seconds)

    def made(self, choices: Iterable[Choice]) -> nn.Module:
        """The model with these choices."""
        memo: dict[int, Any] = {}
        model = deepcopy(self.model, memo)
        copy = {module: memo[id(module)] for module in self.model.modules()}
        new = {choice.module: choice.replacement for choice in choices}
        place = {old: new.get(old) or copied for old, copied in copy.items()}
        model = put_in(model, {copy[old]: module for old, module in new.items() if module})
        follows = {place[first]: place[second] for first, second in self.follows.items()}
        calls = {place[module]: call for module, call in self.calls.items()}
        model = fuse_activations(model, follows, calls)
        closed = {
            module: deepcopy(self.originals[name])
            for name, module in model.named_modules()
            if name in self.originals
            and not any(isinstance(part, LayoutModule) for part in module.modules())
        }
        return put_in(model, closed)


def _fastest(
    before: nn.Module,
    plan: _Plan,
    choices: list[Choice],
    example: Example,
    options: Options,
) -> tuple[nn.Module, tuple[float, float], list[Choice]]:
    """The model with as many of the choices as do not make it slower as a whole than they may.

    Returns it, the times of the model before and of it, and the choices that it has.
    """
    found = _working(plan, [choice for choice in choices if choice.replacement], example)
    used = sorted(found, key=lambda choice: choice.gain, reverse=True)
    while True:
        fast = plan.made(used)
        old, new = race([partial(example.run, before), partial(example.run, fast)], _SECONDS)
        if new <= old * (1 + allowance(options) * len(used)):
            return fast, (old, new), used
        if not used:
            return before, (old, old), []
        used = used[: len(used) // 2]


def _opened(module: nn.Module, call: Call) -> nn.Module | None:
    """The same made of layers that can be replaced, for modules that compute as these do."""
    if isinstance(module, nn.MultiheadAttention):
        return opened(module, call.args, dict(call.kwargs))
    return as_linear(module) if is_transposed(module) else None


def _plainly_called(module: nn.Module, call: Call) -> bool:
    """Whether another module would see the same: positional arguments, and no hooks."""
    return not (call.kwargs or has_hooks(module))


def _working(plan: _Plan, choices: list[Choice], example: Example) -> list[Choice]:
    """The choices with which the model runs: it may read a layer's weight as well as call it."""

    def runs(some: list[Choice]) -> bool:
        try:
            example.run(plan.made(some))
        except AttributeError:
            return False
        return True

    return choices if runs(choices) else [choice for choice in choices if runs([choice])]


def _options(objective: str, values: str, threads: int | None) -> Options:
    for name, value, known in (("objective", objective, OBJECTIVES), ("values", values, VALUES)):
        if value not in known:
            raise ValueError(f"{name} must be one of {known}, got {value!r}.")
    return Options(objective, values, checked_threads(threads))


def _limit(values: str, tolerance: float | None) -> float:
    if tolerance is None:
        return TOLERANCES[values]
    if not isinstance(tolerance, int | float) or not tolerance >= 0:
        raise ValueError(f"tolerance must be a number, at least 0, or None, got {tolerance!r}.")
    return tolerance


def _check(model: nn.Module) -> None:
    if not isinstance(model, nn.Module) or isinstance(model, torch.jit.ScriptModule):
        raise TypeError(
            f"model must be an nn.Module that is not scripted, got {type(model).__name__}."
        )
    for name, module in model.named_modules():
        where = name or "the model"
        if hasattr(module, "parametrizations"):
            raise ValueError(
                f"{where} is parametrised: call finalise() of what sparsifies or trains it first, "
                "or remove_parametrizations of torch.nn.utils.parametrize."
            )
        if any(isinstance(hook, BasePruningMethod) for hook in module._forward_pre_hooks.values()):
            raise ValueError(
                f"{where} has masks of torch.nn.utils.prune: make its zeros permanent first, by "
                "torch.nn.utils.prune.remove(module, 'weight')."
            )
    for name, tensor in model.named_parameters():
        if tensor.device.type != "cpu":
            raise ValueError(f"{name} is on {tensor.device}: compile a model on the CPU.")
    kinds = {p.dtype for p in model.parameters() if p.ndim > 1}
    if kinds and kinds <= {torch.bfloat16, torch.float16}:
        warnings.warn(
            f"model computes in {', '.join(sorted(map(str, kinds)))}, for which there are no "
            "sparse layers: call model.float() before; values='bfloat16' stores as few bytes.",
            stacklevel=3,
        )


def _report(
    model: nn.Module,
    before: nn.Module,
    fast: nn.Module,
    rows: list[Row],
    times: tuple[float, float],
    apart: float,
) -> CompileReport:
    weights = [p for p in model.parameters() if p.ndim > 1]
    entries = sum(weight.numel() for weight in weights)
    nonzeros = sum(int(weight.count_nonzero()) for weight in weights)
    total = Row(
        name="",
        kind=type(model).__name__,
        sparsity=1 - nonzeros / entries if entries else 0.0,
        layout="",
        dense_seconds=times[0],
        seconds=times[1],
        dense_bytes=parameter_bytes(before),
        bytes=parameter_bytes(fast),
    )
    return CompileReport(tuple(rows), total, apart)
