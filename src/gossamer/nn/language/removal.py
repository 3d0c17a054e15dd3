"""Removal: heads and neurons taken out of a transformer's blocks, which become smaller."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gossamer.core.validation import finite_number
from gossamer.nn.channels import evaluating
from gossamer.nn.language.architectures import Architecture, architecture_of
from gossamer.nn.language.column_groups import refitted, surviving_groups
from gossamer.nn.language.layer import Layer
from gossamer.nn.language.likelihood import check_tokens
from gossamer.nn.language.quadratic import Quadratic, check_positive
from gossamer.nn.language.statistics import InputStatistics
from gossamer.nn.language.stream import Stream, gathering
from gossamer.structures import Elements


@dataclass(frozen=True)
class Shrunk:
    """One layer that reads less than before.

    Attributes
    ----------
    name : str
    units, left : int
        Heads or neurons that it has read, and reads now.
    error : float
        Of its outputs on the calibration text, relative to their norm.
    """

    name: str
    units: int
    left: int
    error: float


@dataclass(frozen=True)
class Removal:
    """What :func:`remove` did.

    Attributes
    ----------
    parameters : (int, int)
        Of the model before and after.
    layers : tuple of Shrunk
    """

    parameters: tuple[int, int]
    layers: tuple[Shrunk, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a file."""
        return {"parameters": self.parameters, "layers": [asdict(layer) for layer in self.layers]}


@torch.no_grad()
def remove(
    model: nn.Module,
    calibration: Tensor,
    *,
    heads: float = 1.0,
    neurons: float = 1.0,
    ridge: float = 0.01,
    batch_size: int = 4,
) -> Removal:
    r"""Take whole heads and neurons out of a Llama-like model, in place and without training.

    Block by block, the layer that reads them is solved for as few as may stay,

    .. math:: \min_U \|(W - U) X\|_F^2 \quad \text{s.t. columns of removed units are zero,}

    one unit after the other, with what the others must do instead; then the rows that made them and
    the columns that read them are gone. Heads that share keys and values are one unit. All blocks
    keep as many, so that the configuration says the sizes, and the saved model loads by
    ``from_pretrained``: a dense, smaller and faster model.

    Parameters
    ----------
    model : nn.Module
        A Hugging Face model of the shape of Llama: separate queries, keys and values, a gate, and a
        configuration; changed in place.
    calibration : (n, length) integer tensor
    heads, neurons : float in (0, 1], default 1
        Share that stays of the groups of heads, and of the units in the MLPs; one at least.
    ridge : float > 0, default 0.01
        Relative to the mean of the diagonal of X X'.
    batch_size : int, default 4
        Windows at a time.

    Returns
    -------
    Removal

    Raises
    ------
    ValueError
        For shares out of their range, and models of another shape.

    References
    ----------
    Kurtic, Frantar and Alistarh (2023), ZipLM: inference-aware structured pruning of language
    models. Ling, Wang, Yan and Liu (2024), SlimGPT: layer-wise structured pruning for large
    language models.

    Examples
    --------
    .. code-block:: python

        removal = gs.nn.language.remove(model, calibration, neurons=0.75)
        model.save_pretrained("smaller")
    """
    check_tokens("calibration", calibration)
    check_positive("ridge", ridge)
    for name, share in (("heads", heads), ("neurons", neurons)):
        if not 0 < finite_number(share, name) <= 1:
            raise ValueError(f"{name} must be a share in (0, 1], got {share!r}.")
    sizes = Sizes.of(model)
    before = sum(parameter.numel() for parameter in model.parameters())
    stack: Any = model.get_submodule(sizes.architecture.blocks)
    left = sizes.kept(heads, neurons)
    layers: list[Shrunk] = []
    device = next(model.parameters()).device
    with tempfile.TemporaryDirectory(prefix="gossamer-") as place, evaluating(model):
        stream = Stream(model, stack, calibration, Path(place), batch_size, device)
        stream.begin()
        for turn, block in enumerate(stack):
            for reads in (r for r in sizes.readers(left) if r.left < r.units):
                reader = block.get_submodule(reads.reader)
                name = f"{sizes.architecture.blocks}.{turn}.{reads.reader}"
                with gathering({name: reader}) as seen:
                    for _ in stream.run(turn):
                        pass
                layers.append(_shrink(block, name, reads, seen[name], ridge))
            if turn + 1 < len(stack):
                stream.advance(turn)
    left.write(model)
    after = sum(parameter.numel() for parameter in model.parameters())
    return Removal((before, after), tuple(layers))


