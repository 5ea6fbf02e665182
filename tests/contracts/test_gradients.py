"""Invariant 6: training a member touches its own weights, all of them, and no others."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor

from search_spaces.architecture import Architecture
from supernet.attention import ATTENTIONS
from supernet.model import Supernet
from supernet.network import Part, resolve
from supernet.position import POSITIONS
from tests.contracts.cases import CLASSES


def used_elements(
    supernet: Supernet, architecture: Architecture
) -> Iterator[tuple[str, Part, str, Tensor]]:
    """(master, part, parameter, mask of the master's elements that the parameter is made of).

    The cut itself is asked, through its gradient: that serves slices and resamplings alike.
    """
    parts = {part.path: part for part in resolve(architecture, CLASSES).parts()}
    for path, sources in supernet.sources(architecture).items():
        for source in sources:
            master = supernet.masters[source.group].get_parameter(source.master)
            probe = torch.zeros_like(master).requires_grad_()
            cut = probe * 1.0 if source.cut is None else source.cut(probe)
            weight = torch.randn(cut.shape, dtype=cut.dtype)
            (made_of,) = torch.autograd.grad((cut * weight).sum(), probe)
            yield f"masters.{source.group}.{source.master}", parts[path], source.name, made_of != 0


def gradient_free(part: Part, architecture: Architecture) -> tuple[str, ...]:
    """Parameters whose gradient may be zero by the maths."""
    if not part.path.endswith(".attention"):
        return ()
    inside = POSITIONS[architecture.position.op].card.gradient_free
    return (*ATTENTIONS[part.op].card.gradient_free, *inside)


def test_backward_reaches_exactly_the_weights_in_use(case, place, supernet_at, images_at) -> None:
    torch.manual_seed(2)
    supernet = copy.deepcopy(supernet_at(place, case.stages)).double()
    architecture = case.architecture(place, 24, 2)
    logits = supernet(images_at(place, 8).double(), architecture)
    (logits * torch.randn(logits.shape, dtype=logits.dtype)).sum().backward()

    gradients = {
        name: torch.zeros_like(p) if p.grad is None else p.grad
        for name, p in supernet.named_parameters()
    }
    outside = {name: torch.ones_like(g, dtype=torch.bool) for name, g in gradients.items()}
    for master, part, name, used in used_elements(supernet, architecture):
        outside[master] &= ~used
        inside = gradients[master][used]
        assert torch.isfinite(inside).all(), (part.path, name)
        if name not in gradient_free(part, architecture):
            assert (inside != 0).all(), (part.path, name)
    assert [name for name, g in gradients.items() if g[outside[name]].any()] == []
