"""Total variation on the nodes of a chain or a graph: differences, prox, and what is left over."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# relative to the largest supply, what counts as nothing in a flow
_ROUNDING = 1e-13


class Graph:
    """``n_nodes`` nodes with edges (m, 2), or a chain when ``edges`` is ``None``.

    Arrays have shape (n_nodes,) or (n_nodes, K), whose columns are apart.
    """

    def __init__(self, n_nodes: int, edges: np.ndarray | None) -> None:
        self.n_nodes, self.is_chain = n_nodes, edges is None
        if edges is None:
            steps = np.arange(max(n_nodes - 1, 0))
            edges = np.stack([steps, steps + 1], axis=1)
        self.edges = edges

    def differences(self, w: np.ndarray) -> np.ndarray:
        if self.is_chain:
            return np.diff(w, axis=0)
        return w[self.edges[:, 1]] - w[self.edges[:, 0]]

    # -- constants on connected parts --------------------------------------------------------------
    @cached_property
    def parts(self) -> tuple[int, np.ndarray]:
        """How many connected parts there are, and each node's."""
        n, (tails, heads) = self.n_nodes, self.edges.T
        links = coo_array((np.ones(len(tails)), (tails, heads)), shape=(n, n))
        count, labels = connected_components(links, directed=False)
        return count, labels

    def means(self, z: np.ndarray) -> np.ndarray:
        """The mean of every node's part."""
        if self.is_chain:
            return np.broadcast_to(z.mean(axis=0), z.shape)
        count, labels = self.parts
        sizes = np.bincount(labels, minlength=count)
        flat = z.reshape(self.n_nodes, -1)
        columns = [np.bincount(labels, column, count) / sizes for column in flat.T]
        return np.stack(columns, axis=1)[labels].reshape(z.shape)

    def constants(self) -> np.ndarray:
        """(n_nodes, n_parts) orthonormal indicators of the parts."""
        if self.is_chain:
            return np.full((self.n_nodes, 1), 1 / np.sqrt(self.n_nodes))
        count, labels = self.parts
        indicators = (labels[:, None] == np.arange(count)).astype(float)
        return indicators / np.linalg.norm(indicators, axis=0)

    # -- prox --------------------------------------------------------------------------------------
    def prox(self, v: np.ndarray, strength: float | np.ndarray) -> np.ndarray:
        """argmin_w ``|w - v|^2 / 2 + sum_e strength_e |difference_e|``."""
        if v.ndim > 1:
            columns = v.reshape(self.n_nodes, -1).T
            return np.stack([self.prox(c, strength) for c in columns], axis=1).reshape(v.shape)
        if not np.isfinite(v).all():
            return np.full_like(v, np.nan)
        # no edge carries more than all deviations together: stronger ones would only cost digits
        mean = v.mean()
        most = np.abs(v - mean).sum()
        bounds = np.minimum(np.broadcast_to(strength, (len(self.edges),)), most)
        if self.is_chain:
            return mean + chain_prox(v - mean, bounds)
        return mean + self._levels(v - mean, bounds)

    def rest(self, w: np.ndarray, pull: np.ndarray, strength: float) -> np.ndarray:
        """What ``pull`` is away from the subdifferential of ``strength`` times the variation."""
        if w.ndim > 1:
            pairs = zip(
                w.reshape(self.n_nodes, -1).T, pull.reshape(self.n_nodes, -1).T, strict=True
            )
            return np.stack([self.rest(*pair, strength) for pair in pairs], 1).reshape(w.shape)
        signs = np.sign(self.differences(w))
        tails, heads = self.edges.T
        forces = np.bincount(heads, signs, self.n_nodes) - np.bincount(tails, signs, self.n_nodes)
        return self.prox(pull - strength * forces, np.where(signs == 0, strength, 0.0))

    def _levels(self, v: np.ndarray, bounds: np.ndarray) -> np.ndarray:
        """Level sets by minimum cuts: sets are cut at their mean until none can be.

        A set that is cut never joins again; the edges across then pull with all their weight, and
        the sets are apart (Hochbaum 2001). All sets of a round share one flow.
        """
        from gossamer.kernels import bind
        from gossamer.kernels.flows import push_flow

        push = bind(push_flow)
        starts, to, twin, edge_of = self._arcs
        n, (tails, heads) = self.n_nodes, self.edges.T
        pulled, members = v.copy(), self.parts[1].astype(np.intp)
        level, arc, path = (np.empty(n, dtype=np.intp) for _ in range(3))
        while True:
            count = int(members.max(initial=-1)) + 1
            means = np.bincount(members, pulled, count) / np.bincount(members, minlength=count)
            supply = pulled - means[members]
            inside = members[tails] == members[heads]
            room = np.where(inside, bounds, 0.0)[edge_of]
            tiny = _ROUNDING * max(np.abs(v).max(initial=0.0), bounds.max(initial=0.0))
            push(starts, to, twin, room, supply, level, arc, path, tiny)
            above = level >= 0
            if not above.any():
                return means[members]
            cut = np.flatnonzero(inside & (above[tails] != above[heads]))
            outward = np.where(above[tails[cut]], bounds[cut], -bounds[cut])
            pulled -= np.bincount(tails[cut], outward, n) - np.bincount(heads[cut], outward, n)
            _, members = np.unique(2 * members + above, return_inverse=True)

    @cached_property
    def _arcs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Both directions of the edges, node after node: where each node's begin, where they go,
        the arc back, and the edge of each."""
        m = len(self.edges)
        tails, heads = (np.concatenate([self.edges[:, k], self.edges[:, 1 - k]]) for k in (0, 1))
        order = np.argsort(tails, kind="stable")
        place = np.empty(2 * m, dtype=np.intp)
        place[order] = np.arange(2 * m)
        starts = np.concatenate([[0], np.cumsum(np.bincount(tails, minlength=self.n_nodes))])
        return starts, heads[order], place[(order + m) % (2 * m)] if m else order, order % max(m, 1)


def chain_prox(y: np.ndarray, edges: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The prox of weighted total variation on a chain, in linear time."""
    from gossamer.kernels import bind
    from gossamer.kernels.chain import chain_prox as kernel

    n = len(y)
    out = np.array(y, dtype=float)
    if n > 1:
        room = (np.empty(2 * n), np.empty(2 * n), np.empty(2 * n), np.empty(n), np.empty(n))
        weights = np.ones(n) if weights is None else np.ascontiguousarray(weights)
        data = np.ascontiguousarray(y)
        bind(kernel)(data, weights, np.ascontiguousarray(edges), *room, out)
    return out
