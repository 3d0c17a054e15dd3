"""From a model directory to a sparse one, and all that is to be said about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gossamer.nn.language.architectures import architecture_of
from gossamer.nn.language.compressing import compress, plan_of
from gossamer.nn.language.compression import Compression
from gossamer.nn.language.files import load, save
from gossamer.nn.language.judging import Texts, Watch, judge, prompt_of
from gossamer.nn.language.method import METHODS, Method
from gossamer.nn.language.refining import BlockTuning
from gossamer.nn.language.sharing_out import WAYS, shares
from gossamer.nn.language.tokens import tokens_of
from gossamer.nn.language.unfinished import Unfinished
from gossamer.nn.pruning.registries import piece_of

_MOST_JUDGED = 16  # windows


@dataclass(frozen=True, kw_only=True)
class CompressOptions:
    """What ``gossamer compress`` can be asked for.

    Parameters
    ----------
    method : str, default "wanda"
        A name of ``gs.nn.language.methods``.
    sparsity : float in [0, 1), optional
        Share of the weights of each layer that becomes zero. Default: 0.5, or that of the pattern.
    pattern : str, optional
        "2:4" keeps two of every four inputs, "16x1" whole blocks of 16 outputs by 1 input.
    allocation : str, optional
        By what the sparsity differs between layers: "outliers", "influence" or "sensitivity", as
        in :func:`gossamer.nn.language.shares`. Default: not at all.
    refine : int, default 0
        Passes over the calibration text that train what stays of each block towards the dense
        model, by :class:`gossamer.nn.language.BlockTuning`.
    samples, length : int
        Windows of the calibration text, and tokens in each.
    evaluate : path, optional
        A text to judge by. Default: the last tenth of the calibration text, which is then left
        out of the calibration.
    seed : int
        Draws the windows.
    dtype : str
        Of the weights; "auto" is that of the files.
    device : str
    threads : int, optional
    resume : bool
        Go on with what an interrupted call has left in the output folder.
    """

    method: str = "wanda"
    sparsity: float | None = None
    pattern: str | None = None
    allocation: str | None = None
    refine: int = 0
    samples: int = 64
    length: int = 512
    evaluate: str | Path | None = None
    seed: int = 0
    dtype: str = "auto"
    device: str = "cpu"
    threads: int | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        if self.sparsity is not None and not 0 <= self.sparsity < 1:
            raise ValueError(f"sparsity: a share in [0, 1), got {self.sparsity}.")
        for name in ("samples", "length", "threads"):
            if (value := getattr(self, name)) is not None and value < 1 + (name == "length"):
                raise ValueError(f"{name}: at least {1 + (name == 'length')}, got {value}.")
        if self.refine < 0:
            raise ValueError(f"refine: a number of passes >= 0, got {self.refine}.")
        own = self._of_pattern()
        if self.allocation not in (None, *WAYS):
            raise ValueError(
                f"allocation: one of {', '.join(WAYS)}, or none, got {self.allocation!r}."
            )
        if None not in (own, self.allocation):
            raise ValueError(
                f"allocation: pattern {self.pattern} keeps as much everywhere. Leave one out."
            )
        if None not in (own, self.sparsity) and own != self.sparsity:
            raise ValueError(
                f"sparsity: pattern {self.pattern} makes {own:g} of the weights zero, not "
                f"{self.sparsity:g}. Leave one of the two out."
            )

    @property
    def keep(self) -> float:
        """Share of the weights that stays."""
        own = self._of_pattern()
        return 1 - next(share for share in (self.sparsity, own, 0.5) if share is not None)

    def _of_pattern(self) -> float | None:
        """The sparsity that a pattern such as 2:4 fixes."""
        kept, colon, of = (self.pattern or "").partition(":")
        if not (colon and kept.isdigit() and of.isdigit() and int(of)):
            return None
        return 1 - int(kept) / int(of)


@dataclass(frozen=True, kw_only=True)
class CompressedDirectory:
    """A model directory that was made sparse: plain data, for reports.

    Attributes
    ----------
    source, output : str
    model : dict
        ``class``, ``parameters``, ``blocks``, ``dtype``.
    settings : dict
        What was asked for.
    method : str
    sparsity : float
        Of the weights of all layers that were made sparse.
    layers : list of dict
        ``name``, ``weights``, ``alive``, ``error``, ``seconds``, ``certificate``, ``facts``.
    perplexity : dict
        ``dense`` and ``sparse``, on the ``windows`` of ``length`` tokens of the ``text``.
    sample : dict
        A ``prompt`` from that text, and how the ``dense`` and the ``sparse`` model go on with it.
    bytes : dict
        ``file`` of the weights on disk; ``dense`` and ``packed`` of the layers' weights: all of
        them, or those that live, rounded where the method rounds, and bits that say which.
    seconds : float
    notes : list of str
    """

    source: str
    output: str
    model: dict[str, Any]
    settings: dict[str, Any]
    method: str
    sparsity: float
    layers: list[dict[str, Any]]
    perplexity: dict[str, Any]
    sample: dict[str, str]
    bytes: dict[str, int]
    seconds: float
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a file."""
        return asdict(self)


