"""What the finished trials say about candidates nobody has paid for: their expected improvement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np
from scipy.stats import norm

from nas.pareto import Box, Direction
from nas.proposing.history import History
from nas.proposing.improvement import Landscape
from nas.proposing.models import model_of
from nas.proposing.proxy_features import ProxyFeatures
from nas.proposing.question import Columns, Question
from nas.runtimes.base import FloatArray
from search_spaces.automaton import IntArray

TAILS = (0, 5e-4, 2e-3, 6e-3, 0.015, 0.035, 0.07, 0.13, 0.22, 0.35, 0.5, 0.7, 1)
"""Probabilities that cut a cost's distribution into strata: fine where it would be surprisingly
low, for an improvement on a good front is a surprise."""


@dataclass(frozen=True, eq=False)
class Outlook:
    """What is expected of B candidates. Costs are scaled as the hypervolume is.

    Attributes:
        height_BS: uncertain cost in S strata of its distribution.
        known_BD: the other costs.
        allowed_BS: whether the limits hold in each.
        violation_B: of the limits on free metrics.
    """

    height_BS: FloatArray
    known_BD: FloatArray
    allowed_BS: FloatArray
    violation_B: FloatArray

    def take(self, indices: IntArray) -> Self:
        """Some of the candidates."""
        return type(self)(
            self.height_BS[indices],
            self.known_BD[indices],
            self.allowed_BS[indices],
            self.violation_B[indices],
        )

    def joined(self, other: Self) -> Self:
        """These and others."""
        mine, theirs = vars(self).values(), vars(other).values()
        return type(self)(*(np.concatenate(pair) for pair in zip(mine, theirs, strict=True)))


class Guide:
    """Models of the paid metrics, and the front that is to be improved.

    Args:
        history: at least two distinct paid trials.
        features: those of the history by default.
    """

    def __init__(self, history: History, features: ProxyFeatures | None = None) -> None:
        question = history.question
        self._question, self._metrics = question, len(question.objectives)
        self._paid = [i for i, metric in enumerate(question.objectives) if not metric.free]
        self._height = self._paid[0] if self._paid else 0
        self._scale = _Scale(question, history)
        self._standard_S, self._weights_S = _strata() if self._paid else (np.zeros(1), np.ones(1))
        known = history.known()
        columns = history.columns(known)
        self._models = {m: model_of(history, known, m, columns, features) for m in self._paid}
        feasible = known[history.violation_N[known] <= 0]
        scaled = self._scale(history.costs_NM[feasible])
        self.landscape = Landscape(scaled[:, self._height], np.delete(scaled, self._height, 1))

    def outlook(self, genes_BG: IntArray) -> Outlook:
        """What is expected of legal rows."""
        columns = self._question.columns(genes_BG)
        costs_BS = [self._costs(index, genes_BG, columns) for index in range(self._metrics)]
        scaled_BS = [self._scale(costs, index) for index, costs in enumerate(costs_BS)]
        known_B = [
            scaled[:, 0] if scaled.shape[1] == 1 else scaled @ self._weights_S
            for index, scaled in enumerate(scaled_BS)
            if index != self._height
        ]
        strata = len(genes_BG), len(self._standard_S)
        return Outlook(
            np.broadcast_to(scaled_BS[self._height], strata),
            np.stack(known_B, axis=1) if known_B else np.zeros((len(genes_BG), 0)),
            self._allowed(costs_BS, strata),
            self._question.free_violation(columns),
        )

    def _costs(self, index: int, genes_BG: IntArray, columns: Columns) -> FloatArray:
        """Of one metric: ``(B, S)`` where it is uncertain, else ``(B, 1)``."""
        if index in self._models:
            return self._models[index].costs(genes_BG, columns, self._standard_S)
        metric = self._question.objectives[index]
        sign = -1.0 if metric.direction == "max" else 1.0
        return sign * np.asarray(columns[metric.name], dtype=np.float64)[:, None]

    def no_outlook(self) -> Outlook:
        """Of no rows."""
        none_BS = np.zeros((0, len(self._standard_S)))
        none_BD = np.zeros((0, len(self._question.objectives) - 1))
        return Outlook(none_BS, none_BD, none_BS, np.zeros(0))

    def value(self, outlook: Outlook, landscape: Landscape) -> FloatArray:
        """Expected improvement ``(B,)``; of candidates beyond a free limit minus the violation."""
        height_BS = np.where(outlook.allowed_BS > 0, outlook.height_BS, 1.0)
        gain_B = landscape.improvement(height_BS, self._weights_S, outlook.known_BD)
        return np.where(outlook.violation_B > 0, -outlook.violation_B, gain_B)

    def expected(self, outlook: Outlook, index: int) -> float:
        """The uncertain cost of one candidate, in the mean."""
        return float(outlook.height_BS[index] @ self._weights_S)

    def _allowed(self, costs_BS: Sequence[FloatArray], strata: tuple[int, int]) -> FloatArray:
        allowed_BS = np.ones(strata)
        names = [metric.name for metric in self._question.objectives]
        for limit in self._question.limits:
            if limit.objective.name in names and not limit.objective.free:
                sign = -1.0 if limit.objective.direction == "max" else 1.0
                values_BS = sign * costs_BS[names.index(limit.objective.name)]
                allowed_BS *= limit.excess(values_BS) <= 0
        return allowed_BS


@cache
def _strata() -> tuple[FloatArray, FloatArray]:
    """Mean of a standard normal variable in each stratum, and the stratum's probability."""
    weights_S = np.diff(TAILS)
    means_S: FloatArray = -np.diff(norm.pdf(norm.ppf(TAILS))) / weights_S
    return means_S, weights_S


class _Scale:
    """Costs to the scale of the study's box, or of what it has seen where there is none."""

    def __init__(self, question: Question, history: History) -> None:
        finite = history.costs_NM[np.isfinite(history.costs_NM).all(axis=1)]
        directions = question.directions
        box = question.box or Box.around(_values(finite, directions), directions)
        assert box is not None
        signs = _signs(directions)
        self._ideal = np.array(box.ideal) * signs
        width = np.array(box.worst) * signs - self._ideal
        self._width = np.where(width > 0, width, 1.0)

    def __call__(self, costs: FloatArray, metric: int | None = None) -> FloatArray:
        """Of all metrics ``(…, M)``, or those of one."""
        chosen = slice(None) if metric is None else metric
        scaled: FloatArray = (costs - self._ideal[chosen]) / self._width[chosen]
        return scaled


def _values(costs_NM: FloatArray, directions: Sequence[Direction]) -> FloatArray:
    values: FloatArray = costs_NM * _signs(directions)
    return values


def _signs(directions: Sequence[Direction]) -> FloatArray:
    return np.array([-1.0 if direction == "max" else 1.0 for direction in directions])


def paid_trials(history: History) -> int:
    """How many distinct architectures were paid for."""
    return len(history.known())
