"""Arrays that describe no weight are refused before a kernel reads where they point."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from layout_cases import CASES, Case
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

import gossamer as gs
from gossamer.core import ModelFileError
from gossamer.nn.position_masks import MaskedConv2d
from gossamer.runtime import (
    CSR,
    BlockRows,
    Bounds,
    LayoutModule,
    RuntimeConv2d,
    RuntimeLinear,
    SkippingLinear,
    SlicedRows,
    SparseLinear,
    SpotConv2d,
)
from gossamer.runtime.candidates.embedding import RuntimeEmbedding
from gossamer.runtime.layout import Layout, options_of, restored

# Of whole numbers, those that are values and not places.
VALUES = {"values", "scales", "cuts"}


def made_of(layout: Layout, **changes: Any) -> Layout:
    fields = {**layout.numbers(), **layout.arrays(), **changes}
    return type(layout)(**fields)


def problem(case: Case, rng: np.random.Generator) -> Layout:
    return case.build(case.weight(rng, 48, 64, 0.3))


def changed(array: np.ndarray, place: int, value: int) -> np.ndarray:
    other = array.copy()
    other[place] = value
    return other


def corruptions(name: str, array: np.ndarray) -> Iterator[np.ndarray]:
    """What no layout may take in place of one of its arrays."""
    yield array[:-1]
    yield np.concatenate([array, array[-1:]])
    yield array.reshape(1, *array.shape)
    yield np.repeat(array, 2, axis=0)[::2]
    yield array.astype(np.float64)
    if array.dtype.kind == "u" and name not in VALUES:
        yield array.astype(f"i{array.itemsize}")
    if name == "starts":
        yield changed(array, 0, 1)
        yield array[::-1].copy()
        yield changed(array, array.size // 2, int(array[-1]) + 1)
    if name in {"columns", "bases", "picks", "order", "kept_rows", "kept_inputs"}:
        most = np.iinfo(array.dtype).max
        yield changed(array, 0, most)
        yield changed(array, array.size - 1, most)
    if name in {"order", "kept_rows", "kept_inputs"}:
        yield changed(array, 1, int(array[0]))
    if name == "cuts":
        yield changed(array, 1, -1)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_array_corrupted_in_turn(case: Case, rng: np.random.Generator) -> None:
    layout = problem(case, rng)
    layout.check()
    made_of(layout).check()
    for name, array in layout.arrays().items():
        for wrong in corruptions(name, array):
            with pytest.raises(ValueError, match=rf"{type(layout).__name__}\.\w+ must"):
                made_of(layout, **{name: wrong})


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_number_corrupted_in_turn(case: Case, rng: np.random.Generator) -> None:
    layout = problem(case, rng)
    wrong = [("rows", 1), ("inputs", 3)]
    wrong += [("rows", 64)] if case.layout != "Shrunk" else []
    wrong += [(name, -1) for name in layout.numbers()]
    wrong += [(name, value) for name in ("rows", "inputs") for value in (1.5, "1", None, True)]
    wrong += [(name, 37) for name in layout.numbers() if name not in ("rows", "inputs")]
    for name, value in wrong:
        with pytest.raises(ValueError):
            made_of(layout, **{name: value})


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_passes_at_random_reads_and_writes_inside(
    case: Case, rng: np.random.Generator
) -> None:
    """Arrays that pass also make a dense weight, for which numpy checks every index."""
    layout = problem(case, rng)
    passed = 0
    for _ in range(200):
        fields = layout.arrays()
        name = str(rng.choice([*fields]))
        array = fields[name].copy()
        flat = array.reshape(-1).view(np.uint8)
        flat[rng.integers(flat.size)] = rng.integers(256)
        try:
            other = made_of(layout, **{name: array})
        except ValueError:
            continue
        passed += 1
        with np.errstate(all="ignore"):
            assert other.dense().shape == (layout.rows, layout.inputs)
    assert passed


def test_layouts_of_nothing_pass() -> None:
    for kind in (CSR, BlockRows):
        assert kind.build(np.zeros((0, 0), np.float32)).rows == 0
    assert gs.runtime.Condensed.build(np.zeros((3, 0), np.float32)).fan_in == 0
    assert SlicedRows.build(np.zeros((0, 16), np.float32)).order.size == 0


def test_blocks_that_kernels_do_not_know_are_refused(rng: np.random.Generator) -> None:
    for height, width in ((3, 1), (32, 1), (0, 1), (1, 0)):
        with pytest.raises(ValueError, match="1, 2, 4, 8 or 16 rows high"):
            BlockRows.build(np.ones((96, 4), np.float32), height=height, width=width)


def test_restored_layouts_have_all_fields_and_no_others(rng: np.random.Generator) -> None:
    layout = problem(CASES[0], rng)
    numbers, arrays = layout.numbers(), layout.arrays()
    np.testing.assert_array_equal(restored("BlockRows", numbers, arrays).dense(), layout.dense())
    with pytest.raises(ValueError, match=r"missing .* 'columns'"):
        restored("BlockRows", numbers, {n: a for n, a in arrays.items() if n != "columns"})
    with pytest.raises(ValueError, match="are not what CSR has"):
        restored("CSR", numbers, arrays)
    with pytest.raises(ValueError, match="'NoLayout' is not known"):
        restored("NoLayout", numbers, arrays)


@pytest.mark.parametrize("kind", [*gs.runtime.LAYOUTS], ids=lambda kind: kind.__name__)
def test_misspelt_options_are_refused(kind: type[Layout]) -> None:
    weight = np.ones((16, 16), np.float32)
    known = ", ".join(options_of(kind)) or "none"
    with pytest.raises(TypeError, match=f"build has no option 'hight'; it has: {known}"):
        kind.build(weight, hight=4)


# -- modules: from state_dicts and files --


def weights() -> np.ndarray:
    random = np.random.default_rng(0)
    dense = random.standard_normal((32, 36)).astype(np.float32)
    return np.where(np.kron(random.random((2, 36)) < 0.4, np.ones((16, 1))), dense, 0).astype("f4")


def modules() -> dict[str, Callable[[], tuple[nn.Module, torch.Tensor]]]:
    x, image = torch.randn(3, 36), torch.randn(2, 4, 9, 9)

    def linear(kind: type[Layout]) -> tuple[nn.Module, torch.Tensor]:
        return RuntimeLinear(kind.build(weights()), torch.ones(32), Bounds(low=0)), x

    def convolution(kernel: int) -> tuple[nn.Module, torch.Tensor]:
        conv = nn.Conv2d(4, 16, kernel)
        return RuntimeConv2d.of(conv, BlockRows), image

    def skipping() -> tuple[nn.Module, torch.Tensor]:
        return SkippingLinear.of(nn.Linear(36, 8), precision="bfloat16"), x[:1]

    def training(**options: Any) -> tuple[nn.Module, torch.Tensor]:
        return SparseLinear(36, 32, seed=0, **options), x

    def embedding() -> tuple[nn.Module, torch.Tensor]:
        return RuntimeEmbedding(CSR.build(weights())), torch.arange(32)

    return {
        "csr": lambda: linear(CSR),
        "sliced": lambda: linear(SlicedRows),
        "blocks": lambda: linear(BlockRows),
        "pixels": lambda: convolution(1),
        "windows": lambda: convolution(3),
        "skipping": skipping,
        "embedding": embedding,
        "training": lambda: training(keep=0.3),
        "training condensed": lambda: training(fan_in=5, layout="condensed"),
        "training blocks": lambda: training(keep=0.3, layout="blocks"),
    }


MODULES = modules()


def tampered(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """One tensor of the module with an entry that points outside."""
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() or name == "values":
            yield name, tensor[:-1].clone()
            continue
        array = tensor.numpy()
        yield name, torch.from_numpy(changed(array, 0, np.iinfo(array.dtype).max))
        yield name, torch.from_numpy(changed(array, array.size - 1, np.iinfo(array.dtype).max))
        yield name, torch.from_numpy(array.astype(np.float64))
        yield name, torch.from_numpy(array[:-1].copy())


@pytest.mark.parametrize("name", MODULES)
def test_tampered_state_dicts(name: str) -> None:
    module, x = MODULES[name]()
    wanted = module(x)
    whole = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    for key, wrong in tampered(module):
        # what is copied takes the type of what was there
        for assign in (False, True) if wrong.dtype == whole[key].dtype else (True,):
            with pytest.raises((ValueError, RuntimeError)):
                module.load_state_dict(whole | {key: wrong}, assign=assign)
                module(x)
            module.load_state_dict({k: tensor.clone() for k, tensor in whole.items()}, assign=True)
    assert torch.equal(module(x), wanted)


@pytest.mark.parametrize("name", MODULES)
def test_tampered_files(name: str, tmp_path: Path) -> None:
    module, x = MODULES[name]()
    path = tmp_path / "model.safetensors"
    gs.nn.save_model(module, path)
    assert torch.equal(gs.nn.load_model(path)(x), module(x))
    for key, wrong in tampered(module):
        rewrite(path, tmp_path / "wrong.safetensors", tensors={key: wrong})
        loaded = gs.nn.load_model(tmp_path / "wrong.safetensors")
        with pytest.raises(ValueError):
            loaded(x)


def rewrite(
    path: Path, other: Path, tensors: dict[str, torch.Tensor] | None = None, **attributes: Any
) -> None:
    """The file with other tensors and attributes of its outermost module."""
    with safe_open(path, "pt") as file:
        header = file.metadata()
        held = {name: file.get_tensor(name) for name in file.keys()}
    record = json.loads(header["architecture"])
    record["attributes"] |= attributes
    save_file(held | (tensors or {}), other, header | {"architecture": json.dumps(record)})


PAIR = {"tuple": [1, 1]}
LIES = [
    ("csr", {"layout_name": "Dense"}),
    ("csr", {"layout_name": "Nothing"}),
    ("csr", {"layout_numbers": {"dict": {"rows": 320, "inputs": 36}}}),
    ("csr", {"layout_numbers": {"dict": {"rows": 32}}}),
    ("csr", {"layout_arrays": {"dict": {"values": "float32", "bias": "float32"}}}),
    ("pixels", {"in_channels": 3}),
    ("pixels", {"out_channels": 160}),
    ("windows", {"kernel_size": PAIR}),
    ("windows", {"stride": {"tuple": [0, 1]}}),
    ("windows", {"dilation": {"tuple": [-1, 1]}}),
    ("windows", {"padding": {"tuple": [{"tuple": [-5, 0]}, {"tuple": [0, 0]}]}}),
    ("training", {"out_features": 320}),
    ("training", {"in_features": 3}),
    ("training blocks", {"height": 32}),
]


@pytest.mark.parametrize(("name", "lie"), LIES, ids=str)
def test_sizes_that_are_not_those_of_the_arrays(
    name: str, lie: dict[str, Any], tmp_path: Path
) -> None:
    module, x = MODULES[name]()
    gs.nn.save_model(module, tmp_path / "model.safetensors")
    rewrite(tmp_path / "model.safetensors", tmp_path / "wrong.safetensors", **lie)
    with pytest.raises(ValueError):
        inputs = x[:, :3] if lie in ({"in_features": 3}, {"in_channels": 3}) else x
        gs.nn.load_model(tmp_path / "wrong.safetensors")(inputs)


def test_windows_that_are_not_those_of_the_weight(tmp_path: Path) -> None:
    conv = nn.Conv2d(2, 3, 3, padding=1)
    MaskedConv2d.take_over(conv, 8, 8)
    gs.nn.save_model(SpotConv2d.of(conv), tmp_path / "model.safetensors")
    lie = {"kernel_size": {"tuple": [5, 5]}, "_reversed_padding_repeated_twice": [2, 2, 2, 2]}
    rewrite(tmp_path / "model.safetensors", tmp_path / "wrong.safetensors", **lie)
    with pytest.raises(ValueError, match="do not fit a convolution"):
        gs.nn.load_model(tmp_path / "wrong.safetensors")(torch.randn(1, 2, 8, 8))


def test_a_bias_of_another_size() -> None:
    module = LayoutModule(CSR.build(weights()))
    module.bias = torch.zeros(31)
    with pytest.raises(ValueError, match=r"bias must be float32 of shape \(32,\)"):
        module.views()


def test_checks_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = MODULES["csr"]()
    module(x)
    monkeypatch.setattr(CSR, "check", lambda self: pytest.fail("checked again"))
    assert torch.equal(module(x), module(x))


def test_other_records_stay_refused(tmp_path: Path) -> None:
    module, _ = MODULES["csr"]()
    gs.nn.save_model(module, tmp_path / "model.safetensors")
    rewrite(tmp_path / "model.safetensors", tmp_path / "wrong.safetensors", forward=1)
    with pytest.raises(ModelFileError, match="refused"):
        gs.nn.load_model(tmp_path / "wrong.safetensors")
