"""sparsify: which modules, how they start, what is refused, how they are saved and copied."""

from __future__ import annotations

import copy
import gc
import io
import math
from pathlib import Path

import numpy as np
import pytest

import gossamer as gs

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

L1 = gs.L1(0.01)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def data(n=64, p=12):
    X = torch.randn(n, p)
    return X, (X[:, :1] - 2 * X[:, 1:2]).tanh()


def mlp(p=12):
    return nn.Sequential(nn.Linear(p, 16), nn.Tanh(), nn.Linear(16, 1))


def train(model, sparse, optimiser, steps, batch=None):
    X, y = data() if batch is None else batch
    for _ in range(steps):
        optimiser.zero_grad()
        (F.mse_loss(model(X), y) + sparse.penalty()).backward()
        optimiser.step()
        sparse.step()


# -- which weights -----------------------------------------------------------------------------


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        return self.inner(x, x, x, need_weights=False)[0]


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.inner = kind(6, 5, batch_first=True)

    def forward(self, x):
        return self.inner(x)[0]


MODULES = {
    "linear": (lambda: nn.Linear(6, 4), (3, 6)),
    "bilinear": (lambda: Twice(nn.Bilinear(6, 6, 4)), (3, 6)),
    "conv1d": (lambda: nn.Conv1d(3, 4, 3), (2, 3, 8)),
    "conv2d": (lambda: nn.Conv2d(4, 6, 3, groups=2), (2, 4, 6, 6)),
    "conv3d": (lambda: nn.Conv3d(2, 3, 2), (2, 2, 4, 4, 4)),
    "transposed": (lambda: nn.ConvTranspose2d(3, 4, 2), (2, 3, 5, 5)),
    "attention": (Attention, (2, 5, 8)),
    "LSTM": (lambda: Recurrent(nn.LSTM), (2, 5, 6)),
    "GRU": (lambda: Recurrent(nn.GRU), (2, 5, 6)),
    "encoder": (lambda: nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True), (2, 5, 8)),
}


class Twice(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x, x)


@pytest.mark.parametrize("penalty", [L1, gs.Lq(0.01), gs.L1(0.01, on=gs.Channels())], ids=repr)
@pytest.mark.parametrize(("make", "shape"), MODULES.values(), ids=MODULES)
def test_modules_start_train_and_end(make, shape, penalty):
    model, x = make(), torch.randn(shape)
    before = model(x).detach()
    sparse = gs.nn.sparsify(model, {"*": penalty})
    torch.testing.assert_close(model(x), before)
    # the loss alone reaches every factor
    assert all(
        gradient.any()
        for gradient in torch.autograd.grad(model(x).square().mean(), list(sparse.factors()))
    )
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        (model(x).square().mean() + sparse.penalty()).backward()
        optimiser.step()
        sparse.step()
    trained = model(x).detach()
    done = sparse.finalise(tolerance=0.0)
    torch.testing.assert_close(model(x), trained)
    assert set(done.masks) <= {name for name, _ in model.named_parameters()}


def test_embedding_with_long_inputs():
    model = nn.Embedding(10, 4)
    sparse = gs.nn.sparsify(model, {"*": gs.L1(0.1, on=gs.Rows())})
    (model(torch.tensor([[1, 2]])).sum() + sparse.penalty()).backward()
    assert sparse.finalise(keep=0.3).units["weight"] == (3, 10)


def test_embeddings_with_sparse_gradients_are_refused():
    for kind in (nn.Embedding, nn.EmbeddingBag):
        with pytest.raises(ValueError, match="make it with sparse=False"):
            gs.nn.sparsify(kind(10, 4, sparse=True), {"*": L1})


def test_a_padding_row_stays_at_zero():
    model = nn.Embedding(10, 4, padding_idx=3)
    sparse = gs.nn.sparsify(model, {"*": L1})
    (model(torch.arange(10)).square().sum() + sparse.penalty()).backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert not model.weight[3].any() and model.weight[4].all()


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.head = nn.Embedding(9, 6), nn.Linear(6, 9, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens):
        return self.head(self.tokens(tokens).tanh())


