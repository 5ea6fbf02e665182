"""Standalone models: one architecture with exactly its own parameters."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from search_spaces.architecture import Architecture
from supernet.forward import Features, forward_features, forward_logits
from supernet.layers import ParameterGroup
from supernet.network import Part, ResolvedNetwork, resolve
from supernet.operators import Weights


class VisionTransformer(nn.Module):
    """One architecture as a plain module: images ``(B, C, H, W)`` → logits ``(B, classes)``.

    Attributes:
        architecture: what it is.
        num_classes: outputs of its head.
    """

    def __init__(self, architecture: Architecture, num_classes: int) -> None:
        super().__init__()
        self.architecture = architecture
        self.num_classes = num_classes
        self._network: ResolvedNetwork = resolve(architecture, num_classes)
        self._groups: dict[str, ParameterGroup] = {}
        self._watcher: Callable[[str], object] | None = None
        for part in self._network.parts():
            group = ParameterGroup.of(part.specs, part.sizes)
            self._groups[part.path] = group
            _place(self, part.path, group)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits ``(B, classes)`` of normalised images ``(B, C, H, W)``."""
        return forward_logits(images_BCHW, self._network, self._weights)

    def forward_features(
        self, images_BCHW: Tensor, taps: Collection[int] = (), *, tracked: bool = False
    ) -> Features:
        """The tokens behind the last block, and behind the blocks named by ``taps``."""
        return forward_features(
            images_BCHW, self._network, self._weights, taps=taps, tracked=tracked
        )

    @contextmanager
    def watched(self, watcher: Callable[[str], object]) -> Iterator[None]:
        """Meanwhile, ``watcher`` is told the path of every part when a pass comes to it."""
        self._watcher = watcher
        try:
            yield
        finally:
            self._watcher = None

    def _weights(self, part: Part) -> Weights:
        if self._watcher is not None:
            self._watcher(part.path)
        return self._groups[part.path].tensors() if part.specs else {}


def _place(root: nn.Module, path: str, group: ParameterGroup) -> None:
    """Put a group at its dotted path, making the containers on the way."""
    *folders, leaf = path.split(".")
    for name in folders:
        if name not in root._modules:
            root.add_module(name, nn.Module())
        root = root.get_submodule(name)
    root.add_module(leaf, group)


def build_model(architecture: Architecture, num_classes: int) -> VisionTransformer:
    """The standalone model of an architecture, with random weights.

    Raises:
        UserError: the architecture is not legal.
    """
    return VisionTransformer(architecture, num_classes)
