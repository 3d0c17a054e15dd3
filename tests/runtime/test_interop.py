"""Layouts and models as scipy, torch and ONNX know them."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import torch
from layout_cases import CASES
from torch import nn

import gossamer as gs
import gossamer.runtime
from gossamer.nn.position_masks import MaskedConv2d
from gossamer.runtime import CSR, LayoutModule, SpotConv2d
from gossamer.runtime.activation_sparsity import sparsify_activations
from gossamer.runtime.candidates.linear import RuntimeLinear
from gossamer.runtime.interop import (
    export_onnx,
    from_scipy,
    from_torch,
    to_dense,
    to_scipy,
    to_torch_csr,
)
from gossamer.runtime.product import Bounds
from gossamer.runtime.swapping import swapped
from gossamer.runtime.training_linear import SparseLinear


@pytest.fixture
def weight(rng):
    dense = rng.standard_normal((33, 47), dtype=np.float32)
    return np.where(rng.random(dense.shape) < 0.8, 0, dense).astype(np.float32)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_layout_becomes_scipy_and_torch(rng, case):
    layout = case.build(case.weight(rng, 33, 47, 0.2))
    found = to_scipy(layout)
    assert found.dtype == np.float32 and (found.data != 0).all()
    np.testing.assert_array_equal(found.toarray(), layout.dense())
    np.testing.assert_array_equal(to_torch_csr(layout).to_dense().numpy(), layout.dense())


@pytest.mark.parametrize("kind", ("csr", "csc", "coo", "bsr", "lil", "dia"))
@pytest.mark.parametrize("make", ("array", "matrix"))
def test_matrices_of_scipy_become_layouts(weight, kind, make):
    given = getattr(scipy.sparse, f"{kind}_{make}")(weight.astype(np.float64))
    np.testing.assert_array_equal(from_scipy(given).dense(), weight)


def test_entries_out_of_order_and_twice_are_summed_and_the_matrix_is_left_alone():
    parts = np.array([1.0, 2.0, 3.0, 0.0]), np.array([2, 0, 2, 1]), np.array([0, 4, 4])
    given = scipy.sparse.csr_array(parts, shape=(2, 3))
    layout = from_scipy(given)
    assert layout.values.tolist() == [2.0, 4.0] and layout.columns.tolist() == [0, 2]
    assert given.nnz == 4


def test_a_large_sparse_matrix_is_never_dense():
    diagonal = scipy.sparse.eye_array(1_000_000, format="csr")
    layout = from_scipy(diagonal)
    assert isinstance(layout, CSR) and layout.columns.dtype == np.uint32
    assert (to_scipy(layout) != diagonal).nnz == 0
    assert to_torch_csr(layout).values().numel() == 1_000_000


def test_other_layouts_by_name_and_class(rng):
    case = next(case for case in CASES if case.layout == "BlockRows")
    weight = case.weight(rng, 32, 20, 0.3)
    given = scipy.sparse.csr_array(weight)
    for kind in ("BlockRows", type(case.build(weight))):
        assert from_scipy(given, kind, **case.options).name == "blocks"
    with pytest.raises(ValueError, match="does not consist of 16 x 1 blocks"):
        from_scipy(given[:30], "BlockRows", height=16)


@pytest.mark.parametrize("layout", ("strided", "sparse_coo", "sparse_csr", "sparse_csc"))
@pytest.mark.filterwarnings("ignore:Sparse CS. tensor support")
def test_tensors_of_torch_become_layouts(weight, layout):
    tensor = torch.from_numpy(weight)
    given = tensor if layout == "strided" else tensor.to_sparse(layout=getattr(torch, layout))
    np.testing.assert_array_equal(from_torch(given).dense(), weight)
    np.testing.assert_array_equal(from_torch(to_torch_csr(from_torch(given))).dense(), weight)


def test_what_is_no_sparse_matrix_is_refused(weight):
    for given in (weight, [1.0]):
        with pytest.raises(TypeError, match="weight must be a sparse matrix of scipy"):
            from_scipy(given)
    with pytest.raises(ValueError, match=r"weight must be \(rows, inputs\)"):
        from_torch(torch.ones(3))


@pytest.fixture
def mixed(weight):
    """Every kind of linear layer that the runtime has."""
    torch.manual_seed(0)
    skipping = nn.Sequential(nn.Linear(9, 8), nn.ReLU())
    x = torch.randn(50, 9)
    return nn.Sequential(
        RuntimeLinear(CSR.build(weight), torch.randn(33), Bounds(0.0)),
        SparseLinear(33, 9, keep=0.3, seed=0),
        nn.Tanh(),
        sparsify_activations(skipping, x, 0.5),
        sparsify_activations(nn.Linear(8, 5), keep=0.5, rule="top_k", criterion="wina"),
    ).eval()


def test_models_become_dense_modules_of_torch(mixed):
    x = torch.randn(4, 47)
    dense = to_dense(mixed)
    kinds = {type(module).__module__.partition(".")[0] for module in dense.modules()}
    linear = [module for module in dense.modules() if isinstance(module, nn.Linear)]
    assert len(linear) == 4 and kinds == {"torch", "gossamer"}
    assert isinstance(mixed[0], RuntimeLinear)
    with torch.no_grad():
        torch.testing.assert_close(dense(x), mixed(x))
        torch.testing.assert_close(dense.double()(x.double()).float(), mixed(x))


def test_a_whole_compiled_network_becomes_dense():
    """Whatever was fastest here: what comes back is torch's, and gives the same."""
    torch.manual_seed(0)
    convolutions = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
    model = nn.Sequential(
        *(convolutions[0], nn.ReLU(), convolutions[1], nn.ReLU()),
        *(nn.Flatten(), nn.Linear(16 * 36, 64), nn.ReLU(), nn.Linear(64, 5)),
    ).eval()
    x = torch.randn(1, 3, 6, 6)
    gs.nn.PositionMasks(model, x, {"2": 0.5}, total_steps=1).step()
    for layer in (model[0], model[5]):
        gs.nn.prune(layer, keep=0.1)
    with torch.no_grad():
        dense = to_dense(gs.runtime.compile(model, x))
        torch.testing.assert_close(dense(x), model(x))
    assert not any(isinstance(m, LayoutModule | SpotConv2d) for m in dense.modules())
    spots = swapped(model, lambda _, m: SpotConv2d.of(m) if isinstance(m, MaskedConv2d) else None)
    assert type(spots[2]) is SpotConv2d and type(to_dense(spots)[2]) is MaskedConv2d


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_onnx_gives_what_the_model_gives(mixed, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    x = torch.randn(4, 47)
    export_onnx(mixed, x, tmp_path / "model.onnx")
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    (given,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(given), mixed(x))


def test_without_onnx_the_remedy_is_named(mixed, tmp_path, monkeypatch):
    monkeypatch.setattr("gossamer.runtime.interop.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install onnx"):
        export_onnx(mixed, torch.randn(4, 47), tmp_path / "model.onnx")


def test_complex_weights_are_refused():
    with pytest.raises(TypeError, match="weight must be real"):
        from_scipy(scipy.sparse.eye_array(3) * 1j)
    with pytest.raises(TypeError, match="weight must be real"):
        from_torch(torch.eye(3) * 1j)


def test_numbers_beyond_single_precision_are_refused():
    for layout in ("csr", "slicedrows"):
        weight = scipy.sparse.csr_array(np.eye(20) * 1e300)
        with pytest.raises(ValueError, match="1e\\+300"):
            from_scipy(weight, layout)


def test_layouts_are_made_of_arrays():
    with pytest.raises(TypeError, match=r"NumPy array, got list.*from_torch"):
        CSR.build([[1.0, 0.0]])


@pytest.mark.parametrize("layout", ("csr", "blockrows"))
def test_options_that_a_layout_does_not_have_are_refused(layout):
    weight = scipy.sparse.eye_array(16)
    with pytest.raises(TypeError, match=r"has no option 'hight'"):
        from_scipy(weight, layout, hight=16)
