"""Proxies as features of the model of accuracy, beside the genes."""

from __future__ import annotations

import numpy as np

from nas.proposing.features import Groups
from nas.proposing.history import History
from nas.proposing.question import Columns
from nas.proxies import PROXIES
from nas.runtimes.base import FloatArray
from search_spaces.automaton import IntArray


class ProxyFeatures:
    """The features of a history with one more group, scores of proxies.

    Of a combination its members are features: places among candidates mean nothing beside others.
    Scores spread over orders of magnitude, so their logarithms count, with the sign in front.

    Args:
        history: of the study.
        names: proxies.
        first: trials whose scores set the scale, so that it never changes.
    """

    def __init__(self, history: History, names: tuple[str, ...], first: int) -> None:
        self._history = history
        members = [PROXIES[name].members or (name,) for name in names]
        self._names = tuple(dict.fromkeys(name for group in members for name in group))
        raw_NF = self._raw(history.genes_NG[history.known()[:first]])
        std_F = raw_NF.std(axis=0)
        self._mean_F = raw_NF.mean(axis=0)
        self._width_F = np.where(std_F > 1e-9, std_F, 1.0) * np.sqrt(len(self._names))

    def __call__(self, genes_BG: IntArray, columns: Columns) -> Groups:
        """Groups of features ``(B, F)``; the last one stays the last."""
        *genes, free_BF = self._history.features(genes_BG, columns)
        scores_BF = (self._raw(genes_BG) - self._mean_F) / self._width_F
        return (*genes, scores_BF, free_BF)

    def _raw(self, genes_BG: IntArray) -> FloatArray:
        scores = self._history.question.scored(self._names, genes_BG)
        values_BF = np.stack([scores[name] for name in self._names], axis=1)
        logs_BF: FloatArray = np.sign(values_BF) * np.log1p(np.abs(values_BF))
        return logs_BF
