"""PaddedEncoder: a transformer's encoder that gives what torch's own gives at padded positions."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PaddedEncoder(nn.TransformerEncoder):
    """What becomes of an encoder of torch's whose parts have been replaced.

    In evaluation mode torch's encoder leaves padded positions out where they are the last ones of
    each sequence, and sets zeros there before its norm. That way of its own knows torch's layers
    only. Here the layers compute all positions, and the same numbers are set in the end.

    Examples
    --------
    >>> layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    >>> encoder = nn.TransformerEncoder(layer, 1).eval().requires_grad_(False)
    >>> encoder.__class__, encoder.use_nested_tensor = PaddedEncoder, False
    >>> padding = torch.tensor([[False, False, True]])
    >>> encoder(torch.ones(1, 3, 8), src_key_padding_mask=padding)[0, 2]
    tensor([0., 0., 0., 0., 0., 0., 0., 0.])
    """

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """Arguments and result are those of torch's class."""
        y: Tensor = super().forward(src, mask, src_key_padding_mask, is_causal)
        if mask is not None or src_key_padding_mask is None or not self._sets_zeros(src):
            return y
        padded = src_key_padding_mask.bool()
        # a mask of truth values; left out are the last positions, or none
        if self.mask_check and bool((padded[:, :-1] & ~padded[:, 1:]).any()):
            return y
        blank = torch.zeros_like(y[:1, :1])
        blank = blank if self.norm is None else self.norm(blank)
        return torch.where(padded[..., None], blank, y)

    def _sets_zeros(self, src: Tensor) -> bool:
        wants = torch.is_grad_enabled() and src.requires_grad
        elsewhere = torch.compiler.is_compiling() or torch.is_autocast_enabled()
        on = torch.backends.mha.get_fastpath_enabled()
        return on and src.dim() == 3 and not (self.layers[0].training or wants or elsewhere)
