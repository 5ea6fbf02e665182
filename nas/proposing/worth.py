"""What known candidates are worth, and what unknown ones would cost: loss, price, order."""

from __future__ import annotations

import numpy as np

from nas.proposing.history import History
from nas.proposing.question import Question
from nas.proposing.ranking import best_first
from nas.runtimes.base import FloatArray
from search_spaces.automaton import BoolArray, IntArray

LATENCY = "latency_ms"


def loss_of(history: History) -> FloatArray:
    """What is paid for, as a cost ``(N,)``: of the first objective that is not free, else the
    first; infinite where it was not paid for.
    """
    objectives = history.question.objectives
    paid = [index for index, objective in enumerate(objectives) if not objective.free]
    if not paid:
        return history.costs_NM[:, 0]
    loss_N: FloatArray = np.where(history.paid_N, history.costs_NM[:, paid[0]], np.inf)
    return loss_N


def price_of(question: Question, genes_BG: IntArray, metric: str = LATENCY) -> FloatArray:
    """What candidates cost, ``(B,)``: a free metric, the first objective that is minimised and
    free where there is none of that name.
    """
    if not len(genes_BG):
        return np.zeros(0)
    columns = question.columns(genes_BG)
    cheap = [o.name for o in question.objectives if o.free and o.direction == "min"]
    for name in (metric, *cheap, *columns):
        if name in columns:
            return np.asarray(columns[name], dtype=np.float64)
    return np.zeros(len(genes_BG))


def excess_of(question: Question, genes_BG: IntArray) -> FloatArray:
    """By how much candidates break limits that cost nothing to check, ``(B,)``; 0: none."""
    if not question.limits or not len(genes_BG):
        return np.zeros(len(genes_BG))
    return question.free_violation(question.columns(genes_BG))


def inside(question: Question, genes_BG: IntArray) -> IntArray:
    """Those within the limits that cost nothing to check; all, the nearest first, if none is."""
    if not question.limits or not len(genes_BG):
        return genes_BG
    excess_B = excess_of(question, genes_BG)
    kept: IntArray = genes_BG[excess_B <= 0]
    return kept if len(kept) else genes_BG[np.argsort(excess_B, kind="stable")]


def order_of(history: History, among: IntArray | BoolArray | slice = slice(None)) -> IntArray:
    """Indices of trials from best to worst: feasible ones first, then by violation.

    With one objective by its value, with several by non-dominated sorting, the lonelier first.

    Args:
        history: what is known.
        among: which trials; all by default.
    """
    indices = np.arange(len(history))[among]
    costs_KM, violation_K = history.costs_NM[indices], history.violation_N[indices]
    if costs_KM.shape[1] == 1:
        order = np.lexsort((costs_KM[:, 0], np.maximum(violation_K, 0.0)))
    else:
        order = best_first(costs_KM, violation_K)
    chosen: IntArray = indices[order]
    return chosen
