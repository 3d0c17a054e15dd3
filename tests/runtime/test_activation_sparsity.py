"""Activations that are zero or made so: which inputs a trained model can do without."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from digits_lenet import digits, train
from token_networks import TOKEN_ZOO
from torch import nn

from gossamer.nn import load_model, save_model
from gossamer.runtime.activation_sparsity import activation_zeros, sparsify_activations
from gossamer.runtime.input_scores import TopInputs
from gossamer.runtime.skipping_linear import SkippingLinear


def network(activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    layers = nn.Linear(64, 256), activation(), nn.Linear(256, 128), activation()
    return nn.Sequential(*layers, nn.Linear(128, 10))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return network().eval()


def relative_error(got, expected):
    return float((got - expected).norm() / expected.norm())


def test_keeping_all_changes_nothing_but_the_modules(model):
    x = torch.randn(9, 64)
    sparse = sparsify_activations(model, keep=1.0)
    kinds = [type(module) for module in sparse]
    assert kinds == [SkippingLinear, nn.ReLU, SkippingLinear, nn.ReLU, SkippingLinear]
    with torch.no_grad():
        for batch in (x, x[:1]):
            torch.testing.assert_close(sparse(batch), model(batch))
    assert isinstance(model[0], nn.Linear)


@pytest.mark.parametrize("criterion", ("magnitude", "wina"))
@pytest.mark.parametrize("keep", (0.9, 0.5, 0.25))
def test_a_threshold_keeps_the_share_that_was_asked_for(model, criterion, keep):
    x = torch.randn(200, 64)
    sparse = sparsify_activations(model, x, {"0": keep, "2": keep}, criterion=criterion)
    zeros = activation_zeros(sparse, x)
    assert zeros["0"] == pytest.approx(1 - keep, abs=1e-3)
    # the ReLU's own zeros are more than half
    assert zeros["2"] >= max(activation_zeros(model, x)["2"], 1 - keep) - 0.02
    assert isinstance(sparse[4], nn.Linear)


def test_skipped_are_the_inputs_of_the_smallest_scores(model):
    x = torch.randn(50, 64)
    with torch.no_grad():
        model[0].weight[:, ::2] *= 10
    scores = x.abs() * model[0].weight.norm(dim=0)
    threshold = scores.quantile(0.5)
    expected = model[0](torch.where(scores > threshold, x, 0.0))
    sparse = sparsify_activations(model, x, {"0": 0.5}, criterion="wina")
    for batch in (slice(None), slice(1)):
        torch.testing.assert_close(sparse[0](x[batch]), expected[batch].detach())


def test_top_k_keeps_as_many_of_each_sample(model):
    x = torch.randn(7, 64)
    sparse = sparsify_activations(model, keep={"0": 0.25}, rule="top_k", criterion="wina")
    assert isinstance(sparse[0][0], TopInputs)
    assert sparse[0][0](x).count_nonzero(dim=1).tolist() == [16] * 7
    assert torch.equal(TopInputs(torch.ones(64), 64)(x), x)


def test_with_orthogonal_columns_no_other_set_of_inputs_has_less_error():
    torch.manual_seed(0)
    lengths = torch.logspace(-1, 1, 8)[torch.randperm(8)]
    linear = nn.Linear(8, 12, bias=False)
    linear.weight.data = torch.linalg.qr(torch.randn(12, 8)).Q * lengths
    sparse, magnitude = (
        sparsify_activations(nn.Sequential(linear), keep=0.5, rule="top_k", criterion=criterion)
        for criterion in ("wina", "magnitude")
    )
    worse = 0
    for x in torch.randn(20, 1, 8):
        with torch.no_grad():
            full = linear(x)
            errors = []
            for kept in combinations(range(8), 4):
                mask = torch.zeros(8)
                mask[list(kept)] = 1
                errors.append(float((linear(x * mask) - full).norm()))
            assert float((sparse(x) - full).norm()) == pytest.approx(min(errors), rel=1e-4)
            worse += float((magnitude(x) - full).norm()) > 1.01 * min(errors)
    assert worse > 10


def errors(model, inputs, keep, rule, examples=None):
    """Relative errors of the outputs, by both criteria."""
    with torch.no_grad():
        full = model(inputs)
        return [
            relative_error(
                sparsify_activations(model, examples, keep, criterion=criterion, rule=rule)(inputs),
                full,
            )
            for criterion in ("wina", "magnitude")
        ]


@pytest.mark.parametrize("activation", (nn.ReLU, nn.GELU))
@pytest.mark.parametrize("keep", (0.3, 0.2))
def test_column_norms_lower_the_error_where_columns_were_made_orthogonal(activation, keep):
    """By a rotation of the inputs of a trained layer, as WINA asks for.

    Without it neither criterion is ahead on these networks.
    """
    torch.manual_seed(0)
    X, y, X_test, _ = digits(0)
    model = train(network(activation), X, y).eval()
    layer, rotation = model[2], torch.linalg.svd(model[2].weight.detach()).Vh
    rotated, turn = nn.Linear(256, 128), nn.Linear(256, 256, bias=False)
    turn.weight.data, rotated.weight.data = rotation, layer.weight.data @ rotation.T
    rotated.bias.data = layer.bias.data
    with torch.no_grad():
        inputs = model[:2](X_test)
    wina, magnitude = errors(nn.Sequential(turn, rotated), inputs, {"1": keep}, "top_k")
    plain = errors(nn.Sequential(layer), inputs, keep, "top_k")
    print(activation.__name__, keep, wina / magnitude, "unturned", plain[0] / plain[1])
    assert wina < 0.6 * magnitude
    assert wina < 0.2 * min(plain)


@pytest.mark.parametrize("rule", ("threshold", "top_k"))
@pytest.mark.parametrize("activation", (nn.ReLU, nn.GELU))
def test_of_both_criteria_each_layer_takes_the_better_one(activation, rule):
    torch.manual_seed(0)
    X, y, X_test, _ = digits(0)
    model = train(network(activation), X, y).eval()
    for layer in (model[2], model[4]):
        single = nn.Sequential(layer)
        with torch.no_grad():
            examples, inputs = (model[: list(model).index(layer)](x) for x in (X, X_test))
            auto = sparsify_activations(single, examples, 0.4, rule=rule)
            error = relative_error(auto(inputs), single(inputs))
        assert error == pytest.approx(min(errors(single, inputs, 0.4, rule, examples)), rel=1e-3)


@pytest.mark.parametrize("name", ("vision transformer, counted heads", "llama, repeated keys"))
def test_transformers_calibrate_and_keep_their_interface(name):
    torch.manual_seed(0)
    make, inputs = TOKEN_ZOO[name]
    model, x = make().eval(), inputs()
    with torch.no_grad():
        torch.testing.assert_close(sparsify_activations(model, keep=1.0)(x), model(x))
        half = sparsify_activations(model, x, 0.5)
        assert 0 < relative_error(half(x), model(x)) < 1
    assert all(0.3 < zeros < 0.8 for zeros in activation_zeros(half, x).values())


def test_encoder_layers_of_torch_call_what_replaced_their_parts():
    """In evaluation mode they would compute with the weights of their parts."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    x = torch.randn(2, 5, 16)
    with torch.no_grad():
        torch.testing.assert_close(sparsify_activations(model, keep=1.0)(x), model(x))
        half = sparsify_activations(model, x, 0.5)
        assert relative_error(half(x), model(x)) > 1e-3
    assert activation_zeros(half, x)["layers.0.linear1"] == pytest.approx(0.5, abs=0.02)


