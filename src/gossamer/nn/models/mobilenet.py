"""MobileNetV2: inverted residuals with depthwise convolutions."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

# Expansion, output channels, blocks and first stride of each stage: table 2 of the paper.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def convolution(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution, batch normalisation and ReLU6; the image keeps its size at stride 1."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    )


class InvertedResidual(nn.Module):
    """Expand to many channels, filter each one alone, project to few; add the input if it fits.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    stride : int
        Of the depthwise convolution. The input is added at stride 1 with equal channels.
    expansion : int
        Channels inside, as a multiple of ``inputs``; 1 leaves the expanding convolution out.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        inside = inputs * expansion
        expand = [convolution(inputs, inside)] if expansion != 1 else []
        self.conv = nn.Sequential(
            *expand,
            convolution(inside, inside, kernel=3, stride=stride, groups=inside),
            nn.Conv2d(inside, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.adds_input = stride == 1 and inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        out = self.conv(maps)
        return maps + out if self.adds_input else out


class MobileNetV2(nn.Module):
    """MobileNetV2 of width 1, 3 504 872 parameters by default.

    The names of its parameters are those of torchvision's class, so that the weights which are
    published for that one load into this one.

    Parameters
    ----------
    classes : int, default 1000
    stages : sequence of (expansion, channels, blocks, stride), default table 2 of the paper
        Fewer or narrower stages give a smaller network of the same kind.
    stem, head : int, default 32 and 1280
        Channels of the first and of the last convolution.
    dropout : float, default 0.2
        Before the classifier, in training.

    References
    ----------
    Sandler, Howard, Zhu, Zhmoginov and Chen (2018), MobileNetV2: inverted residuals and linear
    bottlenecks.

    Examples
    --------
    >>> import torch
    >>> small = MobileNetV2(classes=4, stages=[(1, 8, 1, 1), (6, 8, 2, 2)], stem=8, head=16)
    >>> small(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 4])
    """

    def __init__(
        self,
        classes: int = 1000,
        stages: Sequence[tuple[int, int, int, int]] = STAGES,
        stem: int = 32,
        head: int = 1280,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [convolution(3, stem, kernel=3, stride=2)]
        width = stem
        for expansion, channels, blocks, stride in stages:
            for block in range(blocks):
                step = stride if block == 0 else 1
                layers.append(InvertedResidual(width, channels, step, expansion))
                width = channels
        layers.append(convolution(width, head))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(head, classes))

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, height, width) images to (n, classes) logits."""
        return self.classifier(self.features(images).mean((2, 3)))
