"""Number of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.proxies.proxy import PROXIES, Score

if TYPE_CHECKING:
    from torch import Tensor, nn


@PROXIES.register
class Depth(Score):
    """Blocks of all stages, MLP-only ones included."""

    name = "depth"
    label = "depth"
    summary = "number of layers"

    def score(self, model: nn.Module, images_BCHW: Tensor, labels_B: Tensor, seed: int) -> float:
        """See ``Score.score``; the model says its ``architecture``."""
        from supernet.extract import VisionTransformer

        assert isinstance(model, VisionTransformer)
        return float(model.architecture.depth)
