"""Proxy scores of many architectures, kept in the evaluation store."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from torch import Tensor

from nas.evaluation import EvaluationKey, EvaluationStore
from nas.proxies.maths.weights import fresh_model
from nas.proxies.proxy import PROXIES, Combination, Floats, Score
from nas.version import code_version
from search_spaces.architecture import Architecture
from search_spaces.automaton import IntArray
from search_spaces.errors import UserError
from search_spaces.space import SearchSpace

IMAGES = 32
SEED = 0
WEIGHTS = f"untrained:seed{SEED}"


@dataclass(frozen=True)
class Sample:
    """What scores look at.

    Attributes:
        images_BCHW: normalised.
        labels_B: int64.
        split: names the images in the evaluation store.
        num_classes: outputs of the head.
    """

    images_BCHW: Tensor
    labels_B: Tensor
    split: str
    num_classes: int

    @classmethod
    def first_of(
        cls, images_NCHW: Tensor, labels_N: Tensor, split: str, num_classes: int
    ) -> Sample:
        """The first images of a split."""
        return cls(images_NCHW[:IMAGES], labels_N[:IMAGES], split, num_classes)


def score_of(proxy: Score, architecture: Architecture, sample: Sample) -> float:
    """The score of an architecture, averaged over initialisations; seeded, so always the same.

    Raises:
        UserError: it is no finite number; a plug-in's fault.
    """
    scores = []
    for number in range(proxy.inits):
        model = fresh_model(architecture, sample.num_classes, SEED + number)
        scores.append(proxy.score(model, sample.images_BCHW, sample.labels_B, SEED + number))
    mean = sum(score / len(scores) for score in scores)
    if not math.isfinite(mean):
        raise UserError(f"proxy {proxy.name!r} gave {mean} for {architecture.digest()}")
    return mean


def proxy_key(architecture: Architecture, name: str, split: str) -> EvaluationKey:
    """Where the store keeps a score: no trained weights are part of it."""
    return EvaluationKey(
        weights=WEIGHTS, architecture=architecture.digest(), metric=name, split=split
    )


def scores_needed(names: Iterable[str]) -> list[str]:
    """The scores behind proxies: combinations by their members, each once.

    Raises:
        UserError: there is no such proxy.
    """
    found = [PROXIES[name].members or (name,) for name in names]
    return list(dict.fromkeys(name for members in found for name in members))


def proxy_columns(
    names: Sequence[str],
    architectures: Sequence[Architecture],
    sample: Sample,
    store: EvaluationStore | None = None,
    on_architecture: Callable[[int], None] | None = None,
) -> dict[str, Floats]:
    """Scores of architectures: features of a predictor, or a filter before paying for accuracy.

    Args:
        names: proxies; of combinations the members are scored, and places are taken among all
            ``architectures``.
        architectures: N of them.
        sample: what scores look at.
        store: asked before scoring, told after, so that the same call goes on after a kill.
        on_architecture: called with the number of those that are done.

    Returns:
        One column ``(N,)`` per name, in the proxy's own direction.

    Raises:
        UserError: there is no such proxy, a score is not finite, or the store cannot be written.
    """
    scores = scores_needed(names)
    made = {name: np.full(len(architectures), np.nan) for name in scores}
    for row, architecture in enumerate(architectures):
        for name in scores:
            made[name][row] = _known_or_scored(name, architecture, sample, store)
        if on_architecture is not None:
            on_architecture(row + 1)
    columns = {}
    for name in names:
        proxy = PROXIES[name]
        columns[name] = proxy.combine(made) if isinstance(proxy, Combination) else made[name]
    return columns


def row_scores(
    space: SearchSpace, sample: Sample, store: EvaluationStore | None = None
) -> Callable[[Sequence[str], IntArray], dict[str, Floats]]:
    """``proxy_columns`` of legal gene rows of ``space``."""

    def scores(names: Sequence[str], genes_BG: IntArray) -> dict[str, Floats]:
        return proxy_columns(names, [space.decode(row) for row in genes_BG], sample, store)

    return scores


def _known_or_scored(
    name: str, architecture: Architecture, sample: Sample, store: EvaluationStore | None
) -> float:
    key = proxy_key(architecture, name, sample.split)
    known = None if store is None else store.get(key)
    if known is not None:
        return known.value
    proxy = PROXIES[name]
    assert isinstance(proxy, Score)
    started = time.perf_counter()
    value = score_of(proxy, architecture, sample)
    if store is not None:
        store.put(key, value, provenance(time.perf_counter() - started, len(sample.labels_B)))
    return value


def provenance(seconds: float, images: int) -> dict[str, object]:
    """What is stored beside a score."""
    return {
        "kind": "measured",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 5),
        "code_version": code_version(),
        "images": images,
    }