def test_tied_weights_stay_tied():
    """The gradient of both uses, one penalty, and one parameter again in the end."""
    model, tokens = Tied(), torch.arange(9)
    expected = model(tokens).detach()
    plain = copy.deepcopy(model)
    sparse = gs.nn.sparsify(model, {"*": gs.L1(0.1)}, spread=0.0)
    torch.testing.assert_close(model(tokens), expected)
    assert sparse.penalty().item() == pytest.approx(0.1 * plain.head.weight.abs().sum().item())

    F.cross_entropy(model(tokens), tokens).backward()
    F.cross_entropy(plain(tokens), tokens).backward()
    u, v = sparse.factors()
    torch.testing.assert_close(u.grad, plain.head.weight.grad * v.detach())
    sparse.finalise(keep=0.5)
    assert model.head.weight is model.tokens.weight
    assert sum(p.numel() for p in model.parameters()) == 54


def test_one_module_under_two_names():
    inner = nn.Linear(4, 4)
    model, x = nn.Sequential(inner, nn.Tanh(), inner), torch.randn(3, 4)
    before = model(x).detach()
    sparse = copy.deepcopy(gs.nn.sparsify(model, {"*": L1}))
    (weight,) = sparse.weights
    assert weight.names == ("0.weight", "2.weight") and len(weight.places) == 1
    torch.testing.assert_close(sparse.model(x), before)
    plain = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    plain.load_state_dict(sparse.plain_state_dict())
    torch.testing.assert_close(plain(x), before)
    sparse.finalise(keep=0.5)
    assert sparse.model[0] is sparse.model[2]
    assert int((sparse.model[0].weight != 0).sum()) == 8


def test_tied_weights_can_be_copied():
    model, tokens = Tied(), torch.arange(9)
    sparse = copy.deepcopy(gs.nn.sparsify(model, {"*": gs.L1(0.1)}))
    sparse.finalise(keep=0.5)
    assert sparse.model.head.weight is sparse.model.tokens.weight
    # the original still trains
    model(tokens).sum().backward()


def test_vectors_and_single_numbers():
    """The scales of a norm layer, named, and a gate of a residual branch."""

    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.gate = nn.LayerNorm(5), nn.Parameter(torch.tensor(0.3))

        def forward(self, x):
            return x + self.gate * self.norm(x)

    model, x = Gated(), torch.randn(4, 5)
    before = model(x).detach()
    sparse = gs.nn.sparsify(model, {"norm.weight": gs.Lq(0.1), "gate": L1})
    torch.testing.assert_close(model(x), before)
    assert sparse.report(lambda: model(x).square().mean()).sparsity == 0
    done = sparse.finalise(threshold=0.5)
    assert done.units == {"gate": (0, 1), "norm.weight": (5, 5)}
    assert torch.equal(model(x), x)


def test_frozen_weights_are_left_alone():
    model = mlp()
    model[0].weight.requires_grad_(False)
    sparse = gs.nn.sparsify(model, {"*": L1})
    assert [weight.name for weight in sparse.weights] == ["2.weight"]


def test_lazy_weights_are_refused():
    with pytest.raises(ValueError, match="on one batch first"):
        gs.nn.sparsify(nn.Sequential(nn.LazyLinear(3)), {"*": L1})


