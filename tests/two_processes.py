"""Training in two processes: what each of them runs. Spawned ones import this module by name."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from two_processes_of_torch import one_of_two

import gossamer as gs

STEPS = 30
RULES = {"0": gs.L1(5e-3, on=gs.Channels()), "*": gs.Lq(2e-3)}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4))


def batch():
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(64, 6, generator=generator)
    return X, X[:, :4].tanh()


def train(model, sparse, optimiser, X, y, attached=False):
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss = F.mse_loss(model(X), y)
        (loss if attached else loss + sparse.penalty()).backward()
        optimiser.step()
        if not attached:
            sparse.step()


def alone(attached=False):
    """What one process makes of the whole batch."""
    model = network()
    sparse = gs.nn.sparsify(model, RULES, keep=0.5, total_steps=STEPS)
    optimiser = torch.optim.Adam(sparse.param_groups(lr=0.02))
    if attached:
        sparse.attach(optimiser)
    train(model, sparse, optimiser, *batch(), attached)
    return model, sparse


def replicated(rank, address, attached, folder):
    """A process of DDP: its half of the batch; what it ends with goes to a file."""
    with one_of_two(rank, address):
        model = network()
        sparse = gs.nn.sparsify(model, RULES, keep=0.5, total_steps=STEPS)
        parallel = nn.parallel.DistributedDataParallel(model)
        optimiser = torch.optim.Adam(sparse.param_groups(lr=0.02))
        if attached:
            sparse.attach(optimiser)
        X, y = batch()
        train(parallel, sparse, optimiser, X[rank::2], y[rank::2], attached)
        shown = sparse.report(lambda: F.mse_loss(model(X), y)).to_dict()
        done = sparse.finalise(inputs=X, max_change=0.5)
        torch.save([model.state_dict(), shown, done.units], f"{folder}/{rank}")


def sharded(rank, address, attached, folder):
    """A process of FSDP2, likewise."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    with one_of_two(rank, address):
        model = network()
        sparse = gs.nn.sparsify(model, RULES, keep=0.5, total_steps=STEPS)
        mesh = init_device_mesh("cpu", (2,))
        for layer in (model[0], model[2], model):
            fully_shard(layer, mesh=mesh)
        optimiser = torch.optim.Adam(sparse.param_groups(lr=0.02))
        if attached:
            sparse.attach(optimiser)
        X, y = batch()
        train(model, sparse, optimiser, X[rank::2], y[rank::2], attached)
        shown = sparse.report().to_dict()
        refusal = ""
        try:
            sparse.finalise()
        except ValueError as error:
            refusal = str(error)
        whole = sparse.plain_state_dict()
        # the remedy of the message: the same rules on the whole model
        plain = network()
        plain.load_state_dict(whole)
        done = gs.nn.sparsify(plain, RULES).finalise(keep=0.5)
        factors = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True))
        torch.save([plain.state_dict(), shown, done.units, factors, refusal], f"{folder}/{rank}")
