"""A batch from a few wanted rows: the rest are neighbours of the best, then random."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nas.proposing.drawing import enlivened, fresh_rows, mutate
from nas.proposing.history import History
from nas.proposing.moves import distinct
from nas.proposing.worth import inside, order_of
from search_spaces.automaton import IntArray

Draw = Callable[[int], IntArray]
BEST = 10
NEAR = 0.8  # share of the rest that are neighbours of the best


def filled(history: History, count: int, wanted_BG: IntArray, rng: np.random.Generator) -> IntArray:
    """``count`` rows: first those wanted that are new, then neighbours of the best, then random.

    Known rows fill up what is left once nothing new is found.
    """
    wanted = distinct(wanted_BG)
    made = wanted[history.unseen(wanted)][:count]
    rest = count - len(made)
    near = int(np.ceil(NEAR * rest)) if len(history) else 0
    if near:
        made = np.concatenate([made, drawn(history, near, around(history, rng), rng, made)])
    return np.concatenate([made, fresh_rows(history, rest - near, anywhere(history, rng), made)])


def drawn(
    history: History, count: int, draw: Draw, rng: np.random.Generator, taken_BG: IntArray
) -> IntArray:
    """``count`` new rows of ``draw``; random ones in place of what it makes no more of."""
    rows = fresh_rows(history, count, draw, taken_BG)
    new = history.unseen(np.concatenate([taken_BG, rows]))[len(taken_BG) :]
    if new.all():
        return rows
    taken = np.concatenate([taken_BG, rows[new]])
    random = fresh_rows(history, int((~new).sum()), anywhere(history, rng), taken)
    return np.concatenate([rows[new], random])


def anywhere(history: History, rng: np.random.Generator) -> Draw:
    """Random members within the limits that cost nothing to check."""
    question = history.question
    return lambda n: inside(question, question.space.sample_genes(rng, max(n, 32)))


def around(history: History, rng: np.random.Generator) -> Draw:
    """The best known with a gene or two changed, within the same limits."""
    question = history.question
    best_BG = history.genes_NG[order_of(history)[:BEST]]

    def draw(count: int) -> IntArray:
        chosen = best_BG[rng.integers(len(best_BG), size=max(count, 32))]
        rate = 1 / len(question.space.genes)
        alive = enlivened(question.space, chosen, rng)
        return inside(question, mutate(question.space, alive, rng, rate))

    return draw
