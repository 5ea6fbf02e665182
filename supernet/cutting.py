"""A member's weights, cut out of the shared masters.

``cut_out`` is the plain way: tensors of the masters' own graph. ``BoundWeights`` is the quick one,
for what is run many times: the views are made once, as leaves whose gradients are views of the
masters' gradients. A network of five layers has some 80 parameters; cut anew they cost a small one
a tenth of its time forwards, and padding their gradients with zeros another tenth backwards.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from supernet.layers import Cut, Slice
from supernet.operators import Weights

# A leaf has the strides of its master, and so has its gradient. That is what is wanted here.
warnings.filterwarnings("ignore", message="grad and param do not obey the gradient layout contract")


@dataclass(frozen=True, slots=True)
class Source:
    """Where one parameter comes from: a master, and how it is cut out (None: whole)."""

    name: str
    group: str
    master: str
    cut: Cut | None


Sources = Mapping[str, tuple[Source, ...]]
"""Where every parameter of a member comes from, by part."""


def cut_out(masters: nn.ModuleDict, sources: Sources) -> dict[str, dict[str, Tensor]]:
    """A member's parameters by part, with the masters in their graph."""
    weights: dict[str, dict[str, Tensor]] = {path: {} for path in sources}
    for path, source in _flat(sources):
        master = _parameters(masters, source)[source.master]
        weights[path][source.name] = master if source.cut is None else source.cut(master)
    return weights


class GradientMemory:
    """One tensor per master for its gradient, used again when that gradient was dropped."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}

    def of(self, master: Tensor) -> Tensor:
        """A tensor like ``master``; what it holds is old."""
        owner, grad = self._kept.get(id(master), (None, None))
        if owner is not master or grad is None:
            grad = torch.empty_like(master, requires_grad=False)
            self._kept[id(master)] = master, grad
        return grad


class BoundWeights:
    """A member's parameters, bound to the masters as they are now.

    What is changed in place is seen. What is replaced is not: ask ``is_current``.

    Args:
        masters: groups of master parameters, by name.
        sources: where the member's parameters come from.
        memory: where the masters' gradients lie.
    """

    def __init__(self, masters: nn.ModuleDict, sources: Sources, memory: GradientMemory) -> None:
        self._weights: dict[str, dict[str, Tensor]] = {path: {} for path in sources}
        self._places: list[_Place] = []
        self._leaves: list[_Leaf] = []
        self._whole: list[Tensor] = []
        self._memory = memory
        self._resampled: list[tuple[str, str, Cut, Tensor]] = []
        for path, source in _flat(sources):
            group = _parameters(masters, source)
            master = group[source.master]
            self._places.append(
                _Place(group, source.master, master, master.data_ptr(), master.requires_grad)
            )
            if source.cut is None:
                self._weights[path][source.name] = master
                if master.requires_grad and master.numel() > 0:
                    self._whole.append(master)
            elif isinstance(source.cut, Slice):
                leaf = _Leaf(master, source.cut, memory)
                self._leaves.append(leaf)
                self._weights[path][source.name] = leaf.tensor
            else:
                self._resampled.append((path, source.name, source.cut, master))

    def is_current(self) -> bool:
        """Whether the masters are still the tensors that were bound, at the same place."""
        return all(place.is_current() for place in self._places)

    def weights(self) -> Mapping[str, Weights]:
        """The parameters by part."""
        for path, name, cut, master in self._resampled:
            self._weights[path][name] = cut(master)
        return self._weights

    def claim_gradients(self) -> None:
        """Let what the leaves learn be added to the masters' gradients; call before it arrives.

        Masters that are used whole get their gradient here as well. Left alone, they would take
        the first one that arrives, and other members' leaves would hold on to its memory, in the
        midst of a step's activations.
        """
        dropped = [self._claim(master) for master in self._whole]
        dropped += [leaf.claim() for leaf in self._leaves if leaf.learns]
        if fresh := [grad for grad in dropped if grad is not None]:
            torch._foreach_zero_(fresh)

    def _claim(self, master: Tensor) -> Tensor | None:
        if master.grad is not None:
            return None
        master.grad = self._memory.of(master)
        return master.grad


@dataclass(frozen=True, slots=True)
class _Place:
    """A master, and where it was when it was bound."""

    group: Mapping[str, Tensor]
    name: str
    master: Tensor
    address: int
    learns: bool

    def is_current(self) -> bool:
        now = self.group.get(self.name)
        return (
            now is self.master
            and now.data_ptr() == self.address
            and now.requires_grad == self.learns
        )


class _Leaf:
    """A slice of a master that learns like a parameter of its own."""

    __slots__ = ("_cut", "_memory", "_whole", "learns", "master", "tensor")

    def __init__(self, master: Tensor, cut: Slice, memory: GradientMemory) -> None:
        self.master, self._memory = master, memory
        self.learns = master.requires_grad and master.numel() > 0
        self.tensor = cut(master.detach()).requires_grad_(self.learns)
        self._cut = cut
        self._whole: Tensor | None = None

    def claim(self) -> Tensor | None:
        """Make the gradient a view of the master's; one that must be zeroed first is returned."""
        whole, fresh = self.master.grad, None
        if whole is None:
            whole = fresh = self._memory.of(self.master)
            self.master.grad = whole
        if whole is not self._whole:
            self.tensor.grad, self._whole = self._cut(whole), whole
        return fresh


def _flat(sources: Sources) -> list[tuple[str, Source]]:
    return [(path, source) for path, found in sources.items() for source in found]


def _parameters(masters: nn.ModuleDict, source: Source) -> Mapping[str, Tensor]:
    """The living dictionary of a group, which a functional call puts other tensors into."""
    return masters[source.group]._parameters  # type: ignore[return-value]  # none of them is None