def test_a_layer_with_two_places_is_replaced_in_both():
    linear = nn.Linear(8, 8)
    model = nn.Sequential(linear, nn.ReLU(), linear)
    sparse = sparsify_activations(model, torch.randn(20, 8), 0.5)
    assert sparse[0] is sparse[2]


def test_layers_with_hooks_stay():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    model[0].register_forward_hook(lambda module, inputs, output: output * 0)
    made = sparsify_activations(model, keep=1)
    assert [type(part) for part in made] == [nn.Linear, SkippingLinear]
    x = torch.randn(2, 8)
    torch.testing.assert_close(made(x), model(x))


def test_a_model_that_is_one_layer():
    assert isinstance(sparsify_activations(nn.Linear(4, 4), keep=1.0), SkippingLinear)


@pytest.mark.parametrize("rule", ("threshold", "top_k"))
def test_files_hold_the_thresholds(tmp_path, model, rule):
    x = torch.randn(30, 64)
    sparse = sparsify_activations(model, x, 0.5, rule=rule)
    save_model(sparse, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    with torch.no_grad():
        assert torch.equal(loaded(x[:1]), sparse(x[:1]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        ({"keep": 0.0}, "keep must be shares above 0"),
        ({"keep": {"9*": 0.5}}, "keep names no layer"),
        ({"keep": 0.5}, "example_inputs are needed"),
        ({"criterion": "norm"}, "criterion must be one of auto, magnitude, wina"),
        ({"rule": "top"}, "rule must be one of threshold, top_k"),
    ),
)
def test_wrong_arguments_are_named(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        sparsify_activations(model, **arguments)


def test_layers_that_the_examples_do_not_reach_are_named(model):
    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.other = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.used(x)

    with pytest.raises(ValueError, match=r"bring nothing to \['other'\]"):
        sparsify_activations(Unused(), torch.randn(3, 4))
    with pytest.raises(ValueError, match="bring nothing to"):
        sparsify_activations(model, torch.randn(0, model[0].in_features))