@dataclass(frozen=True)
class Reads:
    """A layer that reads units, and the layers that make them.

    Attributes
    ----------
    makers : pairs (path, rows of a unit)
    """

    reader: str
    makers: tuple[tuple[str, int], ...]
    width: int
    units: int
    left: int


@dataclass(frozen=True)
class Sizes:
    """How many heads and neurons the blocks of a model have."""

    architecture: Architecture
    heads: int
    groups: int
    head_dim: int
    neurons: int

    @classmethod
    def of(cls, model: nn.Module) -> Sizes:
        known = architecture_of(model)
        config: Any = getattr(model, "config", None)
        needed = ("num_attention_heads", "num_key_value_heads", "intermediate_size", "hidden_size")
        fits = len(known.queries_keys_values) == 3 and len(known.widening) == 2
        if not fits or any(getattr(config, name, None) is None for name in needed):
            raise ValueError(
                f"remove takes models of the shape of Llama, with {', '.join(needed)} in their "
                f"configuration, not {type(model).__name__}. Use gs.nn.prune with Channels() and "
                "gs.nn.shrink."
            )
        heads = config.num_attention_heads
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
        return cls(known, heads, config.num_key_value_heads, head_dim, config.intermediate_size)

    def kept(self, heads: float, neurons: float) -> Sizes:
        """With these shares of them."""
        groups = max(1, round(heads * self.groups))
        several = self.heads // self.groups
        count = max(1, round(neurons * self.neurons))
        return Sizes(self.architecture, groups * several, groups, self.head_dim, count)

    def readers(self, left: Sizes) -> tuple[Reads, Reads]:
        """Attention first: what the MLP reads depends on it."""
        known, together = self.architecture, self.heads // self.groups * self.head_dim
        queries, keys, values = known.queries_keys_values
        attention = ((queries, together), (keys, self.head_dim), (values, self.head_dim))
        hidden = tuple((name, 1) for name in known.widening)
        return (
            Reads(known.mixing, attention, together, self.groups, left.groups),
            Reads(known.narrowing, hidden, 1, self.neurons, left.neurons),
        )

    def write(self, model: nn.Module) -> None:
        """Into the configuration."""
        config: Any = model.config
        config.num_attention_heads, config.num_key_value_heads = self.heads, self.groups
        config.head_dim, config.intermediate_size = self.head_dim, self.neurons


def _shrink(
    block: nn.Module, name: str, reads: Reads, seen: InputStatistics, ridge: float
) -> Shrunk:
    """Take the units out of a layer that reads them and of those that make them."""
    reader: Any = block.get_submodule(reads.reader)
    layer = Layer(name, reader.weight.detach().float(), seen, Elements(), 1.0)
    problem = Quadratic.of(layer, ridge)
    alive = surviving_groups(problem, reads.width, reads.left)
    columns = alive.repeat_interleave(reads.width).nonzero()[:, 0]
    weight = refitted(problem, columns)
    error = layer.error(torch.zeros_like(layer.weight).index_copy(1, columns, weight))
    reader.weight = _like(reader.weight, weight)
    reader.in_features = len(columns)
    for path, width in reads.makers:
        maker: Any = block.get_submodule(path)
        rows = alive.repeat_interleave(width)
        maker.weight = _like(maker.weight, maker.weight[rows])
        if maker.bias is not None:
            maker.bias = _like(maker.bias, maker.bias[rows])
        maker.out_features = len(maker.weight)
    return Shrunk(name, reads.units, reads.left, error)


def _like(old: nn.Parameter, values: Tensor) -> nn.Parameter:
    """Values in the type of a parameter."""
    return nn.Parameter(values.detach().to(old.dtype).clone(), requires_grad=old.requires_grad)