def test_weights_are_sparsified_once():
    model = mlp()
    gs.nn.sparsify(model, {"0": L1})
    with pytest.raises(ValueError, match="parametrised already"):
        gs.nn.sparsify(model, {"*": L1})
    assert [w.name for w in gs.nn.sparsify(model, {"2": L1}).weights] == ["2.weight"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_other_precisions(dtype):
    model = nn.Linear(6, 4).to(dtype)
    w = model.weight.detach().clone()
    sparse = gs.nn.sparsify(model, {"*": gs.L1(0.1)}, keep=0.5, total_steps=1)
    assert {factor.dtype for factor in sparse.factors()} == {dtype}
    torch.testing.assert_close(model.weight.detach(), w)
    (model(torch.ones(1, 6, dtype=dtype)).sum() + sparse.penalty()).backward()
    sparse.step()
    sparse.finalise()
    assert model.weight.dtype == dtype
    assert int((model.weight != 0).sum()) == 12


def test_complex_weights_are_refused():
    model = nn.Linear(3, 2, dtype=torch.complex64)
    with pytest.raises(TypeError, match=r"'weight' is torch\.complex64"):
        gs.nn.sparsify(model, {"*": L1})


# -- the start ---------------------------------------------------------------------------------

STRUCTURES = {
    "elements": gs.Elements(),
    "channels": gs.Channels(),
    "inputs": gs.Channels(1),
    "heads": gs.Heads(2),
    "blocks": gs.Blocks((2, 3)),
    "groups": gs.Groups([0, 1, 0, 2]),
    "spectrum": gs.Spectrum(),
}


def penalties(structure):
    yield gs.L1(0.1, on=structure)
    yield gs.Lq(0.1, q=2 / 3, on=structure)
    yield gs.Lq(0.1, q=0.5, on=structure)
    if not structure.is_spectral:
        yield gs.Lq(0.1, q=0.8, on=structure)
        yield gs.ElasticNet(0.1, on=structure)
        if structure != gs.Elements():
            yield gs.L1(0.1) + gs.L1(0.2, on=structure)


ALL = [penalty for structure in STRUCTURES.values() for penalty in penalties(structure)]


@pytest.mark.parametrize("penalty", ALL, ids=repr)
def test_a_zero_weight_feels_its_gradient(penalty):
    """No dead start: one small step of gradient descent moves every entry downhill."""
    model = nn.Linear(6, 4, bias=False).double()
    nn.init.zeros_(model.weight)
    sparse = gs.nn.sparsify(model, {"*": penalty})
    slope = torch.randn(4, 6, dtype=torch.float64)
    start = model.weight.detach()
    (model.weight * slope).sum().backward()
    with torch.no_grad():
        for factor in sparse.factors():
            factor -= 1e-3 * factor.grad
    assert ((model.weight - start) * slope < 0).all()


@pytest.mark.parametrize("penalty", ALL, ids=repr)
def test_the_start_is_the_weight(penalty):
    model = nn.Linear(6, 4)
    w = model.weight.detach().clone()
    sparse = gs.nn.sparsify(model, {"*": penalty})
    if isinstance(penalty, gs.Lq) and penalty.q == 0.8 and penalty.on == gs.Elements():
        w = model.weight.detach()  # an odd power starts a little above zero
    torch.testing.assert_close(model.weight.detach(), w, atol=1e-4, rtol=1e-4)
    # balanced factors cost what the penalty says
    sparse = gs.nn.sparsify(copy.deepcopy(nn.Linear(6, 4)).double(), {"*": penalty}, spread=0.0)
    weight = sparse.weights[0]
    assert sparse.penalty().item() == pytest.approx(penalty.value(weight.plain()), rel=1e-6)


@pytest.mark.parametrize("penalty", [L1, gs.Lq(0.01), gs.L1(0.01, on=gs.Channels(1))], ids=repr)
def test_signs_can_change(penalty):
    """From weights of the wrong sign to the right one, through zero."""
    X, _ = data(200, 3)
    model = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[-0.5, 0.5, 0.5]]))
    sparse = gs.nn.sparsify(model, {"*": penalty})
    optimiser = torch.optim.SGD(sparse.param_groups(lr=0.1))
    y = X @ torch.tensor([[1.0], [-1.0], [1.0]])
    train(model, sparse, optimiser, 300, (X, y))
    torch.testing.assert_close(
        model.weight.detach(), torch.tensor([[1.0, -1, 1]]), atol=0.1, rtol=0
    )


def test_balanced_starts_keep_their_signs():
    model = nn.Linear(4, 1, bias=False)
    signs = model.weight.detach().sign()
    sparse = gs.nn.sparsify(model, {"*": L1}, spread=0.0)
    X, _ = data(50, 4)
    train(model, sparse, torch.optim.SGD(sparse.param_groups(lr=0.01)), 500, (X, -X @ signs.T))
    assert not (model.weight.detach() * signs < -1e-6).any()


