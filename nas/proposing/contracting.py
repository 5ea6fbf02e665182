"""TinyViT's contraction as a rule: down from the largest, and around the knee."""

from __future__ import annotations

import numpy as np

from nas.pareto import knee
from nas.proposing.descent import Steps, largest_rows, walk
from nas.proposing.drawing import enlivened, mutate
from nas.proposing.filling import drawn, filled
from nas.proposing.history import History
from nas.proposing.moves import contracted
from nas.proposing.worth import inside, loss_of, price_of
from search_spaces.automaton import IntArray


def contract(
    history: History, count: int, rng: np.random.Generator, width: int | None, beyond: int
) -> IntArray:
    """A batch: what the walk from the largest net lacks, or what lies around the knee."""
    question, loss_N = history.question, loss_of(history)

    def moves(row_G: IntArray) -> IntArray:
        rows = contracted(question.space, row_G)
        return rows[price_of(question, rows) < price_of(question, row_G[None])]

    def choose(row_G: IntArray, loss: float, rows: IntArray, trials: IntArray) -> int:
        return int(np.argmin(loss_N[trials]))

    def unpaid(row_G: IntArray, rows: IntArray) -> int:
        return int(np.argmax(price_of(question, rows, "params")))  # the least contracted

    steps = Steps(moves, choose, unpaid, width or count)
    none = np.zeros((0, len(question.space.genes)), dtype=np.int64)
    for start in largest_rows(history):
        step = walk(history, start, steps)
        if step.missing and not _behind(history, step.rows_PG, beyond):
            here = step.rows_PG[-1:]
            lacking = rng.permutation(step.open_BG)[: step.missing]
            return filled(history, count, np.concatenate([here, lacking]), rng)
    middle = knee_row(history)
    if middle is None:
        return filled(history, count, none, rng)
    return filled(history, count, _around(history, middle, count, rng), rng)


def knee_row(history: History) -> IntArray | None:
    """The architecture at the knee of what was found within the limits."""
    allowed = np.flatnonzero((history.violation_N <= 0) & history.paid_N)
    directions = history.question.directions
    signs = np.array([-1.0 if direction == "max" else 1.0 for direction in directions])
    index = knee(history.costs_NM[allowed] * signs, directions) if len(allowed) else None
    if index is None:
        return None
    row: IntArray = history.genes_NG[allowed[index]]
    return row


def _behind(history: History, rows_PG: IntArray, beyond: int) -> bool:
    """Whether the walk has come ``beyond`` steps below the knee's price without moving it."""
    middle = knee_row(history)
    if middle is None or len(rows_PG) <= beyond:
        return False
    prices = price_of(history.question, np.concatenate([middle[None], rows_PG]))
    return int((prices[1:] < prices[0]).sum()) >= beyond


def _around(history: History, row_G: IntArray, count: int, rng: np.random.Generator) -> IntArray:
    """Half a batch of neighbours of one architecture."""
    question = history.question
    rate = 1 / len(question.space.genes)

    def draw(many: int) -> IntArray:
        rows = np.repeat(row_G[None], max(many, 32), axis=0)
        alive = enlivened(question.space, rows, rng)
        return inside(question, mutate(question.space, alive, rng, rate))

    none = np.zeros((0, len(question.space.genes)), dtype=np.int64)
    return drawn(history, -(-count // 2), draw, rng, none)
