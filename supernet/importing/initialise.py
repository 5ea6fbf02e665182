"""A supernet that starts from others' weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from search_spaces.architecture import Architecture
from search_spaces.errors import UserError
from supernet.extract import build_model
from supernet.importing.adapting import Standard, for_images, resampled
from supernet.importing.fitting import differences, in_words
from supernet.importing.importance import importance_order, reordered
from supernet.importing.imported import Imported
from supernet.importing.placing import named_as_masters, place, share_norms
from supernet.model import Supernet, group_key, master_uses
from supernet.training.checkpoint import weights_hash

BATCH = 16


@dataclass(frozen=True)
class Images:
    """Training images that importance is computed on.

    Attributes:
        images_NCHW: normalised.
        labels_N: their classes.
        standard: mean and deviation they were standardised by.
    """

    images_NCHW: Tensor
    labels_N: Tensor
    standard: Standard


def initialise(
    supernet: Supernet, weights: Imported, images: Images, *, ordered: bool = True
) -> dict[str, Any]:
    """Write others' weights into a supernet.

    Args:
        supernet: changed in place, only if the weights fit its space.
        weights: what was read.
        images: of this run, for importance and standardisation.
        ordered: put units of a plain network in order of importance; nested weights are.

    Returns:
        What was done, as plain data.

    Raises:
        UserError: the weights do not fit the space; the message says which space they would fit.
    """
    if weights.masters:
        written = _place_own(supernet, weights)
        return _record(weights, written, supernet, ordered=False)
    target = _target(supernet, weights)
    channels = supernet.space.spec.channels
    tensors = for_images(weights, channels, images.standard)
    if not weights.nested:
        tensors = resampled(tensors, target, max(weights.num_classes, 1))
        if ordered:
            tensors = _ordered(tensors, target, weights, images, supernet.num_classes)
    named = named_as_masters(supernet, target, tensors)
    needed = set(named_as_masters(supernet, target, dict.fromkeys(_names(supernet, target), None)))  # type: ignore[arg-type]
    head = _head(supernet, weights)
    named = {name: tensor for name, tensor in named.items() if name not in head}
    written = place(
        supernet, named, needed=needed - head, where=weights.origin, hint=_hint(weights)
    )
    written += share_norms(supernet, written)
    return _record(weights, written, supernet, ordered=ordered and not weights.nested)


def check_weights(supernet: Supernet, weights: Imported) -> None:
    """Refuse weights that do not fit the space, before anything is computed.

    Args:
        supernet: a fresh one, which may be changed.
        weights: what was read.

    Raises:
        UserError: as ``initialise``.
    """
    if weights.masters:
        _place_own(supernet, weights)
    else:
        _target(supernet, weights)


def _target(supernet: Supernet, weights: Imported) -> Architecture:
    """The largest member of the kind the weights are of."""
    assert weights.architecture is not None
    found = differences(weights, supernet.space)
    if found:
        raise UserError(
            f"{weights.origin} does not fit the space: {'; '.join(found)}{_hint(weights)}"
        )
    theirs = weights.architecture
    attention = str(theirs.stages[0].blocks[0].attention)
    largest = replace(supernet.space.largest(attention=attention), position=theirs.position)
    reason = supernet.space.why_not(largest)
    if reason is not None:
        raise UserError(f"{weights.origin} does not fit the space: {reason}{_hint(weights)}")
    return largest


def _hint(weights: Imported) -> str:
    if weights.architecture is None:
        return ""
    return (
        f" (it holds {in_words(weights.architecture)}); "
        f"a space that fits: formfinder weights {weights.origin}"
    )


def _place_own(supernet: Supernet, weights: Imported) -> list[str]:
    head = _head(supernet, weights)
    tensors = {name: tensor for name, tensor in weights.tensors.items() if name not in head}
    needed = _all_masters(supernet) - head
    return place(supernet, tensors, needed=needed, where=weights.origin, hint=_hint(weights))


def _all_masters(supernet: Supernet) -> set[str]:
    return {
        f"{group_key(place)}.{spec.master or spec.name}"
        for place, uses in master_uses(supernet).items()
        for spec, _ in uses
    }


def _head(supernet: Supernet, weights: Imported) -> set[str]:
    """The masters of the head, where classes are others: it starts at random."""
    return set() if weights.num_classes == supernet.num_classes else {"head.weight", "head.bias"}


def _names(supernet: Supernet, target: Architecture) -> list[str]:
    return [f"{path}.{s.name}" for path, found in supernet.sources(target).items() for s in found]


def _ordered(
    tensors: dict[str, Tensor],
    target: Architecture,
    weights: Imported,
    images: Images,
    classes: int,
) -> dict[str, Tensor]:
    """Units by importance; without a head, by what they do to a random one's answers."""
    generator = torch.Generator().manual_seed(0)
    model = build_model(target, weights.num_classes or classes)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in tensors:
                parameter.copy_(tensors[name])
            elif name == "head.weight":
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.02)
    labelled = weights.num_classes == classes
    order = importance_order(model.eval(), _batches(images, labelled=labelled))
    return reordered(tensors, target, order)


def _batches(images: Images, *, labelled: bool) -> Iterator[tuple[Tensor, Tensor | None]]:
    for start in range(0, len(images.labels_N), BATCH):
        rows = slice(start, start + BATCH)
        yield images.images_NCHW[rows], images.labels_N[rows] if labelled else None


def _record(
    weights: Imported, written: list[str], supernet: Supernet, *, ordered: bool
) -> dict[str, Any]:
    everything = _all_masters(supernet)
    return {
        "init": weights.origin,
        "weights": weights_hash(dict(weights.tensors)),
        "architecture": None if weights.architecture is None else weights.architecture.to_dict(),
        "order": "importance" if ordered else "none",
        "head": "kept" if "head.weight" in written else "random",
        "written": len(set(written)),
        "random": sorted(everything - set(written)),
    }
