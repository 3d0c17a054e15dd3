"""Model files: what was saved comes back, bit for bit, and a file is only data."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from shrinkable import ZOO, convolutions, damage, inverted_residuals, perceptron
from torch import Tensor, nn

import gossamer as gs
from gossamer.core import ModelFileError
from gossamer.nn.architecture import describe_architecture, known_classes, own_class, path_of
from gossamer.nn.fewer_heads import FewerHeadsAttention
from gossamer.nn.model_files import load_model, save_model
from gossamer.nn.models import LeNet5, MobileNetV2
from gossamer.nn.position_masks import MaskedConv2d
from gossamer.nn.shrinking import shrink

safetensors = pytest.importorskip("safetensors")


def outputs(model: nn.Module, inputs: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return torch.utils._pytree.tree_leaves(model.eval()(inputs))


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(*pair) for pair in zip(a, b, strict=True))


@pytest.mark.parametrize("name", ZOO)
def test_a_smaller_model_comes_back(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    make, draw = ZOO[name]
    model, inputs = make(), draw()
    damage(model, 0.6)
    small = shrink(model, inputs)
    save_model(small, tmp_path / "small.safetensors")
    kinds = {type(module) for module in small.modules()} - set(known_classes().values())
    own = {kind for kind in kinds if own_class(path_of(kind)) is None}
    again = load_model(tmp_path / "small.safetensors", trust=own)
    assert same(outputs(small, inputs), outputs(again, inputs))
    assert type(again) is type(small)
    assert repr(again) == repr(small)
    names = [name for name, _ in small.named_parameters()]
    assert [name for name, _ in again.named_parameters()] == names  # tied ones stay tied
    if own:
        with pytest.raises(ValueError, match="trust="):
            load_model(tmp_path / "small.safetensors")


STANDARD: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "perceptron": (perceptron, (4, 6)),
    "convolutions": (convolutions, (2, 3, 16, 16)),
    "inverted residuals": (inverted_residuals, (2, 3, 16, 16)),
    "lenet": (LeNet5, (2, 1, 28, 28)),
    "mobilenet": (MobileNetV2, (1, 3, 64, 64)),
    "encoder": (
        lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 4, 16, batch_first=True, activation="gelu"), 2
        ),
        (2, 5, 8),
    ),
    "decoder layer": (lambda: nn.TransformerEncoderLayer(8, 2, 16, norm_first=True), (2, 5, 8)),
    "lstm": (lambda: nn.LSTM(3, 4, 2, bidirectional=True), (2, 5, 3)),
    "gru": (lambda: nn.GRU(3, 4, bias=False), (2, 5, 3)),
    "layers": (
        lambda: nn.Sequential(
            *(nn.Conv2d(2, 6, 3, padding=1, padding_mode="reflect"), nn.GroupNorm(2, 6)),
            *(nn.PReLU(6), nn.Upsample(scale_factor=2), nn.MaxPool2d(2), nn.Softplus(beta=2)),
            *(nn.ConvTranspose2d(6, 4, 2), nn.InstanceNorm2d(4, affine=True), nn.Flatten()),
            *(nn.LazyLinear(3), nn.LayerNorm(3), nn.RMSNorm(3), nn.Softmax(-1)),
        ),
        (2, 2, 6, 6),
    ),
}


@pytest.mark.parametrize("name", STANDARD)
def test_standard_modules_need_no_trust(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    make, shape = STANDARD[name]
    model, inputs = make(), torch.randn(shape)
    expected = outputs(model, inputs)
    save_model(model, tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    assert same(expected, outputs(again, inputs))
    again.train()(inputs)
    if name != "encoder":
        assert repr(again) == repr(model)


def test_another_process_loads_without_the_code(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, inputs = convolutions(), torch.randn(2, 3, 16, 16)
    damage(model, 0.5)
    small = shrink(model, inputs).eval()
    save_model(small, tmp_path / "small.safetensors")
    torch.save((inputs, small(inputs)), tmp_path / "expected.pt")
    code = (
        "import torch, gossamer as gs\n"
        "inputs, expected = torch.load('expected.pt')\n"
        "assert torch.equal(gs.nn.load_model('small.safetensors')(inputs), expected)\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, check=True)


def test_shared_types_modes_and_buffers_come_back(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(3, 3).bfloat16()
            self.again = self.first
            self.frozen = nn.Linear(3, 3).requires_grad_(False).eval()
            self.register_buffer("steps", torch.tensor(3), persistent=False)
            self.register_buffer("nothing", None)
            self.register_parameter("bias", None)
            self.sizes = {"a": (1, 2.5, float("inf")), "b": [None, "x", torch.float16]}

        def forward(self, x: Tensor) -> Tensor:
            return x

    model = Odd()
    save_model(model, tmp_path / "odd.safetensors")
    again = load_model(tmp_path / "odd.safetensors", trust=[Odd])
    assert again.first is again.again
    assert again.first.weight.dtype == torch.bfloat16
    assert not again.frozen.weight.requires_grad and again.first.weight.requires_grad
    assert (again.training, again.frozen.training) == (True, False)
    assert int(again.steps) == 3 and again.nothing is None and again.bias is None
    assert "steps" not in again.state_dict()
    assert again.sizes == model.sizes


def test_any_reader_finds_the_tensors_once(tmp_path: Path) -> None:
    import safetensors.numpy

    torch.manual_seed(0)
    model = ZOO["transformer"][0]()
    save_model(model, tmp_path / "tied.safetensors")
    found = safetensors.numpy.load_file(tmp_path / "tied.safetensors")
    assert set(found) == {name for name, _ in model.named_parameters()}
    with safetensors.safe_open(tmp_path / "tied.safetensors", framework="np") as file:
        record = json.loads(file.metadata()["architecture"])
    assert record == json.loads(json.dumps(describe_architecture(model)))
    assert record["children"]["head"]["parameters"]["weight"]["tensor"] == "tokens.weight"


def forged(model: nn.Module, path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A file whose record says something else."""
    import safetensors.torch

    record = describe_architecture(model)
    change(record)
    header = {"gossamer": "gossamer-model-1", "architecture": json.dumps(record)}
    safetensors.torch.save_file(dict(model.state_dict()), path, metadata=header)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record.update({"class": "os.system"}), r"is a os\.system"),
        (lambda record: record["attributes"].update(forward={"function": "relu"}), "'forward'"),
        (lambda record: record["attributes"].update(_modules=1), "'_modules'"),
        (lambda record: record["attributes"].update(x={"function": "exec"}), "not understood"),
        (lambda record: record["attributes"].update(x={"dtype": "hub"}), "not understood"),
        (lambda record: record["parameters"]["bias"].update(tensor="x"), "does not fit"),
        (lambda record: record.pop("children"), "does not fit"),
    ],
    ids=["class", "method", "internal", "function", "type", "no tensor", "no children"],
)
def test_a_file_cannot_run_anything(
    change: Callable[[dict[str, Any]], None], message: str, tmp_path: Path
) -> None:
    path = forged(nn.Linear(2, 2), tmp_path / "forged.safetensors", change)
    with pytest.raises(ModelFileError, match=message):
        load_model(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    import safetensors.torch

    safetensors.torch.save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelFileError, match="no architecture"):
        load_model(tmp_path / "other.safetensors")
    (tmp_path / "half.safetensors").write_bytes(_saved(tmp_path).read_bytes()[:-5])
    with pytest.raises(ModelFileError, match="no whole safetensors file"):
        load_model(tmp_path / "half.safetensors")


