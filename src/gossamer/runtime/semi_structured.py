"""Two of four: weights as tensor cores and their file formats hold them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from gossamer.runtime.swapping import swapped

# Which two of four are stored, for each pattern of non-zeros as bits, the first one lowest: these,
# and where there are fewer the third or fourth beside them.
_FILL = (2, 3, 1, 0)
_CHOSEN = [
    sorted(sorted(range(4), key=lambda i: (not bits >> i & 1, _FILL.index(i)))[:2])
    for bits in range(16)
]
_CROWDED = [bits.bit_count() > 2 for bits in range(16)]

# Bits of a metadata word, and rows that are woven together, by the bytes of a stored value.
_WORDS = {2: (torch.int16, 32), 1: (torch.int32, 16)}


def pack_two_of_four(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Values and metadata of a 2:4 weight, as CUTLASS and ``torch.sparse`` lay them out.

    Parameters
    ----------
    weight : (rows, inputs) tensor of float16, bfloat16 or int8
        At most two of each four consecutive entries of a row are not zero. Rows must be a multiple
        of 32 and inputs of 32; for int8 of 16 and 64.

    Returns
    -------
    values : (rows, inputs / 2) tensor
    metadata : (rows, inputs / 16) tensor of int16; for int8 (rows, inputs / 32) of int32
        Two bits for the place of each value, four groups to a word, woven into the order in which
        the warps of a GPU read them.

    Raises
    ------
    ValueError
        For other patterns and shapes.
    TypeError
        For other types: tensor cores have no 2:4 of float32 but 1:2.

    References
    ----------
    Mishra et al., "Accelerating Sparse Deep Neural Networks" (2021).

    Examples
    --------
    >>> weight = torch.eye(4).repeat(8, 8).half()
    >>> values, metadata = pack_two_of_four(weight)
    >>> values.shape, metadata.shape, torch.equal(unpack_two_of_four(values, metadata), weight)
    (torch.Size([32, 16]), torch.Size([32, 2]), True)
    """
    word, woven = _word(weight)
    groups = word.itemsize * 2
    rows, inputs = weight.shape if weight.ndim == 2 else (-1, -1)
    if rows % woven or inputs % (8 * groups):
        raise ValueError(
            f"weight must have rows in multiples of {woven} and inputs in multiples of "
            f"{8 * groups}, got shape {tuple(weight.shape)}."
        )
    values, chosen = _compressed(weight)
    pairs = chosen.view(rows, -1, groups, 2).long()
    nibbles = pairs[..., 0] | pairs[..., 1] << 2
    shifts = torch.arange(0, 4 * groups, 4, device=weight.device)
    plain = (nibbles << shifts).sum(-1)
    # wraps round: the highest bit becomes the sign
    return values, _woven(plain.to(word), woven)


