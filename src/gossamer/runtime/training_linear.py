"""SparseLinear: a linear layer that stores, computes and trains its non-zero weights only."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from gossamer.runtime.layout import Layout
from gossamer.runtime.moves import refuse_moves
from gossamer.runtime.training import SparseProduct, product
from gossamer.runtime.training_pattern import Pattern

Kind = Literal["csr", "condensed", "blocks"]


class SparseLinear(nn.Module):
    r"""``y = x W' + b`` with a weight whose zeros stay zero, and are never stored.

    A layer for training: the parameters are the stored values and the bias, so that any optimiser
    holds state for these alone. Forward and backward pass over the stored values: the gradient of
    value k at (r, c) is :math:`\sum_b g_{br} x_{bc}`, that of the input :math:`g W`. The dense
    weight is never made, here or in the backward pass.

    Parameters
    ----------
    in_features, out_features : int
    keep : float, optional
        Share of the weights that there are, at random places. This or ``fan_in``.
    fan_in : int, optional
        Inputs of each neuron, at random places. This or ``keep``.
    layout : "csr", "condensed" or "blocks", default "csr"
        Any places; as many in each row; or blocks, which are several times faster.
    block : (height, width), default (16, 1)
        Of the layout "blocks": at most 16 rows high. They must divide the sides of the weight.
    bias : bool, default True
    seed : int, optional
        Of places and first values; by default, torch's own generator decides.

    Attributes
    ----------
    values : Parameter (stored,)
        Row by row; block by block, and the columns of each one after the other.
    bias : Parameter (out_features,) or None
    columns, starts : buffers
        The column of each stored value (or block), and where those of each row begin; or how many
        there are in each row.

    Raises
    ------
    ValueError
        For shares, fan-ins and blocks that the weight cannot have.
    TypeError
        For inputs that are not float32 on the CPU, and where the layer is moved to another device
        or type.
    RuntimeError
        For gradients of gradients: the backward pass is not differentiable.

    Notes
    -----
    First values are uniform on :math:`\pm 1/\sqrt{n_r}` where neuron r has :math:`n_r` inputs: what
    :class:`torch.nn.Linear` does with a dense weight, so that the variance of the outputs is the
    same at any sparsity. As many threads as torch has share the work.

    References
    ----------
    Nikdan, Pegolotti, Iofinova, Kurtic and Alistarh (2023), SparseProp: efficient sparse
    backpropagation for faster training of neural networks. Evci, Ioannou, Keskin and Dauphin
    (2022), Gradient flow in sparse neural networks and how lottery tickets win.

    Examples
    --------
    >>> layer = SparseLinear(1_000_000, 1024, keep=0.001, seed=0)
    >>> layer
    SparseLinear(in_features=1000000, out_features=1024, bias=True, stored=1024000, layout=csr)
    >>> layer(torch.ones(2, 1_000_000)).sum().backward()
    >>> layer.values.grad.shape
    torch.Size([1024000])
    """

    # What numpy sees of the tensors: a slot, so that it is neither copied nor saved.
    __slots__ = ("_views",)

    columns: Tensor
    starts: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        keep: float | None = None,
        fan_in: int | None = None,
        layout: Kind = "csr",
        block: tuple[int, int] = (16, 1),
        bias: bool = True,
        seed: int | None = None,
    ) -> None:
        height, width = sides_of(layout, block)
        if (keep is None) == (fan_in is None):
            raise ValueError(f"say either keep or fan_in, got keep={keep}, fan_in={fan_in}.")
        if min(in_features, out_features) < 0:
            raise ValueError(
                f"in_features and out_features must not be negative, got {in_features} and "
                f"{out_features}."
            )
        if keep is not None and not 0 <= keep <= 1:
            raise ValueError(f"keep must be a share of the weights, from 0 to 1, got {keep}.")
        if layout == "condensed" and fan_in is None:
            assert keep is not None
            fan_in = round(keep * in_features)
        if fan_in is not None and (not 0 <= fan_in <= in_features or fan_in % width):
            raise ValueError(
                f"fan_in must be from 0 to in_features = {in_features} and a multiple of the "
                f"blocks' width {width}, got {fan_in}."
            )
        generator = torch.Generator()
        generator.manual_seed(int(torch.randint(1 << 62, ())) if seed is None else seed)
        rng = np.random.default_rng(int(torch.randint(1 << 62, (), generator=generator)))
        amount: dict[str, Any] = {"keep": keep, "fan_in": fan_in, "height": height, "width": width}
        pattern = Pattern.random(out_features, in_features, rng, **amount)
        bounds = 1 / np.sqrt(np.maximum(pattern.fan_in(), 1)).astype(np.float32)
        per_value = torch.from_numpy(np.repeat(bounds[::height], pattern.counts() * height * width))
        first = torch.rand(pattern.stored, generator=generator, dtype=torch.float32) * 2 - 1
        offset = torch.rand(out_features, generator=generator, dtype=torch.float32) * 2 - 1
        self._take(
            pattern, layout, first * per_value, offset * torch.from_numpy(bounds) if bias else None
        )

    @classmethod
    def from_linear(
        cls,
        linear: nn.Linear,
        mask: Tensor | None = None,
        *,
        layout: Kind = "csr",
        block: tuple[int, int] = (16, 1),
    ) -> Self:
        """A layer that computes what ``linear`` does, and trains what is not zero there.

        Parameters
        ----------
        linear : nn.Linear
            Its values are copied; ``requires_grad`` is taken over.
        mask : (out_features, in_features) tensor of bool, optional
            Which weights to store; by default those that are not zero.
        layout, block
            As for the class. A block is stored whole if any weight of it is.

        Raises
        ------
        ValueError
            Where the mask has another shape or does not have the layout's pattern.
        TypeError
            For another module, and where it is not float32 on the CPU.
        """
        if not isinstance(linear, nn.Linear):
            raise TypeError(f"linear must be an nn.Linear, got {type(linear).__name__}.")
        weight = linear.weight.detach()
        _check_tensor("linear.weight", weight)
        mask = weight != 0 if mask is None else mask
        if mask.shape != weight.shape or mask.dtype != torch.bool:
            raise ValueError(
                f"mask must be bool of shape {tuple(weight.shape)}, got {mask.dtype} of "
                f"{tuple(mask.shape)}."
            )
        pattern = Pattern.of_mask(mask.cpu().numpy(), *sides_of(layout, block))
        places = tuple(map(torch.from_numpy, pattern.places()))
        values = torch.where(mask, weight, 0)[places]
        made = cls.__new__(cls)
        made._take(
            pattern, layout, values, None if linear.bias is None else linear.bias.detach().clone()
        )
        made.values.requires_grad_(linear.weight.requires_grad)
        if made.bias is not None:
            made.bias.requires_grad_(linear.bias.requires_grad)
        return made.train(linear.training)

    def _take(self, pattern: Pattern, layout: Kind, values: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        pattern = pattern.condensed() if layout == "condensed" else pattern
        self.in_features, self.out_features = pattern.inputs, pattern.rows
        self.kind: Kind = layout
        self.height, self.width = pattern.height, pattern.width
        self.values = nn.Parameter(values)
        self.bias = None if bias is None else nn.Parameter(bias)
        self.register_buffer("columns", torch.from_numpy(pattern.columns))
        self.register_buffer("starts", torch.from_numpy(pattern.starts))

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in_features) to (..., out_features)."""
        if torch.compiler.is_compiling():
            from gossamer.runtime.graph_breaks import forward_apart

            return forward_apart(self, x)
        if torch.is_autocast_enabled("cpu"):
            x = x.float()
        _check_tensor("x", x)
        if not x.ndim or x.shape[-1] != self.in_features:
            raise ValueError(f"x must have shape (..., {self.in_features}), got {tuple(x.shape)}.")
        flat = x.reshape(-1, self.in_features) if x.ndim != 2 else x
        parameters = (self.values,) if self.bias is None else (self.values, self.bias)
        if torch.is_grad_enabled() and any(t.requires_grad for t in (x, *parameters)):
            y = SparseProduct.apply(flat, self.values, self.bias, self.layout_of)
        else:
            y = product(flat, self.bias, self.layout)
        return y if x.ndim == 2 else y.reshape(*x.shape[:-1], self.out_features)

    @torch.no_grad()
    def rewire(
        self,
        share: float,
        optimiser: torch.optim.Optimizer | None = None,
        *,
        seed: int | None = None,
    ) -> None:
        """Give up the smallest weights of each neuron, for as many at random inputs of its own.

        Dynamic sparse training: called every some hundred steps, with a share that falls to zero.
        New weights start at zero. Takes memory in proportion to the stored values.

        Parameters
        ----------
        share : float
            Of each row's values (or blocks), those of least magnitude; rounded down.
        optimiser : Optimizer, optional
            Whose state of ``values`` moves along, with zeros for the new ones.
        seed : int, optional
            Of the places; by default, torch's own generator decides.

        Raises
        ------
        ValueError
            For other shares, and where more than half of the weights are stored.

        References
        ----------
        Mocanu, Mocanu, Stone, Nguyen, Gibescu and Liotta (2018), Scalable training of artificial
        neural networks with adaptive sparse connectivity inspired by network science.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"share must be from 0 to 1, got {share}.")
        if 2 * self.values.numel() > self.in_features * self.out_features:
            raise ValueError(
                f"rewiring needs free places: {self.values.numel()} of "
                f"{self.in_features * self.out_features} weights are stored, more than half."
            )
        rng = np.random.default_rng(int(torch.randint(1 << 62, ())) if seed is None else seed)
        size = self.height * self.width
        sizes = self.values.abs().view(-1, size).sum(1).numpy()
        pattern, *moved = self.pattern.rewired(sizes, share, rng)
        kept, places = map(torch.from_numpy, moved)
        state = {} if optimiser is None else optimiser.state.get(self.values, {})
        for tensor in (self.values, *state.values()):
            if torch.is_tensor(tensor) and tensor.shape == self.values.shape:
                blocks = tensor.view(-1, size)
                left = blocks[kept]
                blocks.zero_()
                blocks[places] = left
        self.columns.copy_(torch.from_numpy(pattern.columns))

    def own_macs(self, output: Tensor) -> int:
        """Multiply-accumulate operations of the call that gave ``output``."""
        return self.values.numel() * (output.numel() // max(self.out_features, 1))

    @property
    def layout(self) -> Layout:
        """The layout, on the memory of the tensors."""
        return self.layout_of(self.values)

    def layout_of(self, values: Tensor) -> Layout:
        """The layout with these values, on their memory."""
        memory = tuple(tensor.data_ptr() for tensor in (values, self.columns, self.starts))
        with suppress(AttributeError):
            if self._views[0] == memory:
                return self._views[1]
        layout = self.pattern.layout(_view(values))
        self._views: tuple[tuple[int, ...], Layout] = memory, layout
        return layout

    @property
    def pattern(self) -> Pattern:
        """Where the values lie, on the memory of the buffers."""
        sides = self.out_features, self.in_features, self.height, self.width
        return Pattern(*sides, _view(self.columns), _view(self.starts), self.kind == "condensed")

    @property
    def weight(self) -> Tensor:
        """The weight (out_features, in_features) as a sparse CSR tensor: a copy."""
        places = torch.from_numpy(np.stack(self.pattern.places()))
        shape = self.out_features, self.in_features
        entries = torch.sparse_coo_tensor(
            places, self.values.detach(), shape, check_invariants=False
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
            return entries.coalesce().to_sparse_csr()

    def to_linear(self) -> nn.Linear:
        """The dense layer that computes the same."""
        linear = nn.Linear(self.in_features, self.out_features, bias=False)
        linear.weight = nn.Parameter(
            torch.from_numpy(self.layout.dense()), self.values.requires_grad
        )
        if self.bias is not None:
            linear.bias = nn.Parameter(self.bias.detach().clone(), self.bias.requires_grad)
        return linear.train(self.training)

    def extra_repr(self) -> str:
        """What the layer is."""
        block = f" {self.height} x {self.width}" if self.kind == "blocks" else ""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}, stored={self.values.numel()}, layout={self.kind}{block}"
        )

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        refuse_moves(self, fn, "Move to_linear(), or gs.runtime.to_dense(model).")
        return super()._apply(fn, recurse)

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **options: Any
    ) -> None:
        # the saved pattern takes the place of this one's: it may have another number of values
        for name in ("values", "columns"):
            given, own = state_dict.get(prefix + name), getattr(self, name)
            if given is not None and given.ndim == 1 and given.shape != own.shape:
                own.data = own.data.new_empty(given.shape)
        super()._load_from_state_dict(state_dict, prefix, *args, **options)
        with suppress(AttributeError):
            del self._views


def sides_of(layout: str, block: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the blocks of a layout."""
    if layout not in ("csr", "condensed", "blocks"):
        raise ValueError(f"layout must be 'csr', 'condensed' or 'blocks', got {layout!r}.")
    if layout != "blocks":
        return 1, 1
    try:
        height, width = block
    except TypeError:
        raise TypeError(f"block must be a pair (height, width), got {block!r}.") from None
    return height, width


def _view(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.detach().numpy()
    return array


def _check_tensor(name: str, tensor: Tensor) -> None:
    if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
        raise TypeError(
            f"{name} must be float32 on the CPU, got {tensor.dtype} on {tensor.device}: "
            "SparseLinear computes there only; take to_linear() for other devices and types."
        )
