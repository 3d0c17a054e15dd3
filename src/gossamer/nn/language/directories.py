"""From a model directory to a sparse one, and all that is to be said about it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gossamer.nn.language.compressing import compress, plan_of
from gossamer.nn.language.files import load, save
from gossamer.nn.language.likelihood import perplexity
from gossamer.nn.language.method import METHODS, Method
from gossamer.nn.language.tokens import tokens_of
from gossamer.nn.pruning.registries import piece_of

Watch = Callable[[int, str], AbstractContextManager[Callable[[], object]]]

UNFINISHED = "unfinished"
_ASKED, _DENSE = "asked.json", "dense.json"
_HELD_OUT = 0.1  # of the calibration text, where no other text is given to judge by
_MOST_JUDGED = 16  # windows
_PROMPT, _CONTINUED = 24, 40  # tokens, at most


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
        How the sparsity differs between layers. Default: not at all.
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
        own = self._of_pattern()
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
        them, or those that live and a bit for each that says which.
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
    texts = _Texts.read(calibration, asked)
    told = _told(source, calibration, asked)
    workplace = _workplace(source, output, told, asked.resume)
    with _threads(asked.threads):
        model, tokenizer = load(source, dtype=asked.dtype, device=asked.device)
        most = getattr(model.config, "max_position_embeddings", None)
        if isinstance(most, int) and asked.length > most:
            raise ValueError(f"length: the model reads at most {most} tokens, got {asked.length}.")
        windows = tokens_of(tokenizer, texts.calibration, asked.length, asked.samples, asked.seed)
        judged = tokens_of(tokenizer, texts.judged, asked.length)[:_MOST_JUDGED]
        plan_of(model, piece_of(METHODS, asked.method, Method), asked.keep, asked.pattern, None)
        _begin(workplace, told)  # all that can be refused is refused by now
        dense = _dense(workplace, lambda: _judged(model, tokenizer, judged, watch))
        compression = _compressed(model, windows, asked, workplace, watch)
        sparse = _judged(model, tokenizer, judged, watch)
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
            "prompt": tokenizer.decode(_prompt(judged)[0]),
            "dense": dense["continued"],
            "sparse": sparse["continued"],
        },
        bytes=_bytes(model, compression, output),
        seconds=time.perf_counter() - begun,
        notes=texts.notes,
    )
    shutil.rmtree(workplace)
    return done


@dataclass(frozen=True)
class _Texts:
    """What to calibrate on, what to judge by, and remarks about them."""

    calibration: str
    judged: str
    judged_name: str
    notes: list[str]

    @classmethod
    def read(cls, calibration: str | Path, asked: CompressOptions) -> _Texts:
        text = _read_text(calibration)
        if asked.evaluate is not None:
            return cls(text, _read_text(asked.evaluate), Path(asked.evaluate).name, [])
        cut = int(len(text) * (1 - _HELD_OUT))
        name = f"the last tenth of {Path(calibration).name}"
        note = f"Perplexity is that of {name}, which was held out of the calibration."
        return cls(text[:cut], text[cut:], name, [note])


def _read_text(path: str | Path) -> str:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no text file {path}.")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8: {error}.") from error
    if not text.strip():
        raise ValueError(f"{path} is empty: give a text of some thousand words.")
    return text


def _told(source: Path, calibration: str | Path, asked: CompressOptions) -> dict[str, Any]:
    """All that decides the result, as plain data."""
    told = {"source": str(source.resolve()), "calibration": str(Path(calibration).resolve())}
    told |= {name: value for name, value in asdict(asked).items() if name != "resume"}
    evaluate = told["evaluate"]
    told["evaluate"] = None if evaluate is None else str(Path(evaluate).resolve())
    return told | {"sparsity": round(1 - asked.keep, 12)}


def _workplace(source: Path, output: Path, told: Mapping[str, Any], resume: bool) -> Path:
    """The folder of unfinished work: not there yet, or to go on with."""
    place = output / UNFINISHED
    if output.resolve() == source.resolve():
        raise ValueError(f"output: {output} is the dense model itself; choose another folder.")
    if not place.exists():
        if (output / "config.json").exists():
            raise ValueError(f"output: {output} holds a model already; choose another folder.")
        return place
    if not resume:
        raise ValueError(
            f"output: {output} holds an unfinished run. Add --resume to go on with it, or remove "
            f"{place}."
        )
    before = json.loads((place / _ASKED).read_text(encoding="utf-8"))
    for name, value in told.items():
        if before.get(name) != value and name not in ("threads", "device"):
            raise ValueError(
                f"{name}: the unfinished run in {output} had {before.get(name)!r}, not {value!r}. "
                f"Give the same, or remove {place}."
            )
    return place


def _begin(place: Path, told: Mapping[str, Any]) -> None:
    if not place.exists():
        place.mkdir(parents=True)
        (place / _ASKED).write_text(json.dumps(told), encoding="utf-8")


def _compressed(
    model: nn.Module, windows: Tensor, asked: CompressOptions, workplace: Path, watch: Watch
) -> Any:
    """The engine's work on the blocks, shown as it goes."""
    settings: dict[str, Any] = {"keep": asked.keep, "on": asked.pattern, "folder": workplace}
    if asked.allocation is not None:
        settings["allocation"] = asked.allocation
    with _steps(watch, f"{asked.method}, block by block") as progress:
        return compress(model, windows, asked.method, progress=progress, **settings)


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


