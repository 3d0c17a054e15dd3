"""Networks, data and a training loop that are small enough for many tests."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


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


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.head = nn.Embedding(9, 6), nn.Linear(6, 9, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens):
        return self.head(self.tokens(tokens).tanh())
