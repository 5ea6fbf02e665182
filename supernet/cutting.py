"""A member's weights, cut out of the shared masters all at once.

A network of five layers has some 80 parameters. Cut one by one they cost a small network a tenth
of its time; so all are cut in one step, and where nothing is learned the views are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.layers import Cut, Slice
from supernet.operators import Weights

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Source:
    """Where one parameter comes from: a master, and how it is cut out (None: whole)."""

    name: str
    group: str
    master: str
    cut: Cut | None


@dataclass(frozen=True, slots=True)
class _Entry(Generic[C]):
    """A parameter's place in the member, and the living dictionary that holds its master."""

    path: str
    name: str
    group: Mapping[str, Any]
    master: str
    cut: C

    def tensor(self) -> Tensor:
        master: Tensor = self.group[self.master]
        return master


class Plan:
    """How one member is cut out of the masters.

    Args:
        masters: groups of master parameters, by name.
        sources: where every parameter of the member comes from, by part.

    Attributes:
        sources: as given.
    """

    def __init__(self, masters: nn.ModuleDict, sources: Mapping[str, tuple[Source, ...]]) -> None:
        self.sources = sources
        self._whole: list[_Entry[None]] = []
        self._sliced: list[_Entry[Slice]] = []
        self._resampled: list[_Entry[Cut]] = []
        for path, source in ((path, s) for path, found in sources.items() for s in found):
            place = (path, source.name, masters[source.group]._parameters, source.master)
            if source.cut is None:
                self._whole.append(_Entry(*place, None))
            elif isinstance(source.cut, Slice):
                self._sliced.append(_Entry(*place, source.cut))
            else:
                self._resampled.append(_Entry(*place, source.cut))
        self._cuts = [entry.cut for entry in self._sliced]
        self._places = [(entry.group, entry.master) for entry in self._sliced]
        self._places += [(entry.group, entry.master) for entry in self._whole]
        self._kept: dict[str, Weights] = {}
        self._kept_of: list[int] = []

    def weights(self) -> Mapping[str, Weights]:
        """The member's parameters by part, as views of the masters wherever they can be."""
        if torch.is_grad_enabled():
            masters = [entry.tensor() for entry in self._sliced]
            weights = self._arrange(_Slicing.apply(self._cuts, *masters))
        else:
            weights = self._views()
        for entry in self._resampled:
            made = entry.cut(entry.tensor())
            weights[entry.path] = {**weights[entry.path], entry.name: made}
        return weights

    def _views(self) -> dict[str, Weights]:
        """The slices without gradient: those of the last call, if they still show the masters."""
        # A kept view keeps its storage alive, so an equal address is the same storage.
        shown = [group[master].data_ptr() for group, master in self._places]
        if shown != self._kept_of:
            self._kept = self._arrange(entry.cut(entry.tensor()) for entry in self._sliced)
            self._kept_of = shown
        return dict(self._kept)

    def _arrange(self, slices: Iterable[Tensor]) -> dict[str, Weights]:
        weights: dict[str, dict[str, Tensor]] = {path: {} for path in self.sources}
        for whole in self._whole:
            weights[whole.path][whole.name] = whole.tensor()
        for entry, tensor in zip(self._sliced, slices, strict=True):
            weights[entry.path][entry.name] = tensor
        return dict(weights)


class _Slicing(torch.autograd.Function):
    """Many slices in one step. Backward: what lies outside of a slice gets exactly zero."""

    @staticmethod
    def forward(ctx: Any, cuts: Sequence[Slice], *masters: Tensor) -> tuple[Tensor, ...]:
        ctx.cuts = cuts
        ctx.set_materialize_grads(False)
        return tuple([cut(master) for cut, master in zip(cuts, masters, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        pairs = zip(ctx.cuts, grads, strict=True)
        return None, *[None if grad is None else F.pad(grad, cut.margins) for cut, grad in pairs]
