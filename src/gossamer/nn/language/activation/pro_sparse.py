"""ProSparse: hidden units that become zero, one after the other, while a transformer is tuned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from gossamer.nn.channels import evaluating
from gossamer.nn.course import Course
from gossamer.nn.language.activation.rectifying import Rectifier, put, rectify
from gossamer.nn.language.architectures import architecture_of
from gossamer.nn.language.likelihood import check_tokens
from gossamer.nn.language.tuning.training import next_token_loss
from gossamer.nn.schedules import Schedule, Stages

_QUANTILES = tuple(i / 20 for i in range(20))  # of what is not zero, that thresholds may cut


class ProSparse:
    r"""Progressive ReLU-fication of a transformer's MLPs, beside any training loop.

    Smooth activation functions are replaced by ReLUs at once, and the training loss gets a penalty
    on what the MLPs' last layers read,

    .. math:: \lambda(t) \, \frac{1}{B} \sum_{b=1}^B \frac{1}{n} \sum_{i=1}^n \| h_{bi} \|_1 ,

    the mean over blocks b and tokens i, with a factor that rises in stages, so that the activations
    are never shifted at once. In the end thresholds above zero (FATReLU) cut what is small.

    Parameters
    ----------
    model : nn.Module
        Changed in place; :meth:`remove` undoes it. As a context manager, an error undoes it too.
    strength : float >= 0
        The factor in the end. Comparable with the loss per token divided by the sum of a token's
        hidden activations.
    total_steps : int
        Calls of :meth:`step` that make up the training.
    schedule : str or function of progress, default :class:`gossamer.nn.Stages`
        Share of the strength.
    on : pattern or patterns of module names, optional
        The activation functions to replace, by default all.
    blocks : str, optional
        Path of the list of blocks, as of :func:`gossamer.nn.language.architecture_of`.

    Raises
    ------
    ValueError
        For numbers out of range, and models without activation functions that are modules.

    References
    ----------
    Song et al., "ProSparse: Introducing and Enhancing Intrinsic Activation Sparsity within Large
    Language Models" (2024). Mirzadeh et al., "ReLU Strikes Back" (ICLR 2024), replaces only.

    Examples
    --------
    >>> model = nn.Sequential(
    ...     nn.Embedding(50, 32), nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 50)
    ... )
    >>> tokens = torch.arange(50).repeat(2, 1)
    >>> sparse = ProSparse(model, strength=0.05, total_steps=100)
    >>> from gossamer.nn.language import fine_tune
    >>> tuned = fine_tune(
    ...     model, [tokens], steps=100, lr=0.05, loss=sparse.loss, progress=sparse.step
    ... )
    >>> from gossamer.nn.language import perplexity
    >>> perplexity(model, tokens) < 1.1, sparse.zeros(tokens)["2"] > 0.7
    (True, True)
    >>> sparse.finalise() is model
    True
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        strength: float,
        total_steps: int,
        schedule: str | Schedule = Stages(),  # noqa: B008, frozen
        on: str | Sequence[str] | None = None,
        blocks: str | None = None,
    ) -> None:
        if not 0 <= strength < float("inf"):
            raise ValueError(f"strength must be a finite number >= 0, got {strength!r}.")
        self.model, self.full_strength = model, float(strength)
        self.course = Course(schedule, total_steps)
        self._replaced = rectify(model, on)
        self._hidden: dict[str, Tensor] = {}
        self._handles: list[RemovableHandle] = []
        try:
            self._listen(blocks)
        except BaseException:
            self.remove()
            raise

    @property
    def strength(self) -> float:
        """The factor of the penalty now."""
        return self.full_strength * self.course.share

    def penalty(self) -> Tensor:
        """Of the hidden activations in the model's last call."""
        if not self._hidden:
            raise ValueError("penalty: the model was not called since the last one.")
        means = [hidden.abs().sum(-1).mean() for hidden in self._hidden.values()]
        self._hidden.clear()
        return self.strength * torch.stack(means).mean()

    def loss(self, model: nn.Module, tokens: Tensor) -> Tensor:
        """The cross-entropy of the next token with the penalty: ``fine_tune(loss=...)``."""
        return next_token_loss(model, tokens) + self.penalty()

    def step(self, _: Any = None) -> None:
        """One training step is over: ``fine_tune(progress=...)``."""
        self.course.steps += 1

    def zeros(self, tokens: Tensor) -> dict[str, float]:
        """Share of the hidden activations that are exactly zero, by the place where they arise."""
        self._run(tokens)
        found = {name: float((h == 0).float().mean()) for name, h in self._hidden.items()}
        self._hidden.clear()
        return found

    def finalise(self, tokens: Tensor | None = None, tolerance: float = 0.005) -> nn.Module:
        """End: hooks are gone, and thresholds cut the smallest of what is not zero.

        Parameters
        ----------
        tokens : (n, length) integer tensor, optional
            Text on which thresholds are chosen: in each block, the same quantile of what its
            activation function gives, the largest one of 0, 1/20, 2/20, and so on before the loss
            exceeds what is tolerated. None leaves ReLUs.
        tolerance : float >= 0, default 0.005
            The relative rise of the loss.

        Returns
        -------
        nn.Module
            The model. Without thresholds it has ``nn.ReLU`` and says ``relu`` in its
            configuration, so that ``from_pretrained`` loads what ``save_pretrained`` wrote.
        """
        if tolerance < 0:
            raise ValueError(f"tolerance must be a number >= 0, got {tolerance!r}.")
        if tokens is None:
            for name in self._replaced:
                put(self.model, name, nn.ReLU())
            config = getattr(self.model, "config", None)
            for setting in ("hidden_act", "activation_function"):
                if hasattr(config, setting):
                    setattr(config, setting, "relu")
        else:
            self._cut(tokens, tolerance)
        self._silence()
        return self.model

    def remove(self) -> nn.Module:
        """Put the activation functions back; what was learnt stays."""
        self._silence()
        for name, (before, _) in self._replaced.items():
            put(self.model, name, before)
        return self.model

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        if kind is not None:
            self.remove()

    def _listen(self, blocks: str | None) -> None:
        """Watch what the last layers of the MLPs read; elsewhere, what rectifiers give."""
        narrowing = []
        try:
            known = architecture_of(self.model, blocks)
        except ValueError:
            if blocks is not None:
                raise
        else:
            stack = self.model.get_submodule(known.blocks)
            if known.narrowing and isinstance(stack, nn.ModuleList):
                narrowing = [f"{known.blocks}.{i}.{known.narrowing}" for i in range(len(stack))]
        for name in narrowing:
            layer = self.model.get_submodule(name)
            self._handles.append(
                layer.register_forward_pre_hook(
                    lambda _, args, name=name: self._note(name, args[0])
                )
            )
        if not narrowing:
            for name, (_, rectifier) in self._replaced.items():
                self._handles.append(
                    rectifier.register_forward_hook(
                        lambda module, args, y, name=name: self._note(name, y)
                    )
                )

    def _note(self, name: str, hidden: Tensor) -> None:
        self._hidden[name] = hidden

    def _silence(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._hidden.clear()

    def _run(self, tokens: Tensor) -> float:
        check_tokens("tokens", tokens)
        with evaluating(self.model), torch.no_grad():
            return float(next_token_loss(self.model, tokens))

    def _cut(self, tokens: Tensor, tolerance: float) -> None:
        """The largest quantiles whose loss is tolerated."""
        rectifiers = [made for _, made in self._replaced.values()]
        given: dict[Rectifier, Tensor] = {}
        handles = [
            made.register_forward_hook(lambda module, args, y: given.update({module: y[y > 0]}))
            for made in rectifiers
        ]
        full = self._run(tokens)
        for handle in handles:
            handle.remove()
        levels = torch.tensor(_QUANTILES)
        cuts = {
            made: y.float().sort().values[(levels * len(y)).long()] if len(y) else levels * 0
            for made, y in given.items()
        }
        best = 0
        for level in range(1, len(_QUANTILES)):
            for made, values in cuts.items():
                made.threshold.fill_(values[level])
            if not self._run(tokens) <= (1 + tolerance) * full:
                break
            best = level
        for made, values in cuts.items():
            made.threshold.fill_(values[best] if best else 0.0)
