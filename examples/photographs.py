"""Photographs for vision models, from the files of installed packages, shared with the tests.

Nothing is downloaded and no data package is imported: only its files are read.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
import torch
from PIL import Image
from real_tables import package_folder
from torch import Tensor
from torch.nn import functional

# The statistics that ImageNet models expect their inputs to be standardised with.
MEAN = torch.tensor((0.485, 0.456, 0.406))[:, None, None]
SPREAD = torch.tensor((0.229, 0.224, 0.225))[:, None, None]


def standardised(image: Image.Image) -> Tensor:
    """(3, height, width)"""
    pixels = torch.from_numpy(np.array(image, dtype=np.float32))
    return (pixels.permute(2, 0, 1) / 255 - MEAN) / SPREAD


def labelled() -> tuple[Tensor, Tensor]:
    """(20, 3, 256, 256) photographs and their classes."""
    files = sorted((package_folder("foolbox") / "data").glob("imagenet_*.jpg"))
    images = [Image.open(file).convert("RGB") for file in files]
    squares = [image.resize((256, 256), Image.Resampling.BILINEAR) for image in images]
    classes = [int(file.stem.rpartition("_")[2]) for file in files]
    return torch.stack([standardised(square) for square in squares]), torch.tensor(classes)


def unlabelled() -> list[Tensor]:
    """Birds, cats, a flower and a temple, at most 768 pixels wide: what other packages ship."""
    birds_and_cats = package_folder("ISLP") / "data" / "book_images"
    others = package_folder("sklearn") / "datasets" / "images"
    files = [*birds_and_cats.glob("*.jp*g"), *others.glob("*.jpg")]
    # one bird is there twice
    images = [Image.open(file).convert("RGB") for file in sorted(files) if file.name != "hawk.jpg"]
    for image in images:
        image.thumbnail((768, 768), Image.Resampling.BILINEAR)
    return [standardised(image) for image in images]


def seen() -> list[Tensor]:
    """The photographs whose crops may be used: the unlabelled ones, half of the others."""
    return [*unlabelled(), *labelled()[0][::2]]


def centre(images: Tensor) -> Tensor:
    return images[:, :, 16:240, 16:240]


def crops(photographs: list[Tensor], size: int, count: int, seed: int) -> list[Tensor]:
    """Batches of eight random crops, some of them mirrored."""
    generator = torch.Generator().manual_seed(seed)

    def crop() -> Tensor:
        chosen = int(torch.randint(len(photographs), (), generator=generator))
        image = photographs[chosen]
        area, proportion, x, y, mirrored = torch.rand(5, generator=generator).tolist()
        height, width = image.shape[1:]
        area, proportion = (0.08 + 0.92 * area) * height * width, (4 / 3) ** (2 * proportion - 1)
        tall = min(height, int(sqrt(area / proportion)))
        wide = min(width, int(sqrt(area * proportion)))
        top, left = int(y * (height - tall + 1)), int(x * (width - wide + 1))
        part = image[None, :, top : top + tall, left : left + wide]
        part = functional.interpolate(part, (size, size), mode="bilinear", antialias=True)[0]
        return part.flip(2) if mirrored < 0.5 else part

    return [torch.stack([crop() for _ in range(8)]) for _ in range(count // 8)]
