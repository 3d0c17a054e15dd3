"""Sparse modules in the rest of torch: compile, autocast, export, averages, functional calls."""

from __future__ import annotations

import copy
import io
import shutil

import pytest

import gossamer as gs

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

# inductor needs a compiler; what it is given does not
BACKEND = "inductor" if shutil.which("g++") or shutil.which("clang++") else "aot_eager"

# torch's own code warns of itself here
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*TF32"),
]

RULES = {
    "depth 2": gs.L1(0.01),
    "depth 3": gs.Lq(0.01),
    "depth 4": gs.Lq(0.01, q=0.5),
    "real depth": gs.Lq(0.01, q=0.8),
    "channels": gs.L1(0.01, on=gs.Channels()),
    "groups": gs.L1(0.01, on=gs.Groups([0, 1, 1, 0, 2, 2, 2, 0])),
    "low rank": gs.L1(0.01, on=gs.Spectrum()),
    "sum": gs.L1(0.01) + gs.L1(0.02, on=gs.Channels()),
    "elastic net": gs.ElasticNet(0.01, on=gs.Heads(2)),
    "weights": gs.L1(0.01, on=gs.Channels(), weights=[1.0, 2, 1, 1, 0, 1, 1, 1]),
}


@pytest.fixture(autouse=True)
def fresh():
    torch.manual_seed(0)
    # what other tests compiled counts towards a limit
    torch._dynamo.reset()


def network(penalty=RULES["depth 2"], **arguments):
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))
    sparse = gs.nn.sparsify(model, {"0": penalty, "2": gs.L1(0.01)}, **arguments)
    return model, sparse


def batch():
    X = torch.randn(32, 6)
    return X, torch.stack([X[:, 0], X[:, 1] - X[:, 2]], dim=1).tanh()


def gradients(model, sparse, compute):
    model.zero_grad()
    (compute() + sparse.penalty()).backward()
    return [p.grad.clone() for p in model.parameters()]


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("penalty", RULES.values(), ids=RULES)
def test_compiles_as_one_graph(penalty, backend):
    model, sparse = network(penalty)
    X, y = batch()
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    expected = gradients(model, sparse, lambda: F.mse_loss(model(X), y))
    found = gradients(model, sparse, lambda: F.mse_loss(compiled(X), y))
    torch.testing.assert_close(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("penalty", [RULES["depth 3"], RULES["channels"]], ids=repr)
def test_the_whole_step_compiles(penalty):
    """Loss, penalty and their gradients in one compiled function, for real."""
    model, sparse = network(penalty)
    X, y = batch()
    whole = torch.compile(
        lambda: F.mse_loss(model(X), y) + sum(w.ridge() for w in sparse.weights),
        fullgraph=True, backend=BACKEND,
    )  # fmt: skip
    expected = gradients(model, sparse, lambda: F.mse_loss(model(X), y))
    model.zero_grad()
    whole().backward()
    torch.testing.assert_close([p.grad for p in model.parameters()], expected)


def test_a_compiled_model_is_finalised_through_its_original():
    model, sparse = network()
    X, _ = batch()
    compiled = torch.compile(model, backend="aot_eager")
    compiled(X).sum().backward()
    sparse.finalise(keep=0.3)
    torch.testing.assert_close(compiled(X), model(X))
    assert (model[0].weight == 0).any()


@pytest.mark.parametrize("penalty", RULES.values(), ids=RULES)
def test_autocast(penalty):
    """The products of a forward pass in bfloat16; factors, penalty and gradients in float32."""
    model, sparse = network(penalty)
    X, y = batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = model(X)
        loss = F.mse_loss(made.float(), y) + sparse.penalty()
    assert made.dtype == torch.bfloat16
    loss.backward()
    assert {p.grad.dtype for p in model.parameters()} == {torch.float32}
    exact = gradients(model, sparse, lambda: F.mse_loss(model(X), y))
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (F.mse_loss(model(X).float(), y) + sparse.penalty()).backward()
    for p, gradient in zip(model.parameters(), exact, strict=True):
        # eight bits of mantissa
        assert (p.grad - gradient).norm() <= 0.05 * gradient.norm()
    assert sparse.report().sparsity >= 0


def test_scaled_gradients():
    """GradScaler: scaled losses, unscaled steps, the same end."""
    ends = []
    for enabled in (False, True):
        torch.manual_seed(0)
        model, sparse = network()
        X, y = batch()
        optimiser = torch.optim.SGD(sparse.param_groups(lr=0.1))
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, enabled=enabled)
        for _ in range(10):
            optimiser.zero_grad()
            scaler.scale(F.mse_loss(model(X), y) + sparse.penalty()).backward()
            scaler.unscale_(optimiser)
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            scaler.step(optimiser)
            scaler.update()
            sparse.step()
        ends.append(model[0].weight.detach())
    torch.testing.assert_close(*ends)


@pytest.mark.parametrize("form", ["product", "shared"])
@pytest.mark.parametrize("depth", [2, 3, 4, 5])
def test_first_and_second_derivatives(depth, form):
    """The fused products against finite differences."""
    model = nn.Linear(3, 2, bias=False).double()
    rule = gs.L1(0.1) if depth == 2 else gs.Lq(0.1, q=2 / depth)
    sparse = gs.nn.sparsify(model, {"*": rule}, form=form)
    factors = tuple(factor.detach().requires_grad_() for factor in sparse.factors())
    made = model.parametrizations["weight"][0]
    assert torch.autograd.gradcheck(made, factors)
    assert torch.autograd.gradgradcheck(made, factors)


def test_clipped_gradients():
    model, sparse = network()
    X, y = batch()
    (1e6 * F.mse_loss(model(X), y) + sparse.penalty()).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    total = sum(p.grad.square().sum() for p in model.parameters()).sqrt()
    assert total.item() == pytest.approx(1.0, rel=1e-4)


