"""LayoutModule: a layout inside a torch module, saved, copied and sent like any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from gossamer.runtime.layout import Layout, checked_bias, restored
from gossamer.runtime.moves import refuse_moves
from gossamer.runtime.product import BOUNDLESS, Bounds
from gossamer.runtime.threads import checked_threads

# The layout, the bias (zeros where there is none) and the bounds, as products take them.
Views = tuple[Layout, np.ndarray, Bounds]

# Each is asked at each call.
_is_tracing, _is_transforming = torch._C._is_tracing, torch._C._are_functorch_transforms_active

# pickle cannot read torch's unsigned types back.
_SIGNED = {"uint16": "int16", "uint32": "int32", "uint64": "int64"}


def watched(x: Tensor) -> bool:
    """Whether torch follows what becomes of a tensor, and so must see its own operations.

    For a gradient, for derivatives forward, for ``torch.func`` and for ``torch.jit.trace``, which
    would take a result of numpy's for a constant.
    """
    return (
        (x.requires_grad and torch.is_grad_enabled())
        or forward_ad._current_level >= 0
        or _is_tracing()
        or _is_transforming()
    )


def admitted(x: Tensor) -> Tensor:
    """An input that numpy can see, where gradients are not wanted.

    Raises
    ------
    TypeError
        For other types than float32, unless torch is in autocast.
    """
    if x.dtype != torch.float32:
        if not torch.is_autocast_enabled("cpu"):
            raise TypeError(f"x must be float32, got {x.dtype}: compiled layers compute float32.")
        x = x.float()
    return x.detach()


class LayoutModule(nn.Module):
    """A module whose weight is a :class:`Layout`: base of the runtime modules.

    The arrays of the layout are buffers under their own names, so that ``state_dict``, copies,
    pickles and :func:`gossamer.nn.save_model` hold just them; all else is plain data. The weight is
    fixed: nothing here trains.

    Parameters
    ----------
    layout : Layout
    bias : (rows,) tensor, optional
        Kept as float32.
    bounds : Bounds
        Of the results: an activation that was fused.
    threads : int, optional
        How many may share a product; by default as many as torch has at the time of the call.

    Examples
    --------
    >>> from gossamer.runtime import CSR
    >>> weight = np.array([[0.0, 2.0], [1.0, 0.0]], np.float32)
    >>> module = LayoutModule(CSR.build(weight))
    >>> sorted(module.state_dict()), module.dense_weight()
    (['columns', 'starts', 'values'], tensor([[0., 2.], [1., 0.]]))
    """

    # What numpy sees of the buffers: a slot, so that it is neither copied nor saved.
    __slots__ = ("_views",)

    bias: Tensor | None

    def __init__(
        self,
        layout: Layout,
        bias: Tensor | None = None,
        bounds: Bounds = BOUNDLESS,
        threads: int | None = None,
    ) -> None:
        super().__init__()
        self.layout_name = type(layout).__name__
        self.layout_numbers = {name: _plain(value) for name, value in layout.numbers().items()}
        self.layout_arrays = {name: str(array.dtype) for name, array in layout.arrays().items()}
        self.low, self.high = float(bounds.low), float(bounds.high)
        self.threads = checked_threads(threads)
        for name, array in layout.arrays().items():
            self.register_buffer(name, torch.tensor(array))
        kept = None if bias is None else bias.detach().to("cpu", torch.float32, copy=True)
        self.register_buffer("bias", kept)
        self.eval()

    @property
    def layout(self) -> Layout:
        """The layout, on the memory of the buffers."""
        return self.views()[0]

    @property
    def bounds(self) -> Bounds:
        """Of the results."""
        return Bounds(self.low, self.high)

    def clip(self, bounds: Bounds) -> Self:
        """Clip the results to these bounds too: ``min(max(y, low), high)`` on top of the others."""
        self.low, self.high = (
            min(max(limit, bounds.low), bounds.high) for limit in (self.low, self.high)
        )
        self.forget_views()
        return self

    def views(self) -> Views:
        """Layout, bias and bounds as the products take them; made and checked at the first call.

        Raises
        ------
        ValueError
            Where the buffers, such as those of a file, are not of one layout with its bias.
        """
        own = self._buffers
        try:
            views, values, bias = self._views
            # torch.func.functional_call, or an assignment, puts other tensors there
            if values is own["values"] and bias is own["bias"]:
                return views
            self.forget_views()
        except (AttributeError, KeyError):
            pass
        held = ((name, own.get(name)) for name in self.layout_arrays)
        with torch._C._DisableFuncTorch():  # which hides the memory of all tensors
            arrays = {name: tensor.numpy() for name, tensor in held if tensor is not None}
            offset = None if self.bias is None else self.bias.numpy()
        layout = restored(self.layout_name, self.layout_numbers, arrays)
        added = np.zeros(layout.rows, np.float32) if offset is None else offset
        checked_bias(added, layout.rows)
        self.check_sizes(layout)
        checked_threads(self.threads)
        views = layout, added, self.bounds
        self._views: tuple[Views, Tensor | None, Tensor | None] = views, own["values"], self.bias
        return views

    def check_sizes(self, layout: Layout) -> None:
        """Raise ValueError unless the module's own sizes are those of its layout."""

    def forget_views(self) -> None:
        """To call where a buffer has become another one."""
        with suppress(AttributeError):
            del self._views

    def dense_weight(self) -> Tensor:
        """The weight (rows, inputs), float32, with its zeros."""
        return torch.from_numpy(self.layout.dense())

    def clipped(self, y: Tensor) -> Tensor:
        """What torch computed with the dense weight, within the bounds."""
        return y if self.bounds == BOUNDLESS else y.clamp(self.low, self.high)

    def with_clipping(self, dense: nn.Module) -> nn.Module:
        """A module with the dense weight, and one for the bounds after it."""
        if self.bounds == BOUNDLESS:
            return dense.eval()
        return nn.Sequential(dense, nn.Hardtanh(self.low, self.high)).eval()

    def own_macs(self, output: Tensor) -> int:
        """Multiply-accumulate operations of the call that gave ``output``: all stored values."""
        layout = self.layout
        return layout.arrays()["values"].size * (output.numel() // max(layout.rows, 1))

    def allowed_threads(self) -> int:
        """How many threads may share a product now."""
        return self.threads or torch.get_num_threads()

    def untraced(self, x: Tensor) -> Tensor:
        """:meth:`forward`, of which ``torch.compile`` sees nothing: the graph breaks here.

        Raises
        ------
        RuntimeError
            In ``torch.export``, whose graphs cannot break.
        """
        if torch.compiler.is_exporting():
            raise RuntimeError(
                "A compiled model cannot be exported: export gossamer.runtime.to_dense(model)."
            )
        from gossamer.runtime.graph_breaks import forward_apart

        return forward_apart(self, x)

    def forward(self, x: Tensor) -> Tensor:
        """What the module computes."""
        raise NotImplementedError

    def to_dense(self) -> nn.Module:
        """Dense modules that give the same, for other devices and formats."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """What the layout is."""
        numbers = [f"{name}={value}" for name, value in self.layout_numbers.items()]
        fused = "" if self.bounds == BOUNDLESS else f", low={self.low}, high={self.high}"
        return f"{self.layout_name}({', '.join(numbers)}), bias={self.bias is not None}{fused}"

    def __getstate__(self) -> dict[str, Any]:
        # What sends tensors to another process may move the buffers into shared memory.
        self.forget_views()
        kinds = {name: _SIGNED.get(kind, kind) for name, kind in self.layout_arrays.items()}
        return self.__dict__ | {"_buffers": _seen_as(kinds, self._buffers)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        buffers = _seen_as(state["layout_arrays"], state["_buffers"])
        super().__setstate__(state | {"_buffers": buffers})

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        remedy = (
            "Convert the model before gossamer.compile(), and choose stored types by its values."
        )
        refuse_moves(self, fn, remedy)
        self.forget_views()
        return super()._apply(fn, recurse)

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **options: Any
    ) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args, **options)
        self.forget_views()


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _seen_as(
    kinds: Mapping[str, str], buffers: Mapping[str, Tensor | None]
) -> dict[str, Tensor | None]:
    """The buffers, those named with their bits read as another type."""
    seen = dict(buffers)
    for name, kind in kinds.items():
        buffer, wanted = buffers[name], getattr(torch, kind)
        if buffer is not None and buffer.dtype != wanted:
            seen[name] = buffer.view(wanted)
    return seen
