"""Interop: layouts and compiled models as scipy, torch and ONNX know them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from gossamer.nn.channels import evaluating, positional
from gossamer.runtime.layout import LAYOUTS, Layout, check_options
from gossamer.runtime.layout_module import LayoutModule
from gossamer.runtime.layouts import CSR
from gossamer.runtime.product import narrow, offsets
from gossamer.runtime.spot_convolution import SpotConv2d
from gossamer.runtime.swapping import swapped
from gossamer.runtime.training_linear import SparseLinear

if TYPE_CHECKING:
    import scipy.sparse


def to_scipy(layout: Layout) -> scipy.sparse.csr_array:
    """The weight of a layout as a CSR array of scipy, float32 and without stored zeros.

    Examples
    --------
    >>> layout = CSR.build(np.array([[0.0, 2.0], [1.0, 0.0]], np.float32))
    >>> to_scipy(layout).toarray()
    array([[0., 2.],
           [1., 0.]], dtype=float32)
    """
    from scipy.sparse import csr_array

    if not isinstance(layout, CSR):
        return csr_array(layout.dense())
    parts = layout.values.copy(), *(a.astype(np.int64) for a in (layout.columns, layout.starts))
    found = csr_array(parts, shape=(layout.rows, layout.inputs))
    found.eliminate_zeros()
    return found


def from_scipy(weight: Any, layout: str | type[Layout] = "csr", **options: Any) -> Layout:
    """A layout of a sparse matrix of scipy.

    Parameters
    ----------
    weight : sparse matrix or array of scipy, (rows, inputs)
        Kept as float32, without stored zeros. It is not made dense for the layout ``"csr"``.
    layout : str or class of layouts, default "csr"
    **options : as of the layout's ``build``

    Examples
    --------
    >>> import scipy.sparse
    >>> from_scipy(scipy.sparse.eye_array(3)).columns
    array([0, 1, 2], dtype=uint16)
    """
    kind = LAYOUTS[layout] if isinstance(layout, str) else layout
    if getattr(weight, "ndim", 0) != 2 or not hasattr(weight, "tocsr"):
        raise TypeError(
            f"weight must be a sparse matrix of scipy, got {type(weight).__name__}: "
            "layouts of dense arrays are made by their own build()."
        )
    if weight.dtype.kind == "c":
        raise TypeError(f"weight must be real, got {weight.dtype}: layouts hold float32.")
    if kind is not CSR:
        return kind.build(_single(weight.toarray()), **options)
    check_options(CSR, options)
    # summed and sorted in a copy
    rows = weight.tocsr(copy=True)
    rows.sum_duplicates()
    rows.eliminate_zeros()
    columns, starts = narrow(rows.indices, rows.shape[1]), offsets(rows.indptr)
    return CSR(rows.shape[0], rows.shape[1], _single(rows.data), columns, starts)


def _single(values: np.ndarray) -> np.ndarray:
    """Numbers as float32, which must hold them."""
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    if (np.isinf(single) & np.isfinite(values)).any():
        raise ValueError(
            f"weight holds numbers up to {np.abs(values).max():.3g}, which float32 cannot: scale "
            "it down."
        )
    return single


def to_torch_csr(layout: Layout) -> Tensor:
    """The weight of a layout as a sparse CSR tensor of torch, float32.

    Examples
    --------
    >>> layout = CSR.build(np.array([[0.0, 2.0], [1.0, 0.0]], np.float32))
    >>> to_torch_csr(layout).values()
    tensor([2., 1.])
    """
    weight = to_scipy(layout)
    starts, columns = (
        torch.from_numpy(a.astype(np.int64)) for a in (weight.indptr, weight.indices)
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
        return torch.sparse_csr_tensor(
            starts, columns, torch.from_numpy(weight.data), weight.shape, check_invariants=False
        )


def from_torch(weight: Tensor, layout: str | type[Layout] = "csr", **options: Any) -> Layout:
    """A layout of a sparse or dense tensor (rows, inputs); arguments as of :func:`from_scipy`.

    Examples
    --------
    >>> from_torch(torch.eye(2).to_sparse()).values
    array([1., 1.], dtype=float32)
    """
    from scipy.sparse import coo_array, csr_array

    if weight.ndim != 2:
        raise ValueError(f"weight must be (rows, inputs), got shape {tuple(weight.shape)}.")
    if weight.is_complex():
        raise TypeError(f"weight must be real, got {weight.dtype}: layouts hold float32.")
    weight = weight.detach().cpu().float()
    if weight.layout == torch.strided:
        return from_scipy(csr_array(weight.numpy()), layout, **options)
    entries = weight.to_sparse_coo().coalesce()
    matrix = coo_array((entries.values().numpy(), tuple(entries.indices().numpy())), weight.shape)
    return from_scipy(matrix, layout, **options)


def to_dense(model: nn.Module) -> nn.Module:
    """A copy of a compiled or sparsely trained model in torch's own dense modules.

    For other devices, file formats and libraries. Runtime modules become what they stand for, with
    their zeros; all other modules stay.

    Examples
    --------
    >>> to_dense(nn.Sequential(SparseLinear(4, 2, keep=0.5), nn.ReLU()))
    Sequential(
      (0): Linear(in_features=4, out_features=2, bias=True)
      (1): ReLU()
    )
    """
    return swapped(model, lambda name, module: _dense(module))


def _dense(module: nn.Module) -> nn.Module | None:
    match module:
        case LayoutModule() | SpotConv2d():
            return module.to_dense()
        case SparseLinear():
            return module.to_linear()
    return None


def export_onnx(
    model: nn.Module, example_inputs: Tensor | Sequence[Any], path: str | Path, **options: Any
) -> None:
    """Write a model as ONNX, dense with its zeros: the standard has no sparse layers.

    Parameters
    ----------
    model : nn.Module
        Compiled, sparsely trained or ordinary; exported in evaluation mode.
    example_inputs : tensor, or sequence of the forward method's positional arguments
    path : str or Path
    **options : to ``torch.onnx.export``
        Such as ``dynamic_shapes``.

    Raises
    ------
    ImportError
        Without the packages onnx and onnxscript.
    """
    if find_spec("onnxscript") is None:
        raise ImportError("ONNX files need: pip install onnx onnxscript.")
    dense = to_dense(model)
    with evaluating(dense):
        torch.onnx.export(
            dense, positional(example_inputs), str(path), dynamo=True, verbose=False, **options
        )
