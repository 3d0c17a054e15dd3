"""Moves of a module to other types and devices, which kernels for float32 on the CPU refuse."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


def refuse_moves(module: nn.Module, fn: Callable[[Tensor], Tensor], remedy: str) -> None:
    """Raise where ``fn``, as ``nn.Module._apply`` takes it, would give a tensor another type.

    Raises
    ------
    TypeError
        Also for another device. It says the remedy.
    """
    parameters = module.named_parameters(recurse=False)
    for name, tensor in (*parameters, *module.named_buffers(recurse=False)):
        made = fn(tensor)
        if made.dtype != tensor.dtype or made.device.type != "cpu":
            raise TypeError(
                f"{type(module).__name__}.{name} cannot become {made.dtype} on {made.device}: "
                f"the layer computes float32 on the CPU. {remedy}"
            )