def compress_directory(
    source: str | Path,
    output: str | Path,
    calibration: str | Path,
    *,
    watch: Watch | None = None,
    **options: Any,
) -> CompressedDirectory:
    """Make the model of a directory sparse, judge it, and write it as another directory.

    Perplexity is measured before and after on text that the calibration does not see.

    Parameters
    ----------
    source, output : path
        ``output`` must not hold a model yet. Until all is done it has a folder ``unfinished``, from
        which ``resume=True`` goes on.
    calibration : path
        A text file, UTF-8.
    watch : context manager of (steps, description), optional
        Shows progress: it gives a function that is called after each step.
    **options
        See `CompressOptions`.

    Raises
    ------
    FileNotFoundError, ValueError, ImportError
        For folders, texts and options that do not suit, with the remedy.
    """
    asked, source, output = CompressOptions(**options), Path(source), Path(output)
    watch = watch or (lambda steps, description: nullcontext(lambda: None))
    begun = time.perf_counter()
    texts = Texts.read(calibration, asked.evaluate)
    told = _told(source, calibration, asked)
    unfinished = Unfinished(source, output, told, asked.resume)
    with _threads(asked.threads):
        model, tokenizer = load(source, dtype=asked.dtype, device=asked.device)
        most = getattr(model.config, "max_position_embeddings", None)
        if isinstance(most, int) and asked.length > most:
            raise ValueError(f"length: the model reads at most {most} tokens, got {asked.length}.")
        windows = tokens_of(tokenizer, texts.calibration, asked.length, asked.samples, asked.seed)
        judged = tokens_of(tokenizer, texts.judged, asked.length)[:_MOST_JUDGED]
        plan_of(model, piece_of(METHODS, asked.method, Method), asked.keep, asked.pattern, None)
        unfinished.begin()  # all that can be refused is refused by now
        dense = unfinished.remembered("dense", lambda: judge(model, tokenizer, judged, watch))
        compression = _compressed(model, windows, asked, unfinished, watch)
        sparse = judge(model, tokenizer, judged, watch)
        save(model, tokenizer, output)
    done = CompressedDirectory(
        source=str(source),
        output=str(output),
        model=_facts(model),
        settings=told,
        method=compression.method,
        sparsity=compression.sparsity,
        layers=compression.to_dict()["layers"],
        perplexity={
            "dense": dense["perplexity"],
            "sparse": sparse["perplexity"],
            "windows": len(judged),
            "length": asked.length,
            "text": texts.judged_name,
        },
        sample={
            "prompt": tokenizer.decode(prompt_of(judged)[0]),
            "dense": dense["continued"],
            "sparse": sparse["continued"],
        },
        bytes=_bytes(model, compression, output),
        seconds=time.perf_counter() - begun,
        notes=[*texts.notes, *_left_dense(model, compression)],
    )
    unfinished.end()
    return done


def _told(source: Path, calibration: str | Path, asked: CompressOptions) -> dict[str, Any]:
    """All that decides the result, as plain data."""
    told = {"source": str(source.resolve()), "calibration": str(Path(calibration).resolve())}
    told |= {name: value for name, value in asdict(asked).items() if name != "resume"}
    evaluate = told["evaluate"]
    told["evaluate"] = None if evaluate is None else str(Path(evaluate).resolve())
    return told | {"sparsity": round(1 - asked.keep, 12)}


def _compressed(
    model: nn.Module, windows: Tensor, asked: CompressOptions, unfinished: Unfinished, watch: Watch
) -> Compression:
    """The engine's work on the blocks, shown as it goes."""
    keep: float | dict[str, float] = asked.keep
    if (by := asked.allocation) is not None:
        with watch(1, by) as advance:
            keep = unfinished.remembered("shares", lambda: shares(model, windows, asked.keep, by))
            advance()
    with _steps(watch, f"{asked.method}, block by block") as progress:
        return compress(
            model,
            windows,
            asked.method,
            keep=keep,
            on=asked.pattern,
            refine=BlockTuning(asked.refine) if asked.refine else None,
            folder=unfinished.folder,
            progress=progress,
        )


@contextmanager
def _steps(watch: Watch, description: str) -> Iterator[Callable[[int, int], None]]:
    """A function of (done, all) that moves what `watch` shows."""
    with ExitStack() as stack:
        seen: dict[str, Any] = {"done": 0}

        def progress(done: int, count: int) -> None:
            if "advance" not in seen:
                seen["advance"] = stack.enter_context(watch(count, description))
            while seen["done"] < done:
                seen["advance"]()
                seen["done"] += 1

        yield progress


def _left_dense(model: nn.Module, compression: Compression) -> list[str]:
    """A remark where blocks have matrices besides those of linear layers, such as fused experts."""
    blocks = model.get_submodule(architecture_of(model).blocks)
    names = {f"{row.name}.weight" for row in compression}
    found = [(name, p) for name, p in model.named_parameters() if p.ndim > 1]
    inside = {id(p) for p in blocks.parameters()}
    dense = {name: p.numel() for name, p in found if id(p) in inside and name not in names}
    if not dense:
        return []
    share = sum(dense.values()) / (sum(dense.values()) + sum(row.weights for row in compression))
    return [
        f"{share:.1%} of the weights of the blocks are no linear layer's and stay dense, such as "
        f"{max(dense, key=lambda name: dense[name])}."
    ]


def _facts(model: Any) -> dict[str, Any]:
    parameters = {id(p): p for p in model.parameters()}.values()
    return {
        "class": type(model).__name__,
        "parameters": sum(p.numel() for p in parameters),
        "blocks": getattr(model.config, "num_hidden_layers", None),
        "dtype": str(model.dtype).removeprefix("torch."),
    }


def _bytes(model: Any, compression: Compression, output: Path) -> dict[str, int]:
    size, small = model.dtype.itemsize, compression.quantised
    return {
        "file": sum(file.stat().st_size for file in output.glob("*.safetensors")),
        "dense": size * sum(row.weights for row in compression),
        "packed": sum(
            small[row.name].bytes if row.name in small else row.alive * size + row.weights // 8
            for row in compression
        ),
    }


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
