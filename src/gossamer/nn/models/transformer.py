"""A small vision transformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class VisionTransformer(nn.Module):
    """Patches of an image as the tokens of a transformer, whose mean is classified.

    Blocks are PyTorch's encoder layers, with the normalisation first and GELU.

    Parameters
    ----------
    size, patch : int, default 28 and 7
        Pixels of an image's and a patch's side; ``patch`` divides ``size``.
    channels : int, default 1
    width, depth, heads : int, default 64, 6 and 4
    hidden : int, default 128
        Width of the feed-forward layers.
    classes : int, default 10

    Raises
    ------
    ValueError
        Where patches do not tile the image.

    References
    ----------
    Dosovitskiy et al. (2021), An image is worth 16x16 words: transformers for image recognition at
    scale.

    Examples
    --------
    >>> VisionTransformer()(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        size: int = 28,
        patch: int = 7,
        channels: int = 1,
        *,
        width: int = 64,
        depth: int = 6,
        heads: int = 4,
        hidden: int = 128,
        classes: int = 10,
    ) -> None:
        super().__init__()
        if size % patch:
            raise ValueError(f"patch must divide size={size}, got {patch}.")
        self.patches = nn.Conv2d(channels, width, patch, stride=patch)
        self.positions = nn.Parameter(0.02 * torch.randn((size // patch) ** 2, width))
        self.blocks = nn.Sequential(*(
            nn.TransformerEncoderLayer(
                width, heads, hidden, 0.0, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(depth)
        ))  # fmt: skip
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(n, channels, size, size) images to (n, classes) logits."""
        tokens = self.patches(images).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.norm(self.blocks(tokens)).mean(1))
