"""Where the parts of a transformer lie: one table for all the shapes that are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Architecture:
    """The names of a transformer's parts.

    Attributes
    ----------
    blocks : str
        Path of the list of blocks; below a model's own prefix, such as ``bert.``.
    queries_keys_values : tuple of str
        Within a block, what makes queries, keys and values: three layers, or one for all.
    mixing : str
        The layer that reads all heads.
    widening : tuple of str
        What makes the hidden units of the MLP, gate first.
    narrowing : str
        What reads them.
    norms : tuple of str
        Of each block, before attention and before the MLP, where nothing else reads the residual
        stream; for families with root-mean-square norms.
    embedding, last_norm : str
        Beside the list of blocks: what begins the residual stream, and the norm after it.
    """

    blocks: str
    queries_keys_values: tuple[str, ...] = ()
    mixing: str = ""
    widening: tuple[str, ...] = ()
    narrowing: str = ""
    norms: tuple[str, ...] = ()
    embedding: str = ""
    last_norm: str = ""

    @property
    def layers(self) -> tuple[str, ...]:
        """All of them, in the order in which a block computes."""
        names = (*self.queries_keys_values, self.mixing, *self.widening, self.narrowing)
        return tuple(name for name in names if name)


#: a further family of models is a further line
ARCHITECTURES = (
    Architecture(  # Llama, Mistral, Qwen, Gemma, SmolLM
        "model.layers",
        ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "self_attn.o_proj",
        ("mlp.gate_proj", "mlp.up_proj"),
        "mlp.down_proj",
        ("input_layernorm", "post_attention_layernorm"),
        "embed_tokens",
        "norm",
    ),
    Architecture(  # OPT
        "model.decoder.layers",
        ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "self_attn.out_proj",
        ("fc1",),
        "fc2",
    ),
    Architecture("transformer.h", ("attn.c_attn",), "attn.c_proj", ("mlp.c_fc",), "mlp.c_proj"),
    Architecture(  # GPT-NeoX, Pythia
        "gpt_neox.layers",
        ("attention.query_key_value",),
        "attention.dense",
        ("mlp.dense_h_to_4h",),
        "mlp.dense_4h_to_h",
    ),
    Architecture(  # BERT, RoBERTa, MiniLM
        "encoder.layer",
        ("attention.self.query", "attention.self.key", "attention.self.value"),
        "attention.output.dense",
        ("intermediate.dense",),
        "output.dense",
    ),
)


def architecture_of(model: nn.Module, blocks: str | None = None) -> Architecture:
    """The architecture of a model, with the full path of its blocks.

    Parameters
    ----------
    model : nn.Module
    blocks : str, optional
        Path of the list of blocks, for models of another kind. By default that of the table which
        fits, or else the only list of two or more modules of one class.

    Raises
    ------
    ValueError
        Where nothing fits, with what could be meant.

    Examples
    --------
    >>> model = nn.ModuleDict({"steps": nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])})
    >>> architecture_of(model).blocks
    'steps'
    """
    lists = {name: module for name, module in model.named_modules() if _is_stack(module)}
    if blocks is not None and blocks not in lists:
        raise ValueError(
            f"blocks must be the path of an nn.ModuleList of modules of one class, got {blocks!r}. "
            f"The model has: {', '.join(map(repr, lists)) or 'none'}."
        )
    asked = lists if blocks is None else {blocks: lists[blocks]}
    for known in ARCHITECTURES:
        for name, stack in asked.items():
            fits = f".{name}".endswith(f".{known.blocks}") or name == blocks
            if fits and set(known.layers) <= {n for n, _ in stack[0].named_modules()}:
                return replace(known, blocks=name)
    outermost = [n for n in asked if not any(n.startswith(f"{other}.") for other in asked)]
    if len(outermost) != 1:
        raise ValueError(
            "The blocks of this model are not known: give their path by blocks=. It could be one "
            f"of: {', '.join(map(repr, outermost)) or 'none, as there is no nn.ModuleList'}."
        )
    return Architecture(outermost[0])


def _is_stack(module: nn.Module) -> bool:
    """Whether a module is a list of modules of one class."""
    return isinstance(module, nn.ModuleList) and len({type(block) for block in module}) == 1


def linear_layers(block: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The layers of a block that multiply by a matrix, with their names."""
    for name, module in block.named_modules(prefix=prefix):
        if is_linear(module):
            yield name, module


def is_linear(module: nn.Module) -> bool:
    """Whether a layer is linear, of PyTorch or the transposed one of transformers."""
    return isinstance(module, nn.Linear) or is_transposed(module)


def is_transposed(module: nn.Module) -> bool:
    """Whether a layer stores its weight as (inputs, outputs), as those of GPT-2 do."""
    return type(module).__name__ == "Conv1D" and isinstance(getattr(module, "nf", None), int)


def matrix_of(module: nn.Module) -> Tensor:
    """(outputs, inputs) view of a layer's weight."""
    weight: Any = module.weight.detach()  # type: ignore[operator]
    return weight.T if is_transposed(module) else weight
