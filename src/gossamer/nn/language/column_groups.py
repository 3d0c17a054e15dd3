"""Groups of a layer's inputs that go one after the other, and what the others do instead."""

from __future__ import annotations

import torch
from torch import Tensor

from gossamer.nn.language.quadratic import Quadratic

_TURNS = 100


def surviving_groups(problem: Quadratic, size: int, count: int) -> Tensor:
    r"""(p / size,) bool: the ``count`` groups of neighbouring inputs that stay.

    The group that the outputs feel least goes first, all other weights making up for it, and so on,

    .. math:: \arg\min_g \operatorname{tr} U_g \bigl( (H^{-1})_{gg} \bigr)^{-1} U_g^\top, \qquad
        U \leftarrow U - U_g \bigl( (H^{-1})_{gg} \bigr)^{-1} (H^{-1})_{g:}

    with :math:`H^{-1}` updated alike, so that it is the inverse for the inputs that are left. Of
    many groups a hundredth go at a time.
    """
    weight, inverse = problem.weight.clone(), problem.inverse(0.0)
    groups = weight.shape[1] // size
    each = torch.arange(groups, device=weight.device)
    alive = torch.ones(groups, dtype=torch.bool, device=weight.device)
    one = torch.eye(size, device=weight.device)
    while (beyond := int(alive.sum()) - count) > 0:
        blocks = inverse.view(groups, size, groups, size)[each, :, each]
        blocks = torch.where(alive[:, None, None], blocks, one)
        columns = weight.T.reshape(groups, size, -1)
        rises = (columns * torch.linalg.solve(blocks, columns)).sum((1, 2))
        together = max(1, min(beyond, groups // _TURNS))
        least = rises.masked_fill(~alive, torch.inf).topk(together, largest=False).indices
        gone = (least[:, None] * size + torch.arange(size, device=weight.device)).flatten()
        others = torch.linalg.solve(inverse[gone][:, gone], inverse[gone])
        weight -= weight[:, gone] @ others
        inverse -= inverse[:, gone] @ others
        weight[:, gone], inverse[gone], inverse[:, gone] = 0, 0, 0
        alive[least] = False
    return alive


def refitted(problem: Quadratic, columns: Tensor) -> Tensor:
    """(m, kept) the best weights, in the layer's own units, where only some inputs are read.

    All outputs have the same support: one system for all.
    """
    hessian = problem.hessian.double()
    pull = (problem.weight.double() @ hessian)[:, columns]
    factor = torch.linalg.cholesky(hessian[columns][:, columns])
    weight = torch.cholesky_solve(pull.T, factor).T
    return (weight / problem.scales[columns]).float()