def unpack_two_of_four(values: Tensor, metadata: Tensor) -> Tensor:
    """The weight of :func:`pack_two_of_four`, from what that gave.

    Raises
    ------
    ValueError
        For metadata of another type or shape.

    Examples
    --------
    >>> weight = torch.eye(4).repeat(8, 8).half()
    >>> torch.equal(unpack_two_of_four(*pack_two_of_four(weight)), weight)
    True
    """
    word, woven = _word(values)
    groups = word.itemsize * 2
    rows, stored = values.shape
    if metadata.dtype != word or metadata.shape != (rows, stored // (2 * groups)):
        raise ValueError(
            f"metadata must be {word} of shape {(rows, stored // (2 * groups))} for values of "
            f"{values.dtype} and shape {tuple(values.shape)}, got {metadata.dtype} of "
            f"{tuple(metadata.shape)}."
        )
    shifts = torch.arange(0, 4 * groups, 2, device=values.device)
    places = _unwoven(metadata, woven).long()[..., None] >> shifts & 3
    return _spread(values, places.view(rows, stored))


def to_bitmask(weight: Tensor) -> dict[str, Tensor]:
    """A 2:4 weight as the format "sparse-24-bitmask" of compressed-tensors has it in files.

    Parameters
    ----------
    weight : (rows, inputs) tensor, inputs a multiple of 4

    Returns
    -------
    dict of tensors
        ``compressed`` (rows, inputs / 2), ``bitmask`` (rows, inputs / 8 rounded up) of uint8, the
        first entry in the lowest bit, two set bits a group; ``shape`` (2, 1). In a file each has
        the name of the layer before it.

    Examples
    --------
    >>> parts = to_bitmask(torch.tensor([[0.0, 1.0, 0.0, 2.0]]))
    >>> parts["compressed"], parts["bitmask"]
    (tensor([[1., 2.]]), tensor([[10]], dtype=torch.uint8))
    """
    if weight.ndim != 2 or weight.shape[1] % 4:
        raise ValueError(
            f"weight must be (rows, inputs) with inputs a multiple of 4, got {tuple(weight.shape)}."
        )
    values, chosen = _compressed(weight)
    there = _spread(torch.ones_like(chosen, dtype=torch.bool), chosen)
    bits = np.packbits(there.cpu().numpy(), axis=1, bitorder="little")
    shape = torch.tensor(weight.shape).view(2, 1)
    return {"shape": shape, "compressed": values, "bitmask": torch.from_numpy(bits)}


def from_bitmask(parts: Mapping[str, Tensor]) -> Tensor:
    """The weight of :func:`to_bitmask`, from what that gave.

    Raises
    ------
    ValueError
        Where the bitmask has places for more or fewer values.

    Examples
    --------
    >>> from_bitmask(to_bitmask(torch.tensor([[0.0, 1.0, 0.0, 2.0]])))
    tensor([[0., 1., 0., 2.]])
    """
    rows, inputs = parts["shape"].flatten().tolist()
    bits = np.unpackbits(parts["bitmask"].cpu().numpy(), axis=1, count=inputs, bitorder="little")
    values = parts["compressed"]
    if int(bits.sum()) != values.numel() or bits.shape[0] != rows:
        raise ValueError(
            f"bitmask has {int(bits.sum())} places for {values.numel()} values of a weight of shape"
            f" {(rows, inputs)}."
        )
    weight = values.new_zeros(rows, inputs)
    weight[torch.from_numpy(bits.astype(bool)).to(weight.device)] = values.flatten()
    return weight


def bitmask_state(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of a model, with each 2:4 weight of a linear layer compressed.

    What ``safetensors.torch.save_file`` takes; a reader of compressed-tensors also wants
    ``{"format": "sparse-24-bitmask", "sparsity_structure": "2:4"}`` as the sparsity configuration.
    :func:`state_of_bitmasks` is the opposite.

    Examples
    --------
    >>> linear = nn.Linear(4, 2, bias=False)
    >>> with torch.no_grad():
    ...     _ = linear.weight[:, :2].zero_()
    >>> sorted(bitmask_state(nn.Sequential(linear)))
    ['0.bitmask', '0.compressed', '0.shape']
    """
    state = model.state_dict()
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and is_two_of_four(module.weight):
            parts = to_bitmask(state.pop(f"{name}.weight".removeprefix(".")))
            state |= {f"{name}.{part}".removeprefix("."): v for part, v in parts.items()}
    return {name: tensor.detach().contiguous() for name, tensor in state.items()}


def state_of_bitmasks(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A ``state_dict`` from what :func:`bitmask_state` gave.

    Examples
    --------
    >>> linear = nn.Linear(4, 2, bias=False)
    >>> with torch.no_grad():
    ...     _ = linear.weight[:, :2].zero_()
    >>> torch.equal(state_of_bitmasks(bitmask_state(linear))["weight"], linear.weight)
    True
    """
    state = dict(tensors)
    for key in [key for key in tensors if key.rpartition(".")[2] == "bitmask"]:
        stem = key.removesuffix("bitmask")
        parts = {part: state.pop(stem + part) for part in ("shape", "compressed", "bitmask")}
        state[f"{stem}weight"] = from_bitmask(parts)
    return state


def is_two_of_four(weight: Tensor) -> bool:
    """Whether at most two of each four consecutive entries of a row are not zero."""
    if weight.ndim != 2 or weight.shape[1] % 4:
        return False
    return bool(((weight.reshape(-1, 4) != 0).sum(1) <= 2).all())


def to_semi_structured(model: nn.Module) -> nn.Module:
    """A copy of a model on a GPU whose 2:4 linear weights run on sparse tensor cores.

    Parameters
    ----------
    model : nn.Module
        On a CUDA device of compute capability 8 or higher, in float16 or bfloat16. Linear layers
        whose weight is 2:4 and has rows in multiples of 32 and inputs in multiples of 64 become
        ``torch.sparse.SparseSemiStructuredTensor``; others stay.

    Raises
    ------
    RuntimeError
        Without such a device.
    ValueError
        Where no layer fits.
    """
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 0):
        raise RuntimeError(
            "2:4 weights run on CUDA devices of compute capability 8.0 or higher, and there is "
            "none here: gossamer.compile() runs them on the CPU, bitmask_state() writes them."
        )

    def make(name: str, module: nn.Module) -> nn.Module | None:
        if type(module) is not nn.Linear or not _fits(module.weight):
            return None
        found.append(name)
        compressed = torch.sparse.to_sparse_semi_structured(module.weight.detach())
        module.weight = nn.Parameter(compressed, requires_grad=False)
        return None

    found: list[str] = []
    sparse = swapped(model, make).eval()
    if not found:
        raise ValueError(
            "model has no linear layer with a 2:4 weight in float16 or bfloat16 on the GPU, with "
            "rows in multiples of 32 and inputs in multiples of 64: prune with gs.NofM(2, 4), then "
            "call .half().cuda()."
        )
    return sparse


def _fits(weight: Tensor) -> bool:
    shapes = weight.shape[0] % 32 == 0 and weight.shape[1] % 64 == 0
    types = weight.is_cuda and weight.dtype in (torch.float16, torch.bfloat16)
    return shapes and types and is_two_of_four(weight)


def _word(values: Tensor) -> tuple[torch.dtype, int]:
    if values.dtype not in (torch.float16, torch.bfloat16, torch.int8):
        raise TypeError(
            f"2:4 values must be float16, bfloat16 or int8, got {values.dtype}: call .half()."
        )
    return _WORDS[values.dtype.itemsize]


def _compressed(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(rows, inputs / 2) values, and which of its group of four each one was."""
    groups = weight.reshape(-1, 4)
    bits = ((groups != 0) << torch.arange(4, device=weight.device)).sum(1)
    crowded = torch.tensor(_CROWDED, device=weight.device)[bits]
    if crowded.any():
        row, column = divmod(int(crowded.nonzero()[0]) * 4, weight.shape[1])
        raise ValueError(
            f"weight is not 2:4: row {row} has more than two non-zeros in columns {column} to "
            f"{column + 3}, and {int(crowded.sum())} of {len(crowded)} groups do."
        )
    chosen = torch.tensor(_CHOSEN, device=weight.device)[bits]
    shape = weight.shape[0], weight.shape[1] // 2
    return groups.gather(1, chosen).view(shape), chosen.view(shape)


def _spread(values: Tensor, places: Tensor) -> Tensor:
    """The opposite of :func:`_compressed`."""
    dense = values.new_zeros(values.numel() // 2, 4)
    dense.scatter_(1, places.reshape(-1, 2), values.reshape(-1, 2))
    return dense.view(values.shape[0], -1)


def _woven(words: Tensor, woven: int) -> Tensor:
    """Words in the order of CUTLASS: rows woven, squares of 2 x 2 transposed, pairs by columns."""
    rows, count = words.shape
    words = words.view(-1, woven // 8, 8, count).transpose(1, 2)
    words = words.reshape(rows // 2, 2, count // 2, 2).transpose(1, 3)
    return words.reshape(rows, count // 2, 2).transpose(0, 1).reshape(rows, count)


def _unwoven(words: Tensor, woven: int) -> Tensor:
    """The opposite of :func:`_woven`."""
    rows, count = words.shape
    words = words.reshape(count // 2, rows, 2).transpose(0, 1)
    words = words.reshape(rows // 2, 2, count // 2, 2).transpose(1, 3)
    return words.reshape(-1, 8, woven // 8, count).transpose(1, 2).reshape(rows, count)
