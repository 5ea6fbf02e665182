"""How well proxies rank the architectures of a trained run: taus against inherited accuracy."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nas.display import Display
from nas.evaluation import EvaluationKey, EvaluationStore
from nas.evaluator import SupernetEvaluator
from nas.proxies import PROXIES, Combination, Proxy, warning
from nas.proxies.maths.agreement import Agreement, kendall, spearman
from nas.proxies.maths.columns import (
    Sample,
    provenance,
    proxy_columns,
    proxy_key,
    scores_needed,
)
from nas.proxies.proxy import Floats
from nas.run import Run
from nas.steps.ranking_groups import ALL, draw_groups
from search_spaces.architecture import Architecture
from supernet.training.checkpoint import weights_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """One proxy in one group of architectures.

    Attributes:
        group: ``all``, or the attention type that all mixing layers are of.
        proxy: its name.
        n: architectures.
        tau, rho: Kendall and Spearman with accuracy, positive where the proxy is right.
        seconds: to score one architecture, median, s.
        warning: where it was not built for what it ranks.
    """

    group: str
    proxy: str
    n: int
    tau: Agreement
    rho: Agreement
    seconds: float
    warning: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """What was found.

    Attributes:
        table: every proxy in every group, those of one group together.
        groups: the architectures of each, as rows of the columns.
        architectures: N of them.
        scores: by name, ``(N,)``; combinations are made of them.
        accuracy_N: with inherited weights, on all validation images.
        weights: hash of the supernet's weights.
        split: names the images.
        images: how many scores look at.
    """

    table: tuple[Ranked, ...]
    groups: Mapping[str, Sequence[int]]
    architectures: Sequence[Architecture]
    scores: Mapping[str, Floats]
    accuracy_N: Floats
    weights: str
    split: str
    images: int


def rank_proxies(run: Run, display: Display) -> Ranking:
    """Score random architectures by proxies and by accuracy, and see who agrees.

    Both go through the evaluation store, so that the same command goes on where it stopped, and
    more architectures or proxies cost only themselves.

    Raises:
        UserError: the run has no trained supernet, or the store cannot be written.
    """
    sources = _Sources(run)
    names = list(dict.fromkeys(run.config.proxies.names)) or PROXIES.names()
    drawn = draw_groups(run.offered, run.config.proxies.n, run.config.seed)
    everyone = list(dict.fromkeys(a for members in drawn.values() for a in members))
    others = ", ".join(f"{group} {len(m)}" for group, m in drawn.items() if group != ALL)
    display.line(f"{len(everyone)} architectures, {len(drawn[ALL])} of them of all kinds")
    if others:
        display.line(f"and of one attention type each: {others}")
    with display.bar("proxies", len(everyone), "architectures") as bar:
        needed = scores_needed(names)
        scores = proxy_columns(needed, everyone, sources.sample, sources.store, bar.at)
    with display.bar("accuracy", len(everyone), "architectures") as bar:
        accuracy_N = sources.accuracies(everyone, bar.at)
    row = {architecture: index for index, architecture in enumerate(everyone)}
    groups = {group: [row[a] for a in members] for group, members in drawn.items()}
    table = [
        _ranked(
            group,
            PROXIES[name],
            [everyone[i] for i in rows],
            _within(scores, rows),
            accuracy_N[rows],
            sources,
        )
        for group, rows in groups.items()
        for name in names
    ]
    return Ranking(
        table=tuple(table),
        groups=groups,
        architectures=everyone,
        scores=scores,
        accuracy_N=accuracy_N,
        weights=sources.weights,
        split=sources.split,
        images=len(sources.sample.labels_B),
    )


class _Sources:
    """Scores and accuracies of one run, through its evaluation store."""

    def __init__(self, run: Run) -> None:
        supernet = run.trained_supernet().eval()
        val = run.dataset.val
        images_NCHW = run.dataset.transform.normalise(val.images_NCHW)
        assert run.source is not None
        self.store = EvaluationStore(run.source.evaluations)
        self.split = f"val:{run.dataset.digest}"
        self.weights = weights_hash(supernet.state_dict())
        self.sample = Sample.first_of(images_NCHW, val.labels_N, self.split, run.num_classes)
        self._evaluator = SupernetEvaluator(supernet, images_NCHW, val.labels_N)
        self._images = len(val)

    def accuracies(
        self, architectures: Sequence[Architecture], on_done: Callable[[int], None]
    ) -> Floats:
        """Accuracy with inherited weights on all validation images, ``(N,)``."""
        made = np.zeros(len(architectures))
        for index, architecture in enumerate(architectures):
            made[index] = self._accuracy(architecture)
            on_done(index + 1)
        return made

    def _accuracy(self, architecture: Architecture) -> float:
        key = EvaluationKey(
            weights=self.weights,
            architecture=architecture.digest(),
            metric="accuracy",
            split=self.split,
        )
        known = self.store.get(key)
        if known is not None:
            return known.value
        started = time.perf_counter()
        value = float(self._evaluator.evaluate(architecture)["accuracy"])
        made = provenance(time.perf_counter() - started, self._images)
        return self.store.put(key, value, made).value

    def seconds(self, proxy: Proxy, architectures: Sequence[Architecture]) -> float:
        """Median time to score one, s; for a combination that of its members together."""
        total = 0.0
        for name in proxy.members or (proxy.name,):
            keys = [proxy_key(a, name, self.split) for a in architectures]
            found = self.store.get_many(keys).values()
            total += float(np.median([e.provenance.get("seconds", math.nan) for e in found]))
        return total


def _within(scores: Mapping[str, Floats], rows: Sequence[int]) -> dict[str, Floats]:
    return {name: column[list(rows)] for name, column in scores.items()}


def _column(proxy: Proxy, scores: Mapping[str, Floats]) -> Floats:
    return proxy.combine(scores) if isinstance(proxy, Combination) else scores[proxy.name]


def _ranked(
    group: str,
    proxy: Proxy,
    members: Sequence[Architecture],
    scores: Mapping[str, Floats],
    accuracy_N: Floats,
    sources: _Sources,
) -> Ranked:
    column_N = _column(proxy, scores)
    signed_N = column_N if proxy.direction == "max" else -column_N
    return Ranked(
        group=group,
        proxy=proxy.name,
        n=len(members),
        tau=kendall(signed_N, accuracy_N),
        rho=spearman(signed_N, accuracy_N),
        seconds=sources.seconds(proxy, members),
        warning=warning(proxy, {block.attention.op for a in members for _, block in a.blocks()}),
    )
