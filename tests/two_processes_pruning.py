"""Sparse training in two processes: what each of them runs. Spawned ones import this by name."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from two_processes_of_torch import one_of_two

import gossamer as gs

STEPS = 30


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))


def batch():
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(64, 8, generator=generator)
    return X, X[:, :4].argmax(1)


def train(model, parallel, recipe, X, y, seed=0):
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.02)
    training = gs.nn.SparseTraining(
        model, optimiser, recipe, keep=0.25, total_steps=STEPS, data=[(X, y)], seed=seed
    )
    for _ in range(STEPS):
        optimiser.zero_grad()
        F.cross_entropy(parallel(X), y).backward()
        optimiser.step()
        training.step()
    return training.finalise()


def replicated(rank, address, recipe, folder):
    """A process of DDP with its half of the batch, and a seed of its own."""
    with one_of_two(rank, address):
        model = network()
        parallel = nn.parallel.DistributedDataParallel(model)
        X, y = batch()
        masks = train(model, parallel, recipe, X[rank::2], y[rank::2], seed=rank)
        torch.save([model.state_dict(), masks.state_dict()], f"{folder}/{rank}")
