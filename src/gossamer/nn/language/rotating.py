"""Rotating: the residual stream of a transformer in coordinates of which few say most."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from gossamer.nn.channels import evaluating
from gossamer.nn.hooks import has_hooks
from gossamer.nn.language.architectures import architecture_of
from gossamer.nn.language.likelihood import check_tokens, logits_of

_ZEROS = 0.1  # the share of them in a matrix from which on it counts as pruned


@torch.no_grad()
def rotate(model: nn.Module, calibration: Tensor, *, batch_size: int = 4) -> Tensor:
    r"""Rotate the residual stream of a Llama-like model to its principal axes, in place.

    Root-mean-square norms commute with rotations once their weights are part of the layers behind
    them. So an orthogonal Q moves into the matrices that read and write the stream,

    .. math:: W_{\text{read}} \leftarrow W_{\text{read}} \operatorname{diag}(g) \, Q, \qquad
        W_{\text{write}} \leftarrow Q^\top W_{\text{write}},

    and the model computes what it did, with as many products. Here Q are the eigenvectors of the
    second moments of the normalised stream, averaged over all norms at equal traces. Tokens then
    spread unevenly over the coordinates, and :func:`gossamer.runtime.sparsify_activations` leaves
    out more of them at the same perplexity, above all when few are kept.

    Parameters
    ----------
    model : nn.Module
        A Hugging Face model of the shape of Llama, dense: rotate first and prune then, as zeros of
        weights do not survive. Where its embedding and its output layer were one matrix they become
        two, and its configuration says so: the saved model loads by ``from_pretrained``. For a
        while, its matrices are held twice.
    calibration : (n, length) integer tensor
        A few thousand tokens, such as :func:`gossamer.nn.language.tokens_of` makes.
    batch_size : int, default 4
        Windows at a time.

    Returns
    -------
    (width, width) float32 tensor
        Q, orthogonal: hidden states become ``h @ Q``. The most important axis comes first.

    Raises
    ------
    ValueError
        For models of another shape, whose norms are others or whose blocks have further parts; for
        layers that are adapted, pruned, shared or not finite; where the outputs on the first
        windows would change by more than rounding. The model is as it was then.
    TypeError
        For tokens that are none.

    References
    ----------
    Ashkboos, Croci, do Nascimento, Hoefler and Hensman (2024), SliceGPT: compress large language
    models by deleting rows and columns, with a rotation for each block and a product between them.
    Chen et al. (2025), WINA: weight informed neuron activation for accelerating large language
    model inference.

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> config = LlamaConfig(
    ...     vocab_size=40, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
    ...     num_attention_heads=2,
    ... )
    >>> model, tokens = LlamaForCausalLM(config).eval(), torch.randint(3, 40, (4, 16))
    >>> before = model(tokens).logits
    >>> basis = rotate(model, tokens)
    >>> bool(torch.allclose(model(tokens).logits, before, atol=1e-5))
    True
    """
    check_tokens("calibration", calibration)
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size must be an integer >= 1, got {batch_size!r}.")
    parts = _Parts.of(model)
    with evaluating(model):
        basis = torch.linalg.eigh(parts.moments(calibration, batch_size)).eigenvectors.flip(1)
        first = calibration[:batch_size].to(parts.embedding.weight.device)
        before = logits_of(model, first)
        kept, head_weight = [(t, t.clone()) for t in parts.tensors], parts.head.weight
        parts.rotate_(basis)
        off = float((logits_of(model, first) - before).float().norm() / before.float().norm())
    if not off < _tolerance(before.dtype):
        for tensor, value in kept:
            tensor.copy_(value)
        parts.head.weight = head_weight
        raise ValueError(
            f"A {type(model).__name__} cannot be rotated: its outputs would change by {off:.2g}. "
            "More reads or writes its hidden states than its blocks, embedding and output layer."
        )
    parts.untie()
    return basis.float()


def _tolerance(dtype: torch.dtype) -> float:
    """What rounding may change, relatively; norms of transformers compute in single precision."""
    return float(max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps) ** 0.5)


def _precise(tensor: Tensor) -> Tensor:
    """In double precision, on the processor: some devices have none."""
    return tensor.cpu().double()


@dataclass
class _Parts:
    """What reads and what writes the residual stream.

    Attributes
    ----------
    model : nn.Module
    embedding : nn.Embedding
    norms : list of (norm, layers that read it), the last one before the head
    writers : list of nn.Linear
    """

    model: Any
    embedding: nn.Embedding
    norms: list[tuple[Any, list[nn.Linear]]]
    writers: list[nn.Linear]

    @classmethod
    def of(cls, model: Any) -> _Parts:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}.")
        known = architecture_of(model)
        if not known.norms:
            raise _refusal(model, "is not known to have root-mean-square norms and no more")
        core, _, stack = known.blocks.rpartition(".")
        head = getattr(model, "get_output_embeddings", lambda: None)()
        if head is None:
            raise _refusal(model, "has no output layer that get_output_embeddings() names")
        norms, writers, groups = [], [], (known.queries_keys_values, known.widening)
        for block in _part(model, core, stack):
            for name, readers in zip(known.norms, groups, strict=True):
                norm = _part(block, name)
                norms.append((norm, [_part(block, reader) for reader in readers]))
            writers += [_part(block, known.mixing), _part(block, known.narrowing)]
            inside = {name.partition(".")[0] for name in (*known.norms, *known.layers)}
            for name, child in block.named_children():
                if name not in inside and any(True for _ in child.parameters()):
                    raise _refusal(block, f"has {name!r} between its parts")
        norms.append((_part(model, core, known.last_norm), [head]))
        found = cls(model, _part(model, core, known.embedding), norms, writers)
        found._check()
        return found

    @property
    def head(self) -> nn.Linear:
        return self.norms[-1][1][0]

    @property
    def readers(self) -> Iterator[nn.Linear]:
        return chain.from_iterable(layers for _, layers in self.norms)

    @property
    def tensors(self) -> list[Tensor]:
        """All that a rotation changes."""
        biases = [layer.bias for layer in self.writers if layer.bias is not None]
        return [*(part.weight for part in self._matrices), *biases, *self._weights_of_norms]

    @property
    def _matrices(self) -> list[Any]:
        return [self.embedding, *self.readers, *self.writers]

    @property
    def _weights_of_norms(self) -> list[Tensor]:
        return [norm.weight for norm, _ in self.norms]

    def _check(self) -> None:
        """Refuse what computes otherwise than its weights say, or shares them."""
        for part in self._matrices:
            kind = nn.Embedding if part is self.embedding else nn.Linear
            if type(part) is not kind or has_hooks(part) or "weight" not in part._parameters:
                raise _refusal(
                    part, f"is no plain {kind.__name__}: merge adapters, and finalise what is held"
                )
            if not part.weight.is_floating_point() or not bool(part.weight.isfinite().all()):
                raise _refusal(part, "has weights that are not finite floating-point numbers")
            if kind is nn.Linear and float((part.weight == 0).float().mean()) > _ZEROS:
                raise _refusal(part, "has been pruned, and its zeros would be gone: rotate first")
        for norm, _ in self.norms:
            _check_norm(norm)
        tied = self.head.weight is self.embedding.weight
        own = [t for t in self.tensors if not (tied and t is self.head.weight)]
        if len({id(tensor) for tensor in own}) < len(own):
            raise _refusal(self.model, "has blocks that share weights")

    def moments(self, tokens: Tensor, batch_size: int) -> Tensor:
        """(width, width) second moments of the normalised stream, averaged at equal traces."""
        width = self.embedding.embedding_dim
        norms = [norm for norm, _ in self.norms[:-1]]  # the head is never sparse
        totals = [torch.zeros(width, width) for _ in norms]
        with ExitStack() as stack:
            for norm, total in zip(norms, totals, strict=True):

                def add(norm: Any, inputs: tuple[Tensor, ...], total: Tensor = total) -> None:
                    x = inputs[0].flatten(0, -2).to(total)
                    x = x / (x.square().mean(-1, keepdim=True) + _epsilon(norm)).sqrt()
                    total.addmm_(x.T, x)

                stack.callback(norm.register_forward_pre_hook(add).remove)
            for batch in tokens.split(batch_size):
                logits_of(self.model, batch.to(self.embedding.weight.device))
        found = torch.stack([total / total.trace() for total in totals]).mean(0).double()
        if not bool(found.isfinite().all()):
            raise _refusal(self.model, "has hidden states that are zero or not finite")
        return found

    def rotate_(self, basis: Tensor) -> None:
        """The norms' weights and the rotation go into the matrices."""
        if self.head.weight is self.embedding.weight:
            weight = self.head.weight
            self.head.weight = nn.Parameter(weight.clone(), weight.requires_grad)
        self.embedding.weight.copy_(_precise(self.embedding.weight) @ basis)
        for norm, readers in self.norms:
            for layer in readers:
                layer.weight.copy_(_precise(layer.weight) * _precise(norm.weight) @ basis)
            norm.weight.fill_(1.0)
        for layer in self.writers:
            layer.weight.copy_(basis.T @ _precise(layer.weight))
            if layer.bias is not None:
                layer.bias.copy_(basis.T @ _precise(layer.bias))

    def untie(self) -> None:
        """The configuration, which other models may share, says that there are two matrices."""
        old = self.model.config
        new = copy.deepcopy(old)
        new.tie_word_embeddings = False
        for module in self.model.modules():
            if getattr(module, "config", None) is old:
                module.config = new