def test_imbalance_decays_at_the_rate_of_theory():
    """Under gradient flow u^2 - v^2 decays as exp(-2 strength t), whatever the loss does."""
    model = nn.Linear(5, 1, bias=False).double()
    sparse = gs.nn.sparsify(model, {"*": gs.L1(0.5)})
    X, y = (tensor.double() for tensor in data(50, 5))
    lr, steps = 1e-3, 2000
    u, v = sparse.factors()
    start = (u**2 - v**2).detach().clone()
    train(model, sparse, torch.optim.SGD(sparse.param_groups(lr=lr)), steps, (X, y))
    expected = start * math.exp(-2 * 0.5 * lr * steps)
    torch.testing.assert_close((u**2 - v**2).detach(), expected, rtol=0.02, atol=1e-4)


def test_the_report_sees_balance_come():
    model = mlp()
    sparse = gs.nn.sparsify(model, {"*": gs.L1(0.05)})
    before = [row.imbalance for row in sparse.report()]
    train(model, sparse, torch.optim.Adam(sparse.param_groups(lr=0.02)), 300)
    after = [row.imbalance for row in sparse.report()]
    assert min(before) > 0.2
    assert max(after) < 0.01


def test_units_have_weights():
    """A unit of weight zero is free, one of a large weight is the first to go."""
    X, _ = data(200, 3)
    model = nn.Linear(3, 1, bias=False)
    rule = gs.L1(0.1, weights=[0.0, 1.0, 50.0])
    sparse = gs.nn.sparsify(model, {"*": rule})
    train(
        model, sparse, torch.optim.Adam(sparse.param_groups(lr=0.03)), 600,
        (X, X.sum(dim=1, keepdim=True)),
    )  # fmt: skip
    sparse.finalise(tolerance=1e-2)
    first, second, third = model.weight.detach()[0].tolist()
    assert first == pytest.approx(1.0, abs=0.1)
    assert 0.8 < second < 1.0
    assert third == 0.0


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", [gs.MCP(0.1), gs.SCAD(0.1), gs.LogSum(0.1)], ids=repr)
def test_penalties_without_a_smooth_form_name_the_way_they_have(penalty):
    model = mlp()
    with pytest.raises(ValueError, match=r"no smooth form\. Use gossamer\.nn\.Proximal"):
        gs.nn.sparsify(model, {"*": penalty})
    assert isinstance(model[0].weight, nn.Parameter)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"keep": 0.1}, ValueError, "total_steps is needed"),
        ({"schedule": "cosine"}, ValueError, "total_steps is needed"),
        ({"total_steps": 0}, ValueError, "total_steps must be >= 1"),
        ({"keep": 1.5, "total_steps": 10}, ValueError, r"in \(0, 1\], got 1.5"),
        ({"keep": True, "total_steps": 10}, (TypeError, ValueError), "keep"),
        ({"keep": "90%", "total_steps": 10}, (TypeError, ValueError), "keep"),
        ({"schedule": "linear", "total_steps": 10}, ValueError, "Known: constant, warm-up"),
        ({"schedule": 3, "total_steps": 10}, TypeError, "name or a function"),
        ({"scale": "fan_in"}, ValueError, "scale must be .* one of"),
        ({"form": "cubic"}, ValueError, "form must be one of"),
        ({"spread": -1.0}, ValueError, "spread"),
        ({"spread": math.nan}, ValueError, "spread"),
        ({"costs": {"0.wait": 2.0}, "keep": 0.1, "total_steps": 10}, ValueError, "0.wait"),
        ({"costs": {"0.weight": -1.0}, "keep": 0.1, "total_steps": 10}, ValueError, "costs"),
    ],
)
def test_arguments_are_checked_before_the_model_is_touched(arguments, error, message):
    model = mlp()
    with pytest.raises(error, match=message):
        gs.nn.sparsify(model, {"*": L1}, **arguments)
    assert isinstance(model[0].weight, nn.Parameter)


