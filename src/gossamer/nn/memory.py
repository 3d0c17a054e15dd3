"""Memory: bytes of a model's tensors, and of what it makes on the way to its outputs and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from gossamer.nn.channels import evaluating, positional


def parameter_bytes(model: nn.Module) -> int:
    """Bytes of a model's parameters and buffers, tied ones once.

    >>> parameter_bytes(nn.Linear(3, 4))
    64
    """
    tensors = [*model.parameters(), *model.buffers()]
    storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage() for tensor in tensors}
    return sum(storage.nbytes() for storage in storages.values())


def peak_activation_bytes(model: nn.Module, example_inputs: Tensor | Sequence[Any]) -> int:
    """Most bytes that a forward pass without gradients holds at a time, beside model and inputs.

    Counted are the tensors between operators, not what an operator needs inside. Fused operators
    thus count less than the same computation spelled out.

    Examples
    --------
    >>> wide = nn.Sequential(nn.Linear(4, 100), nn.ReLU(inplace=True), nn.Linear(100, 2))
    >>> peak_activation_bytes(wide, torch.zeros(1, 4))  # 100 and 2 numbers of 4 bytes
    408
    """
    inputs = positional(example_inputs)
    given = [leaf for leaf in torch.utils._pytree.tree_leaves(inputs) if isinstance(leaf, Tensor)]
    live = _Live([*model.parameters(), *model.buffers(), *given])
    with evaluating(model), torch.no_grad(), live:
        model(*inputs)
    return live.peak


def backward_bytes(model: nn.Module, loss: Callable[[], Tensor]) -> int:
    """Bytes that a forward pass leaves for the backward pass, beside the model's own tensors.

    Tensors that share memory count once, and a view counts as all that it keeps alive.

    Parameters
    ----------
    model : nn.Module
    loss : function without arguments
        Computes what :meth:`torch.Tensor.backward` would start from; called once.

    Examples
    --------
    >>> layer, x = nn.Linear(4, 2, bias=False), torch.ones(10, 4)
    >>> backward_bytes(layer, lambda: layer(x).sum())  # x: 40 numbers of 4 bytes
    160
    >>> backward_bytes(layer.requires_grad_(False), lambda: layer(x).sum())
    0
    """
    known = {t.untyped_storage()._cdata for t in (*model.parameters(), *model.buffers())}
    held: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            held[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss()
    return sum(storage.nbytes() for storage in held.values())


class _Live(TorchDispatchMode):
    """Follows the tensors that operators make, until nobody holds them."""

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()
        self.peak = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in known}
        self._made: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        self._made = {key: item for key, item in self._made.items() if not item[0].expired()}
        for leaf in torch.utils._pytree.tree_leaves(out):
            if isinstance(leaf, Tensor) and leaf.layout == torch.strided:
                storage = leaf.untyped_storage()
                if storage._cdata not in self._known:
                    self._made[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self.peak = max(self.peak, sum(size for _, size in self._made.values()))
        return out