def test_accumulated_gradients():
    """Two halves of a batch with half of the penalty each are the whole batch."""
    model, sparse = network()
    X, y = batch()
    whole = gradients(model, sparse, lambda: F.mse_loss(model(X), y))
    model.zero_grad()
    for half in (slice(0, 16), slice(16, 32)):
        ((F.mse_loss(model(X[half]), y[half]) + sparse.penalty()) / 2).backward()
    torch.testing.assert_close([p.grad for p in model.parameters()], whole)


@pytest.mark.parametrize("attached", [False, True])
def test_averaged_models(attached):
    """An exponential average of the factors is finalised by itself; training is not disturbed."""
    model, sparse = network(total_steps=40, keep=0.4)
    X, y = batch()
    averaged = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
    )
    optimiser = torch.optim.Adam(sparse.param_groups(lr=0.01))
    if attached:
        sparse.attach(optimiser)
    for _ in range(40):
        optimiser.zero_grad()
        loss = F.mse_loss(model(X), y)
        (loss if attached else loss + sparse.penalty()).backward()
        optimiser.step()
        if not attached:
            sparse.step()
        averaged.update_parameters(model)
    before = model(X).detach()
    twin = sparse.of(averaged.module)
    done = twin.finalise()
    assert isinstance(averaged.module[0].weight, nn.Parameter)
    assert done.sparsity >= 0.6
    assert torch.equal(model(X), before)
    assert sparse.finalise().sparsity >= 0.6


@pytest.mark.parametrize("penalty", RULES.values(), ids=RULES)
def test_functional_calls(penalty):
    """torch.func sees factors as parameters: other ones can be put in, and mapped over."""
    model, _ = network(penalty)
    X, _ = batch()
    parameters = dict(model.named_parameters())
    torch.testing.assert_close(torch.func.functional_call(model, parameters, (X,)), model(X))
    other = {name: torch.zeros_like(p) for name, p in parameters.items()}
    assert not torch.func.functional_call(model, other, (X,)).any()

    def loss(parameters, x):
        return torch.func.functional_call(model, parameters, (x[None],)).square().sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, X)
    model.zero_grad()
    model(X).square().sum().backward()
    for name, p in model.named_parameters():
        torch.testing.assert_close(each[name].sum(0), p.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("penalty", RULES.values(), ids=RULES)
def test_export_before_and_after_the_end(penalty):
    model, sparse = network(penalty)
    model.eval()
    X, _ = batch()
    program = torch.export.export(model, (X,))
    torch.testing.assert_close(program.module()(X), model(X))
    sparse.finalise(keep=0.5)
    program = torch.export.export(model, (X,))
    torch.testing.assert_close(program.module()(X), model(X))
    assert set(program.state_dict) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    torch.testing.assert_close(torch.export.load(file).module()(X), model(X))


def test_checkpointed_activations():
    """Weights made again in the backward pass are the same ones."""
    from torch.utils.checkpoint import checkpoint

    model, sparse = network()
    X, y = batch()
    expected = gradients(model, sparse, lambda: F.mse_loss(model(X), y))
    found = gradients(
        model, sparse, lambda: F.mse_loss(checkpoint(model, X, use_reentrant=False), y)
    )
    torch.testing.assert_close(found, expected)


def test_state_loads_with_weights_only_and_strictly():
    model, sparse = network()
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "sparse": sparse.state_dict()}, file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    other, twin = network()
    other.load_state_dict(state["model"], strict=True)
    twin.load_state_dict(state["sparse"])
    torch.testing.assert_close(other[0].weight, model[0].weight)
    plain = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))
    with pytest.raises(RuntimeError, match="Missing key"):
        plain.load_state_dict(state["model"])


@pytest.mark.parametrize("made", ["meta", "cast", "moved"])
def test_modules_are_cast_and_moved(made):
    model, sparse = network(RULES["groups"])
    X, _ = batch()
    expected = model(X)
    if made == "cast":
        model.double()
        torch.testing.assert_close(model(X.double()).float(), expected)
        assert sparse.penalty().dtype == torch.float64
    elif made == "moved":
        model.to("cpu")
        torch.testing.assert_close(model(X), expected)
    else:
        assert model.to("meta")(X.to("meta")).shape == expected.shape


def test_cached_weights_are_made_once():
    """torch's own cache for weights that are used several times in a pass."""
    model, sparse = network()
    X, y = batch()
    expected = gradients(model, sparse, lambda: F.mse_loss(model(X) + model(-X), y))

    def cached():
        with nn.utils.parametrize.cached():
            return F.mse_loss(model(X) + model(-X), y)

    torch.testing.assert_close(gradients(model, sparse, cached), expected)


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam", "RAdam"])
def test_any_optimiser(name, foreach):
    model, sparse = network()
    X, y = batch()
    optimiser = getattr(torch.optim, name)(sparse.param_groups(lr=0.02), foreach=foreach)
    before = F.mse_loss(model(X), y) + sparse.penalty()
    for _ in range(30):
        optimiser.zero_grad()
        (F.mse_loss(model(X), y) + sparse.penalty()).backward()
        optimiser.step()
        sparse.step()
    assert F.mse_loss(model(X), y) + sparse.penalty() < before


def test_copies_of_copies():
    model, sparse = network()
    X, _ = batch()
    expected = model(X).detach()
    twin = copy.deepcopy(copy.deepcopy(sparse))
    twin.finalise(keep=0.1)
    torch.testing.assert_close(model(X), expected)
    again = gs.nn.sparsify(twin.model, {"*": gs.L1(0.1)})
    again.finalise()