def _judged(model: nn.Module, tokenizer: Any, windows: Tensor, watch: Watch) -> dict[str, Any]:
    """Perplexity on the windows, and how the model goes on with the first one's beginning."""
    with watch(len(windows), "perplexity") as advance:
        logs = []
        for window in windows:
            logs.append(torch.tensor(perplexity(model, window[None])).log())
            advance()
    found = torch.stack(logs).mean().exp()
    return {"perplexity": float(found), "continued": _continued(model, tokenizer, windows[:1])}


def _continued(model: Any, tokenizer: Any, window: Tensor) -> str:
    """The likeliest next tokens, one by one, after the beginning of a window."""
    from transformers import GenerationConfig

    start = _prompt(window).to(model.device)
    greedy = GenerationConfig(
        do_sample=False,
        max_new_tokens=min(_CONTINUED, window.shape[1] - start.shape[1]),
        pad_token_id=tokenizer.pad_token_id or 0,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.no_grad():
        whole = model.generate(
            start, attention_mask=torch.ones_like(start), generation_config=greedy
        )
    text: str = tokenizer.decode(whole[0, start.shape[1] :])
    return text


def _prompt(windows: Tensor) -> Tensor:
    """The beginnings of windows; the continuation is no longer than the rest."""
    return windows[:, : min(_PROMPT, windows.shape[1] // 2)]


def _dense(workplace: Path, judge: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The dense model's results, of an earlier call where there was one."""
    path = workplace / _DENSE
    if not path.exists():
        path.write_text(json.dumps(judge()), encoding="utf-8")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _facts(model: Any) -> dict[str, Any]:
    parameters = {id(p): p for p in model.parameters()}.values()
    return {
        "class": type(model).__name__,
        "parameters": sum(p.numel() for p in parameters),
        "blocks": getattr(model.config, "num_hidden_layers", None),
        "dtype": str(model.dtype).removeprefix("torch."),
    }


def _bytes(model: Any, compression: Any, output: Path) -> dict[str, int]:
    weights, alive = (sum(getattr(row, n) for row in compression) for n in ("weights", "alive"))
    size = model.dtype.itemsize
    return {
        "file": sum(file.stat().st_size for file in output.glob("*.safetensors")),
        "dense": weights * size,
        "packed": alive * size + weights // 8,
    }


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
