"""Weights as small integers, a scale and a zero point for each group of inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class GroupQuantiser:
    r"""Rounds the weights of each group of neighbouring inputs of an output to a grid of its own,

    .. math:: w \mapsto s \, (c - z), \qquad
        c = \operatorname{clip}(\operatorname{round}(w / s + z), 0, 2^b - 1),

    with scales and zero points of half precision.

    Parameters
    ----------
    bits : int from 2 to 8, default 4
    group : int >= 1, default 16
        Inputs that share a scale and a zero point.

    Examples
    --------
    >>> quantiser = GroupQuantiser(bits=2, group=4)
    >>> weight = torch.tensor([[0.0, 1.0, 2.0, 3.0]])
    >>> quantiser.rounded(weight, quantiser.grid(weight))
    tensor([[0., 1., 2., 3.]])
    """

    bits: int = 4
    group: int = 16

    def __post_init__(self) -> None:
        for name, least, most in (("bits", 2, 8), ("group", 1, 2**16)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise ValueError(
                    f"{name} must be an integer from {least} to {most}, got {value!r}."
                )

    @property
    def top(self) -> int:
        """The largest code."""
        return 2**self.bits - 1

    def grid(self, weight: Tensor) -> Grid:
        """From the least to the largest weight of each group, zero included.

        Raises
        ------
        ValueError
            Where groups do not divide the inputs of ``weight`` (m, p).
        """
        if weight.shape[1] % self.group:
            raise ValueError(
                f"group must divide the {weight.shape[1]} inputs of a layer, got {self.group}."
            )
        grouped = weight.detach().contiguous().view(len(weight), -1, self.group)
        low, high = grouped.amin(2).clamp(max=0), grouped.amax(2).clamp(min=0)
        scales = ((high - low) / self.top).clamp(min=1e-6).half().float()
        return Grid(scales, (-low / scales).half().float())

    def codes(self, weight: Tensor, grid: Grid) -> Tensor:
        """(m, p) of type uint8."""
        scales, zeros = self._spread(grid)
        return (weight / scales + zeros).round().clamp(0, self.top).to(torch.uint8)

    def decoded(self, codes: Tensor, grid: Grid) -> Tensor:
        """(m, p) float32 weights."""
        scales, zeros = self._spread(grid)
        return scales * (codes.float() - zeros)

    def rounded(self, weight: Tensor, grid: Grid) -> Tensor:
        """The weights on the grid."""
        return self.decoded(self.codes(weight, grid), grid)

    def smooth(self, weight: Tensor, grid: Grid) -> Tensor:
        """As :meth:`rounded`, with the gradients of a grid so fine that nothing is rounded.

        Those of scales and zero points too; where weights are clipped they have all of it.
        """
        scales, zeros = self._spread(grid)
        exact = (weight / scales + zeros).clamp(0, self.top)
        code = exact + (exact.round() - exact).detach()
        return scales * (code - zeros)

    def _spread(self, grid: Grid) -> tuple[Tensor, Tensor]:
        return tuple(  # type: ignore[return-value]
            part.repeat_interleave(self.group, 1) for part in (grid.scales, grid.zeros)
        )


@dataclass(eq=False)
class Grid:
    """The scale and the zero point, in codes, of each group: two (m, groups) tensors."""

    scales: Tensor
    zeros: Tensor


@dataclass(eq=False)
class Quantised:
    """A sparse weight of small integers.

    Attributes
    ----------
    quantiser : GroupQuantiser
    grid : Grid
    codes : (m, p) uint8 tensor
    mask : (m, p) bool tensor
        Whole groups live or die.
    """

    quantiser: GroupQuantiser
    grid: Grid
    codes: Tensor
    mask: Tensor

    def weight(self) -> Tensor:
        """(m, p) float32, zero outside of the mask."""
        return self.quantiser.decoded(self.codes, self.grid) * self.mask

    def pack(self) -> dict[str, Tensor]:
        """The tensors to be stored: one bit a group, and of living groups their codes, bit by bit,
        and their scales and zero points in half precision."""
        m, p = self.mask.shape
        group = self.quantiser.group
        alive = self.mask.view(m, -1, group)[:, :, 0]
        codes = self.codes.view(m, -1, group)[alive]
        places = torch.arange(self.quantiser.bits, dtype=torch.uint8)
        bits = (codes.reshape(-1)[:, None] >> places) & 1
        return {
            "shape": torch.tensor([m, p, self.quantiser.bits, group]),
            "alive": packed_bits(alive.reshape(-1)),
            "codes": packed_bits(bits.reshape(-1)),
            "scales": self.grid.scales[alive].half(),
            "zeros": self.grid.zeros[alive].half(),
        }

    @classmethod
    def unpack(cls, packed: Mapping[str, Tensor]) -> Quantised:
        """What :meth:`pack` has packed.

        Raises
        ------
        ValueError
            For tensors that do not fit together.
        """
        try:
            m, p, bits, group = (int(number) for number in packed["shape"])
            quantiser, count = GroupQuantiser(bits, group), p // group
            alive = unpacked_bits(packed["alive"], m * count).view(m, count).bool()
            living = int(alive.sum())
            flat = unpacked_bits(packed["codes"], living * group * bits).view(-1, bits)
            places = torch.arange(bits, dtype=torch.uint8)
            codes = torch.zeros(m, count, group, dtype=torch.uint8)
            codes[alive] = (flat << places).sum(1).to(torch.uint8).view(-1, group)
            grid = Grid(torch.ones(m, count), torch.zeros(m, count))
            grid.scales[alive], grid.zeros[alive] = (
                packed["scales"].float(),
                packed["zeros"].float(),
            )
        except (KeyError, RuntimeError, ValueError) as error:
            raise ValueError(f"The tensors are no packed weight: {error}") from error
        mask = alive.repeat_interleave(group, 1)
        return cls(quantiser, grid, codes.view(m, p), mask)

    @property
    def bytes(self) -> int:
        """Of what is stored, but for the shape."""
        packed = self.pack()
        return sum(t.numel() * t.element_size() for name, t in packed.items() if name != "shape")

    def to_tensors(self) -> dict[str, Tensor]:
        """For a file; the mask apart."""
        return {"scales": self.grid.scales, "zeros": self.grid.zeros, "codes": self.codes}


def packed_bits(flags: Tensor) -> Tensor:
    """Eight flags a byte, the first one lowest.

    >>> packed_bits(torch.tensor([True, False, True]))
    tensor([5], dtype=torch.uint8)
    """
    return torch.from_numpy(np.packbits(flags.cpu().numpy(), bitorder="little"))


def unpacked_bits(packed: Tensor, count: int) -> Tensor:
    """The first so many flags, of type uint8.

    >>> unpacked_bits(torch.tensor([5], dtype=torch.uint8), 3)
    tensor([1, 0, 1], dtype=torch.uint8)
    """
    if len(packed) != -(-count // 8):
        raise ValueError(f"{count} flags are {-(-count // 8)} bytes, got {len(packed)}.")
    return torch.from_numpy(np.unpackbits(packed.numpy(), bitorder="little", count=count))
