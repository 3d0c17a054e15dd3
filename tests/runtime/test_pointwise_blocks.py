"""Fine-grained blocks on pointwise convolutions of MobileNet: faster than dense from 30 % on."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gossamer.runtime import BlockRows

# Channels in, channels out, side of the image: those of MobileNet v1 at 224 x 224.
LAYERS = ((128, 256, 28), (256, 512, 14), (512, 512, 14), (512, 1024, 7), (1024, 1024, 7))
BLOCKS = ((16, 1), (8, 1), (4, 4))


def blocks(rng, outputs, inputs, height, width, sparsity):
    coarse = rng.random((outputs // height, inputs // width)) >= sparsity
    mask = np.kron(coarse, np.ones((height, width)))
    return (rng.standard_normal(mask.shape) * mask).astype(np.float32)


@pytest.mark.parametrize("sparsity", (0.3, 0.5, 0.8))
@pytest.mark.parametrize(("height", "width"), BLOCKS)
def test_a_block_stores_its_values_and_one_place(rng, height, width, sparsity):
    weight = blocks(rng, 256, 128, height, width, sparsity)
    layout = BlockRows.build(weight, height=height, width=width)
    assert layout.values.size == np.count_nonzero(weight)
    assert layout.columns.size == layout.values.size // (height * width)
    assert layout.nbytes < (1 - sparsity + 0.1) * weight.nbytes
    image = rng.standard_normal((1, 128, 14, 14), dtype=np.float32)
    expected = F.conv2d(torch.from_numpy(image), torch.from_numpy(weight)[..., None, None])
    got = layout.matmul(image.reshape(128, -1).T).T.reshape(expected.shape)
    np.testing.assert_allclose(got, expected.numpy(), atol=1e-3)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("sparsity", (0.3, 0.5, 0.8))
def test_layers_of_mobilenet_are_faster_than_dense(rng, sparsity):
    total = dict.fromkeys(("dense", *BLOCKS), 0.0)
    for inputs, outputs, side in LAYERS:
        x = rng.standard_normal((side * side, inputs), dtype=np.float32)
        image = torch.from_numpy(x.T.copy()).view(1, inputs, side, side)
        dense = torch.randn(outputs, inputs)
        layouts = {
            (h, w): BlockRows.build(blocks(rng, outputs, inputs, h, w, sparsity), height=h, width=w)
            for h, w in BLOCKS
        }
        times = {"linear": [], "convolution": [], **{block: [] for block in BLOCKS}}
        with torch.no_grad():
            for _ in range(40):
                for name, found in times.items():
                    start = perf_counter()
                    if name == "linear":
                        F.linear(torch.from_numpy(x), dense)
                    elif name == "convolution":
                        F.conv2d(image, dense[..., None, None])
                    else:
                        layouts[name].matmul(x)
                    found.append(perf_counter() - start)
        total["dense"] += min(times["linear"] + times["convolution"])
        for block in BLOCKS:
            total[block] += min(times[block])
    ratios = {block: round(total["dense"] / total[block], 2) for block in BLOCKS}
    print(f"{sparsity:.0%} zeros: {ratios} times as fast as dense")
    assert min(ratios.values()) > 1.27