def test_a_structure_that_does_not_fit_names_the_weight():
    model = mlp()
    with pytest.raises(ValueError, match=r"0\.weight"):
        gs.nn.sparsify(model, {"*": gs.L1(0.1, on=gs.Heads(5))})
    assert isinstance(model[0].weight, nn.Parameter)


class Lion(torch.optim.SGD):
    """An optimiser of another library, known by its name only."""


DECOUPLED = {
    "AdamW": lambda p: torch.optim.AdamW(p, weight_decay=0.01),
    "AdamW by default": torch.optim.AdamW,
    "Adam": lambda p: torch.optim.Adam(p, weight_decay=0.01, decoupled_weight_decay=True),
    "Lion": lambda p: Lion(p, lr=0.1, weight_decay=0.01),
}


@pytest.mark.parametrize("make", DECOUPLED.values(), ids=DECOUPLED)
def test_decoupled_decay_of_factors_is_refused(make):
    model = mlp()
    sparse = gs.nn.sparsify(model, {"*": L1})
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=r"Remedy: \w+\(sparse\.param_groups\(weight_decay"):
        train(model, sparse, make(model.parameters()), 1)
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


@pytest.mark.parametrize("make", [torch.optim.Adam, torch.optim.SGD], ids=["Adam", "SGD"])
def test_coupled_decay_is_another_ridge_and_allowed(make):
    model = mlp()
    sparse = gs.nn.sparsify(model, {"*": L1})
    train(model, sparse, make(model.parameters(), lr=1e-3, weight_decay=0.01), 1)


def test_decoupled_decay_of_other_parameters_is_allowed():
    model = mlp()
    sparse = gs.nn.sparsify(model, {"2": L1})
    groups = sparse.param_groups(lr=0.1, weight_decay=0.5, factor_lr=0.0)
    before = model[0].weight.detach().clone()
    optimiser = torch.optim.AdamW(groups)
    assert [group["weight_decay"] for group in optimiser.param_groups] == [0.0, 0.5]
    assert [group["lr"] for group in optimiser.param_groups] == [0.0, 0.1]
    model[0].weight.grad = torch.zeros_like(before)
    optimiser.step()
    torch.testing.assert_close(model[0].weight.detach(), 0.95 * before)


def test_the_guard_leaves_with_finalise_and_with_its_owner():
    model = mlp()
    sparse = gs.nn.sparsify(model, {"*": L1})
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=0.1)
    sparse.finalise()
    optimiser.step()

    model = mlp()
    sparse = gs.nn.sparsify(model, {"*": L1})
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=0.1)
    from torch.optim.optimizer import _global_optimizer_pre_hooks

    hooks = len(_global_optimizer_pre_hooks)
    del sparse
    gc.collect()
    optimiser.step()
    assert len(_global_optimizer_pre_hooks) == hooks - 1


def test_a_finalised_model_is_refused():
    sparse = gs.nn.sparsify(mlp(), {"*": L1})
    sparse.finalise()
    for call in (sparse.penalty, sparse.step, sparse.report, sparse.finalise):
        with pytest.raises(RuntimeError, match="finalised"):
            call()


# -- left to the optimiser ---------------------------------------------------------------------


@pytest.mark.parametrize("penalty", ALL, ids=repr)
def test_attached_is_the_penalty_in_the_loss(penalty):
    X, _ = data(40, 6)
    y = X[:, :4].sin()
    ends = []
    for attached in (False, True):
        torch.manual_seed(2)
        model = nn.Linear(6, 4).double()
        sparse = gs.nn.sparsify(model, {"*": penalty}, schedule="cosine", total_steps=20, keep=0.9)
        optimiser = torch.optim.SGD(sparse.param_groups(lr=0.05), momentum=0.9)
        if attached:
            assert sparse.attach(optimiser) is optimiser
        for _ in range(20):
            optimiser.zero_grad()
            loss = F.mse_loss(model(X.double()), y.double())
            (loss if attached else loss + sparse.penalty()).backward()
            optimiser.step()
            if not attached:
                sparse.step()
        assert sparse.steps == 20
        ends.append(model.weight.detach())
    torch.testing.assert_close(*ends, rtol=1e-10, atol=1e-12)