def test_what_is_no_data_is_refused(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    model.callback = print
    with pytest.raises(ValueError, match=r"callback is a builtin_function_or_method"):
        save_model(model, tmp_path / "model.safetensors")
    computed = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"parametrised: call finalise\(\)"):
        save_model(computed, tmp_path / "model.safetensors")
    with pytest.raises(TypeError, match="trust must be classes"):
        load_model(_saved(tmp_path), trust=["Net"])  # type: ignore[list-item]


def _saved(folder: Path) -> Path:
    save_model(nn.Linear(2, 2), folder / "linear.safetensors")
    return folder / "linear.safetensors"


def test_the_library_s_own_modules_are_known() -> None:
    assert {nn.Linear, nn.LSTM} <= {*known_classes().values()}
    for kind in (LeNet5, MobileNetV2, FewerHeadsAttention, MaskedConv2d):
        assert own_class(path_of(kind)) is kind


def test_every_module_of_the_library_is_trusted_by_itself() -> None:
    for name in ("SparseLinear", "RuntimeLinear", "RuntimeConv2d", "SkippingLinear", "SpotConv2d"):
        kind = getattr(gs.runtime, name)
        assert own_class(path_of(kind)) is kind


@pytest.mark.parametrize(
    "path",
    [
        "os.path",
        "torch.nn.Linear",
        "gossamer.nn",
        "gossamer.nn.nothing.Linear",
        "gossamer.nn.shrinking.nn",  # imported there
        "gossamer.nn.fewer_heads.nn.MultiheadAttention",
        "gossamer.nn.model_files.load_model",  # no module
        "gossamer.nn..models.LeNet5",
        "gossamer.nn.models.LeNet5",  # not where it lives
        "gossamer.nn.../../evil.Net",
        "gossamer.cli.__main__.Net",
        "",
    ],
)
def test_nothing_else_is(path: str) -> None:
    assert own_class(path) is None


def test_a_sparsely_trained_model_needs_no_trust(tmp_path: Path) -> None:
    model = nn.Sequential(gs.runtime.SparseLinear(20, 8, keep=0.3), nn.ReLU())
    save_model(model, tmp_path / "model.safetensors")
    x = torch.randn(3, 20)
    assert torch.equal(load_model(tmp_path / "model.safetensors")(x), model(x))
