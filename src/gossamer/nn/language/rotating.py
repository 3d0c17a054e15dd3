"""Rotating: the residual stream of a transformer in coordinates of which few say most."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gossamer.nn.channels import evaluating
from gossamer.nn.language.architectures import architecture_of
from gossamer.nn.language.likelihood import check_tokens, logits_of


@torch.no_grad()
def rotate(model: nn.Module, calibration: Tensor, *, batch_size: int = 4) -> Tensor:
    r"""Rotate the residual stream of a Llama-like model to its principal axes, in place.

    Root-mean-square norms commute with rotations once their weights are part of the layers behind
    them. So an orthogonal Q moves into the matrices that read and write the stream,

    .. math:: W_{\text{read}} \leftarrow W_{\text{read}} \operatorname{diag}(g) \, Q, \qquad
        W_{\text{write}} \leftarrow Q^\top W_{\text{write}},

    and the model computes what it did, with as many products. Here Q are the eigenvectors of the
    second moments of what the norms put out, averaged over all norms at equal traces. Tokens then
    spread unevenly over the coordinates, and :func:`gossamer.runtime.sparsify_activations` leaves
    out more of them at the same perplexity, above all when few are kept.

    Parameters
    ----------
    model : nn.Module
        A Hugging Face model of the shape of Llama. Where its embedding and its output layer were
        one matrix they become two, and its configuration says so: the saved model loads by
        ``from_pretrained``.
    calibration : (n, length) integer tensor
        A few thousand tokens, such as :func:`gossamer.nn.language.tokens_of` makes.
    batch_size : int, default 4
        Windows at a time.

    Returns
    -------
    (width, width) tensor
        Q, orthogonal: hidden states become ``h @ Q``. The most important axis comes first.

    Raises
    ------
    ValueError
        For models of another shape, whose norms are others or whose blocks have further ones.

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
    parts.untie()
    for norm, readers in parts.norms:
        for layer in readers:
            layer.weight.copy_(_precise(layer.weight) * _precise(norm.weight))
        norm.weight.fill_(1.0)
    inside = [norm for norm, _ in parts.norms[:-1]]  # the head is never sparse
    with evaluating(model):
        moments = _moments(model, inside, calibration, batch_size)
    basis = torch.linalg.eigh(moments).eigenvectors.flip(1)
    for reader in parts.readers:
        reader.weight.copy_(_precise(reader.weight) @ basis)
    for writer in parts.writers:
        writer.weight.copy_(basis.T @ _precise(writer.weight))
        if writer.bias is not None:
            writer.bias.copy_(basis.T @ _precise(writer.bias))
    return basis.to(parts.embedding.weight)


def _precise(tensor: Tensor) -> Tensor:
    """In double precision, on the processor: some devices have none."""
    return tensor.cpu().double()


@dataclass(frozen=True)
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
        known = architecture_of(model)
        if not known.norms:
            raise ValueError(
                f"A {type(model).__name__} cannot be rotated: that takes a decoder of the shape of "
                "Llama, with root-mean-square norms and nothing else between its parts."
            )
        core = model.get_submodule(known.blocks.rpartition(".")[0])
        head = model.get_output_embeddings()
        norms, writers = [], []
        for block in core.get_submodule(known.blocks.rpartition(".")[2]):
            groups = (known.queries_keys_values, known.widening)
            for name, readers in zip(known.norms, groups, strict=True):
                norm = block.get_submodule(name)
                norms.append((norm, [block.get_submodule(reader) for reader in readers]))
            writers += [block.get_submodule(known.mixing), block.get_submodule(known.narrowing)]
            _refuse_further(block, known.norms)
        norms.append((core.get_submodule(known.last_norm), [head]))
        for norm, _ in norms:
            _refuse_unless_plain(norm)
        return cls(model, core.get_submodule(known.embedding), norms, writers)

    @property
    def readers(self) -> Iterator[nn.Embedding | nn.Linear]:
        """What is multiplied by Q from the right, the embedding, which makes rows, among it."""
        yield self.embedding
        for _, layers in self.norms:
            yield from layers

    def untie(self) -> None:
        """A head of its own: it gets the weights of the last norm, and the embedding does not."""
        head = self.norms[-1][1][0]
        if head.weight is self.embedding.weight:
            head.weight = nn.Parameter(
                head.weight.detach().clone(), requires_grad=head.weight.requires_grad
            )
            self.model.config.tie_word_embeddings = False


def _refuse_further(block: nn.Module, norms: tuple[str, ...]) -> None:
    """Raise where a block has parameters beside its norms, its attention and its MLP."""
    for name, child in block.named_children():
        known = name in (*norms, "self_attn", "mlp")
        if not known and any(True for _ in child.parameters()):
            raise ValueError(
                f"{name!r} stands between the parts of a {type(block).__name__}, and does not "
                "commute with rotations: this family of models cannot be rotated."
            )


def _refuse_unless_plain(norm: Any) -> None:
    """Raise unless a norm divides by the root mean square and multiplies by its weight."""
    weight = norm.weight.detach()
    probe = torch.linspace(-1.0, 2.0, len(weight)).to(weight)
    epsilon = getattr(norm, "variance_epsilon", getattr(norm, "eps", None)) or 0.0
    expected = probe / (probe.square().mean() + epsilon).sqrt() * weight
    tolerance = 100 * torch.finfo(weight.dtype).eps
    if not torch.allclose(norm(probe), expected, rtol=tolerance, atol=tolerance):
        raise ValueError(
            f"A {type(norm).__name__} is no plain root-mean-square norm, x / rms(x) * weight, and "
            "does not commute with rotations: this family of models cannot be rotated."
        )


def _moments(model: nn.Module, norms: list[Any], tokens: Tensor, batch_size: int) -> Tensor:
    """(width, width) second moments of what norms put out, averaged at equal traces."""
    totals = [torch.zeros(len(norm.weight), len(norm.weight)) for norm in norms]
    with ExitStack() as stack:
        for norm, total in zip(norms, totals, strict=True):

            def add(_: nn.Module, __: Any, outputs: Tensor, total: Tensor = total) -> None:
                x = outputs.flatten(0, -2).to(total)
                total.addmm_(x.T, x)

            stack.callback(norm.register_forward_hook(add).remove)
        for batch in tokens.split(batch_size):
            logits_of(model, batch.to(norms[0].weight.device))
    return torch.stack([total / total.trace() for total in totals]).mean(0).double()