def _part(module: nn.Module, *names: str) -> Any:
    """A module inside of another one."""
    path = ".".join(filter(None, names))
    try:
        return module.get_submodule(path)
    except AttributeError:
        raise _refusal(module, f"has no {path!r}") from None


def _refusal(module: nn.Module, why: str) -> ValueError:
    return ValueError(
        f"A {type(module).__name__} cannot be rotated, as it {why}. That takes a plain, dense "
        "decoder of the shape of Llama."
    )


def _epsilon(norm: Any) -> float:
    return float(getattr(norm, "variance_epsilon", None) or getattr(norm, "eps", None) or 0.0)


def _check_norm(norm: Any) -> None:
    """Refuse a norm unless it divides by the root mean square and multiplies by its weight."""
    weight = norm._parameters.get("weight")
    names = {name for name, _ in norm.named_parameters()}
    if weight is None or names != {"weight"} or has_hooks(norm):
        raise _refusal(norm, "is no plain root-mean-square norm")
    probe = copy.deepcopy(norm).float().cpu()
    probe.weight.copy_(torch.linspace(0.5, 2.0, len(weight)))
    x = torch.linspace(-1.0, 2.0, len(weight))
    expected = x / (x.square().mean() + _epsilon(norm)).sqrt() * probe.weight
    if not torch.allclose(probe(x), expected, rtol=1e-4, atol=1e-5):
        raise _refusal(norm, "is no plain root-mean-square norm, x / rms(x) * weight")
