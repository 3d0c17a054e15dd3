"""2:4 weights: the layout of torch.sparse and the files of compressed-tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.sparse import _semi_structured_conversions as reference

from gossamer.runtime.semi_structured import (
    bitmask_state,
    from_bitmask,
    is_two_of_four,
    pack_two_of_four,
    state_of_bitmasks,
    to_bitmask,
    to_semi_structured,
    unpack_two_of_four,
)

TYPES = (torch.float16, torch.bfloat16, torch.int8)
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def two_of_four(rng, rows, inputs, dtype, share=1.0):
    """Random values, at most two in four; where share < 1 also fewer."""
    order = rng.random((rows, inputs // 4, 4)).argsort(-1).argsort(-1)
    kept = (order < 2) & (rng.random(order.shape) < share)
    values = rng.integers(1, 100, order.shape) * rng.choice([-1, 1], order.shape)
    return torch.from_numpy((values * kept).reshape(rows, inputs)).to(dtype)


@pytest.mark.parametrize("share", (1.0, 0.5, 0.0))
@pytest.mark.parametrize("shape", ((32, 64), (64, 192), (96, 128), (256, 512)), ids=str)
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_values_and_metadata_are_those_of_torch(rng, dtype, shape, share):
    weight = two_of_four(rng, *shape, dtype, share)
    values, metadata = pack_two_of_four(weight)
    expected, expected_metadata = reference.sparse_semi_structured_from_dense_cutlass(weight)
    assert torch.equal(values, expected) and values.dtype == dtype
    assert torch.equal(metadata, expected_metadata) and metadata.dtype == expected_metadata.dtype
    assert torch.equal(unpack_two_of_four(values, metadata), weight)
    back = reference.sparse_semi_structured_to_dense_cutlass(values, metadata)
    assert torch.equal(back, weight)


@pytest.mark.parametrize("shape", ((1, 4), (3, 20), (64, 100)), ids=str)
@pytest.mark.parametrize("dtype", (*TYPES, torch.float32), ids=str)
def test_bitmasks_hold_two_bits_a_group_in_order(rng, dtype, shape):
    weight = two_of_four(rng, *shape, dtype, share=0.7)
    parts = to_bitmask(weight)
    assert torch.equal(from_bitmask(parts), weight)
    bits = np.unpackbits(parts["bitmask"].numpy(), axis=1, bitorder="little")[:, : shape[1]]
    assert (bits.reshape(-1, 4).sum(1) == 2).all()
    assert torch.equal(weight[torch.from_numpy(bits == 1)], parts["compressed"].flatten())
    assert parts["bitmask"].shape[1] == -(-shape[1] // 8)


def test_bitmasks_are_those_of_compressed_tensors(rng):
    theirs = pytest.importorskip(
        "compressed_tensors.compressors.sparse_compressors.sparse_24_bitmask"
    ).Sparse24BitMaskTensor
    weight = two_of_four(rng, 64, 128, torch.float16)
    parts, expected = to_bitmask(weight), theirs.from_dense(weight).dict("x.weight")
    for name, tensor in parts.items():
        assert torch.equal(tensor, expected[f"x.{name}"]), name
    sparser = two_of_four(rng, 64, 128, torch.float16, share=0.5)
    assert torch.equal(theirs.from_compressed_data(**to_bitmask(sparser)).decompress(), sparser)


def test_the_state_of_a_model_is_compressed_and_comes_back(rng, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
    with torch.no_grad():
        model[0].weight.copy_(two_of_four(rng, 8, 16, torch.float32))
    state = bitmask_state(model)
    assert {"0.bitmask", "0.compressed", "0.shape", "0.bias", "2.weight"} < set(state)
    assert "0.weight" not in state
    safetensors.save_file(state, tmp_path / "model.safetensors")
    loaded = state_of_bitmasks(safetensors.load_file(tmp_path / "model.safetensors"))
    assert loaded.keys() == model.state_dict().keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in model.state_dict().items())
    alone = bitmask_state(model[0])
    assert set(alone) == {"bitmask", "compressed", "shape", "bias"}
    assert torch.equal(state_of_bitmasks(alone)["weight"], model[0].weight)


def test_a_crowded_group_is_named(rng):
    weight = two_of_four(rng, 32, 64, torch.float16)
    weight[3, 8:11] = 1.0
    assert not is_two_of_four(weight)
    for pack in (pack_two_of_four, to_bitmask):
        with pytest.raises(
            ValueError, match="row 3 has more than two non-zeros in columns 8 to 11"
        ):
            pack(weight)


def test_other_shapes_and_types_are_refused():
    with pytest.raises(TypeError, match=r"must be float16, bfloat16 or int8, got torch\.float32"):
        pack_two_of_four(torch.zeros(32, 64))
    with pytest.raises(ValueError, match="multiples of 32 and inputs in multiples of 32"):
        pack_two_of_four(torch.zeros(32, 40).half())
    with pytest.raises(ValueError, match="inputs a multiple of 4"):
        to_bitmask(torch.zeros(3, 5))
    values, metadata = pack_two_of_four(torch.zeros(32, 64).half())
    with pytest.raises(ValueError, match=r"metadata must be torch\.int16 of shape"):
        unpack_two_of_four(values, metadata[:, :1])
    with pytest.raises(ValueError, match="places for"):
        from_bitmask(to_bitmask(torch.zeros(3, 8)) | {"compressed": torch.zeros(3, 2)})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_that_is_said():
    with pytest.raises(RuntimeError, match=r"compute capability 8\.0 or higher"):
        to_semi_structured(nn.Linear(64, 64))


@on_gpu
def test_on_a_gpu_products_are_those_of_the_dense_model(rng):
    model = nn.Sequential(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)).half().cuda()
    with torch.no_grad():
        model[0].weight.copy_(two_of_four(rng, 64, 128, torch.float16) / 100)
    sparse = to_semi_structured(model)
    x = torch.randn(64, 128, device="cuda").half()
    with torch.no_grad():
        torch.testing.assert_close(sparse(x), model(x), atol=1e-2, rtol=1e-2)
    values, metadata = pack_two_of_four(model[0].weight)
    packed = torch.sparse.SparseSemiStructuredTensorCUTLASS.from_dense(model[0].weight.detach())
    assert torch.equal(packed.packed, values) and torch.equal(packed.meta, metadata)


def test_weights_may_lie_anyhow(rng):
    weight = two_of_four(rng, 8, 16, torch.float32)
    assert is_two_of_four(weight.T.contiguous().T)