def test_what_cannot_be_attached_is_refused():
    model = mlp()
    optimisers = {
        "make it after sparsify": torch.optim.SGD(model.parameters(), lr=0.1),
    }
    sparse = gs.nn.sparsify(model, {"*": L1})
    optimisers["put sparse.penalty\\(\\) into it"] = torch.optim.LBFGS(model.parameters())
    optimisers["Remedy"] = torch.optim.AdamW(model.parameters(), weight_decay=0.1)
    for message, optimiser in optimisers.items():
        with pytest.raises(ValueError, match=message):
            sparse.attach(optimiser)
    optimiser = sparse.attach(torch.optim.Adam(model.parameters()))
    with pytest.raises(RuntimeError, match="count twice"):
        sparse.penalty()
    with torch.no_grad():
        assert sparse.penalty() > 0
    with pytest.raises(ValueError, match="attached already"):
        sparse.attach(optimiser)
    # what has no gradient is skipped, as the optimiser does
    before = model[0].weight.detach()
    optimiser.step()
    assert torch.equal(model[0].weight, before)
    sparse.finalise()
    model(data()[0]).sum().backward()
    optimiser.step()


# -- saving and copying ------------------------------------------------------------------------


def setting():
    torch.manual_seed(1)
    model = mlp()
    sparse = gs.nn.sparsify(
        model, {"0": gs.L1(0.02, on=gs.Channels()), "*": gs.Lq(0.01)}, keep=0.4, total_steps=60,
        schedule="cosine", scale="fan-in",
    )  # fmt: skip
    return model, sparse, torch.optim.Adam(sparse.param_groups(lr=0.01))


def test_training_goes_on_from_a_checkpoint_bit_by_bit():
    batch = data()
    model, sparse, optimiser = setting()
    train(model, sparse, optimiser, 30, batch)
    file = io.BytesIO()
    parts = (model, sparse, optimiser)
    torch.save([part.state_dict() for part in parts], file)
    train(model, sparse, optimiser, 30, batch)

    file.seek(0)
    loaded = setting()
    for part, state in zip(loaded, torch.load(file, weights_only=True), strict=True):
        part.load_state_dict(state)
    train(*loaded, 30, batch)
    assert loaded[1].strength == sparse.strength
    for one, other in zip(model.parameters(), loaded[0].parameters(), strict=True):
        assert torch.equal(one, other)
    assert sparse.finalise().units == loaded[1].finalise().units


def test_a_checkpoint_of_other_rules_is_refused():
    _, sparse, _ = setting()
    other = gs.nn.sparsify(mlp(), {"0": L1})
    with pytest.raises(ValueError, match="sparsify with the same rules"):
        other.load_state_dict(sparse.state_dict())


def test_plain_weights_load_into_the_architecture():
    X, _ = data()
    model, sparse, optimiser = setting()
    train(model, sparse, optimiser, 5)
    plain = mlp()
    plain.load_state_dict(sparse.plain_state_dict())
    torch.testing.assert_close(plain(X), model(X))
    tied = Tied()
    sparse = gs.nn.sparsify(tied, {"*": L1})
    plain = Tied()
    plain.load_state_dict(sparse.plain_state_dict())
    torch.testing.assert_close(plain(torch.arange(9)), tied(torch.arange(9)))


@pytest.mark.parametrize("how", ["model", "sparse"])
def test_copies_are_independent(how):
    X, _ = data()
    model, sparse, optimiser = setting()
    train(model, sparse, optimiser, 10)
    before = model(X).detach()
    if how == "model":
        twin = copy.deepcopy(model)
        other = sparse.of(twin)
    else:
        other = copy.deepcopy(sparse)
        twin = other.model
    assert other.strength == sparse.strength
    assert other.target == sparse.target and other.target is not sparse.target
    other.finalise()
    assert isinstance(twin[0].weight, nn.Parameter)
    torch.testing.assert_close(model(X), before, rtol=0, atol=0)
    train(model, sparse, optimiser, 5)
    assert (twin[0].weight == 0).any()


