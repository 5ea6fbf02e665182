"""Walks that take one step at a time, each to the best of a few candidates that were evaluated.

A walk is not kept anywhere: it is repeated from its start with what the finished trials say, as
far as they say enough, and what is missing for the next step is what should be proposed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nas.proposing.filling import filled
from nas.proposing.history import History
from nas.proposing.moves import smaller
from nas.proposing.worth import excess_of, loss_of, price_of
from nas.runtimes.base import FloatArray
from search_spaces.automaton import IntArray


@dataclass(frozen=True)
class Steps:
    """What a walk does.

    Attributes:
        moves: candidates ``(B, G)`` for the next step of a row ``(G,)``.
        choose: from the row, its loss, K candidates and their indices among the trials to the
            candidate to go to.
        unpaid: the same by free metrics alone, beyond limits: no accuracy is paid for there.
        width: candidates that are evaluated before a step is taken.
    """

    moves: Callable[[IntArray], IntArray]
    choose: Callable[[IntArray, float, IntArray, IntArray], int]
    unpaid: Callable[[IntArray, IntArray], int]
    width: int


@dataclass(frozen=True)
class Walk:
    """How far the history carries.

    Attributes:
        rows_PG: the rows passed; the last one is where it stands.
        open_BG: candidates for the next step that were not evaluated yet.
        missing: how many of them are needed; 0: the walk has ended.
    """

    rows_PG: IntArray
    open_BG: IntArray
    missing: int


def walk(history: History, start_G: IntArray, steps: Steps) -> Walk:
    """Repeat a walk from its start.

    A step is taken once ``steps.width`` candidates (or all there are) have values. It looks at
    the first of them in the order of trials, so that later ones do not change it any more.
    """
    known, loss_N = _paid_trials(history), loss_of(history)
    passed, row = [start_G], start_G
    while True:
        candidates = steps.moves(row)
        if excess_of(history.question, row[None])[0] > 0:
            if not len(candidates):
                return Walk(np.stack(passed), candidates, 0)
            row = candidates[steps.unpaid(row, candidates)]
            passed.append(row)
            continue
        candidates = candidates[excess_of(history.question, candidates) <= 0]
        trials = _trials_of(candidates, known)[: steps.width]
        unknown = candidates[history.unseen(candidates)]
        missing = min(steps.width - len(trials), len(unknown))
        if missing or not len(trials):
            return Walk(np.stack(passed), unknown, missing)
        loss = loss_N[known[row.tobytes()]] if row.tobytes() in known else loss_N[trials].min()
        rows = history.genes_NG[trials]
        row = rows[steps.choose(row, float(loss), rows, trials)]
        passed.append(row)


def _paid_trials(history: History) -> dict[bytes, int]:
    """The first trial of each row whose loss is known."""
    finite_N, found = np.isfinite(loss_of(history)), dict[bytes, int]()
    for index in np.flatnonzero(finite_N):
        found.setdefault(history.genes_NG[index].tobytes(), int(index))
    return found


def _trials_of(candidates_BG: IntArray, known: dict[bytes, int]) -> IntArray:
    places = (known.get(row.tobytes()) for row in candidates_BG)
    return np.array(sorted(place for place in places if place is not None), dtype=np.int64)


def least_loss_per_gain(loss: float, losses_K: FloatArray, gains_K: FloatArray) -> int:
    """The candidate that loses least for what it gains; of those that lose nothing, that which
    gains most.

    Args:
        loss: where the walk stands.
        losses_K: of the candidates.
        gains_K: above 0.
    """
    lost_K = losses_K - loss
    if (lost_K <= 0).any():
        return int(np.argmax(np.where(lost_K <= 0, gains_K, -np.inf)))
    return int(np.argmin(lost_K / gains_K))


def wanted_by(
    history: History, starts_SG: IntArray, steps: Steps, count: int, rng: np.random.Generator
) -> IntArray:
    """What walks from several starts lack, one walk after the other until there is enough."""
    made = [np.zeros((0, len(history.question.space.genes)), dtype=np.int64)]
    for start in starts_SG:
        step = walk(history, start, steps)
        here = step.rows_PG[-1:]
        made += [here[history.unseen(here)], rng.permutation(step.open_BG)[: step.missing]]
        if sum(map(len, made)) >= count:
            break
    return np.concatenate(made)


def largest_rows(history: History) -> IntArray:
    """The largest member of each patch size, the most expensive first, ``(S, G)``."""
    space = history.question.space
    rows = np.stack([space.extreme(largest=True, patch_size=p) for p in space.spec.patch_size])
    order = np.argsort(-price_of(history.question, rows), kind="stable")
    sorted_SG: IntArray = rows[order]
    return sorted_SG


def slimmed(
    history: History,
    count: int,
    rng: np.random.Generator,
    merit: Callable[[IntArray], FloatArray],
    width: int | None,
) -> IntArray:
    """A batch of the walk that gives up what loses least for the merit it gains.

    From the largest nets, each step to the reduction with ``argmin Δloss / Δmerit``. Beyond limits
    on free metrics accuracy is not paid for: there parameters stand in for it.

    Args:
        history: of the study.
        count: rows.
        rng: of everything that is drawn.
        merit: what small nets have more of, ``(B, G)`` → ``(B,)``, free to know.
        width: reductions evaluated per step; None: a batch of them.
    """
    space, loss_N = history.question.space, loss_of(history)

    def moves(row_G: IntArray) -> IntArray:
        rows = smaller(space, row_G)
        return rows[merit(rows) > merit(row_G[None])] if len(rows) else rows

    def choose(row_G: IntArray, loss: float, rows: IntArray, trials: IntArray) -> int:
        return least_loss_per_gain(loss, loss_N[trials], merit(rows) - merit(row_G[None]))

    def unpaid(row_G: IntArray, rows: IntArray) -> int:
        size = price_of(history.question, np.concatenate([row_G[None], rows]), "params")
        return least_loss_per_gain(-size[0], -size[1:], merit(rows) - merit(row_G[None]))

    steps = Steps(moves, choose, unpaid, width or count)
    wanted = wanted_by(history, largest_rows(history), steps, count, rng)
    return filled(history, count, wanted, rng)