def test_an_interrupt_loses_nothing():
    """Ctrl-C anywhere in the loop: the next call goes on, the model still computes."""

    def interrupted():
        raise KeyboardInterrupt

    batch = data()
    model, sparse, optimiser = setting()
    train(model, sparse, optimiser, 10, batch)
    with pytest.raises(KeyboardInterrupt):
        sparse.report(interrupted)
    with pytest.raises(KeyboardInterrupt):
        sparse.finalise(loss=interrupted)
    state = copy.deepcopy(model.state_dict())

    calls = iter([False, True])

    def interrupted_later():
        return interrupted() if next(calls) else F.mse_loss(model(batch[0]), batch[1])

    with pytest.raises(KeyboardInterrupt):
        sparse.finalise(loss=interrupted_later)
    for key, value in model.state_dict().items():
        assert torch.equal(value, state[key])
    train(model, sparse, optimiser, 50, batch)
    assert sparse.finalise().sparsity >= 0.6


def test_weights_that_are_not_finite_are_named():
    model = mlp()
    sparse = gs.nn.sparsify(model, {"*": L1}, keep=0.5, total_steps=10)
    with torch.no_grad():
        next(iter(sparse.weights[1].factors)).fill_(math.nan)
    for _ in range(9):
        sparse.step()
    for call in (sparse.step, sparse.report, sparse.finalise):
        with pytest.raises(ValueError, match=r"2\.weight is not finite: training diverged"):
            call()


SCALES = {
    "fan-in": lambda w: w.shape[1] ** 0.5,
    "size": lambda w: w.shape[1] ** 0.5,  # of a row
    "gain": lambda w: 1 / w.square().mean().sqrt().item(),  # the root of the fan-in cancels
    None: lambda w: 1.0,
    "auto": lambda w: 1.0,
}


@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_scales_of_layers(scale):
    """As documented, and of geometric mean one over all entries."""
    model = mlp()
    expected = np.array([SCALES[scale](model[i].weight.detach()) for i in (0, 2)])
    expected /= np.exp(np.average(np.log(expected), weights=[12 * 16, 16]))
    sparse = gs.nn.sparsify(model, {"*": gs.L1(0.1, on=gs.Rows())}, scale=scale)
    assert [weight.scale for weight in sparse.weights] == pytest.approx(expected.tolist())
    values = [w.scale * gs.L1(0.1, on=gs.Rows()).value(w.plain()) for w in sparse.weights]
    assert [row.penalty for row in sparse.report()] == pytest.approx(values, rel=1e-5)


def test_gradient_scales_balance_the_layers():
    """The scale of a layer is the size of the gradient in its units, relative to the others'."""
    X, y = data()
    model = mlp()
    sparse = gs.nn.sparsify(model, {"*": L1})
    sizes = []
    plain = mlp()
    plain.load_state_dict(sparse.plain_state_dict())
    F.mse_loss(plain(X), y).backward()
    sizes = [plain[i].weight.grad.square().mean().sqrt().item() for i in (0, 2)]
    sparse.scale_by_gradient(lambda: F.mse_loss(model(X), y))
    first, second = (weight.scale for weight in sparse.weights)
    assert first / second == pytest.approx(sizes[0] / sizes[1], rel=1e-5)
    entries = np.array([12 * 16, 16])
    assert np.average(np.log([first, second]), weights=entries) == pytest.approx(0, abs=1e-12)


def test_a_loss_that_is_no_number_is_refused():
    sparse = gs.nn.sparsify(mlp(), {"*": L1})
    for loss in (lambda: 1.0, lambda: torch.ones(3, requires_grad=True), lambda: torch.ones(())):
        with pytest.raises(TypeError, match="as one number with a gradient"):
            sparse.report(loss)


def test_no_module_hides_a_public_name():
    """Importing ``nn/x.py`` sets ``nn.x``: a public x beside it would be gone."""
    folder = Path(gs.nn.__file__).parent
    modules = {file.stem for file in folder.iterdir()} - {"models"}
    assert not modules & set(gs.nn.__all__)
