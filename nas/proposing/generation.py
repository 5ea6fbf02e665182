"""A generator of architectures under an indicator: what TurboViT's sampler proposes."""

from __future__ import annotations

import numpy as np

from nas.proposing.drawing import fresh_rows
from nas.proposing.filling import Draw
from nas.proposing.history import History
from nas.proposing.moves import smaller
from nas.proposing.question import Question
from nas.proposing.worth import excess_of, order_of
from nas.runtimes.base import FloatArray
from search_spaces.automaton import IntArray

AT_ONCE = 64
SHRUNK = 4  # of those that break a limit, the nearest are made smaller


def generate(
    history: History,
    count: int,
    rng: np.random.Generator,
    startup: int,
    elite: float,
    explore: float,
) -> IntArray:
    """A batch within all limits on free metrics, if anything of the space is."""
    question = history.question
    first = history.distinct()
    feasible = first[(history.violation_N[first] <= 0) & history.paid_N[first]]
    if len(feasible) < startup:
        draw = within(question, lambda n: question.space.sample_genes(rng, n), rng)
        return fresh_rows(history, count, draw)
    best = order_of(history, feasible)[: max(int(np.ceil(elite * len(feasible))), 2)]
    shares = generator(question, history.genes_NG[best], explore)

    def made(n: int) -> IntArray:
        columns = [rng.choice(len(share), size=n, p=share) for share in shares]
        return question.space.repair(np.stack(columns, axis=1))[0]

    return fresh_rows(history, count, within(question, made, rng))


def generator(question: Question, best_KG: IntArray, explore: float) -> list[FloatArray]:
    """Probability of each choice of each gene: how often the best have it where it counts."""
    active_KG = question.space.codec.active_rows(best_KG)
    shares = []
    for column, gene in enumerate(question.space.genes):
        chosen = best_KG[active_KG[:, column], column]
        counts = np.bincount(chosen, minlength=len(gene.choices)).astype(float)
        seen = counts / counts.sum() if counts.sum() else np.full(len(counts), 1 / len(counts))
        shares.append((1 - explore) * seen + explore / len(counts))
    return shares


def within(question: Question, draw: Draw, rng: np.random.Generator) -> Draw:
    """Only what the indicator lets through; where that is nothing, what was made to fit."""

    def drawn(count: int) -> IntArray:
        rows = draw(max(count, AT_ONCE))
        excess_B = excess_of(question, rows)
        if (excess_B <= 0).any():
            kept: IntArray = rows[excess_B <= 0]
            return kept
        nearest = rows[np.argsort(excess_B, kind="stable")[:SHRUNK]]
        return np.stack([shrunk(question, row, rng) for row in nearest])

    return drawn


def shrunk(question: Question, row_G: IntArray, rng: np.random.Generator) -> IntArray:
    """One reduction after another until the limits hold, or none brings it nearer to them.

    Each step is drawn from those that bring it nearest, so that not all end at the same net.
    """
    excess = excess_of(question, row_G[None])[0]
    while excess > 0:
        rows = smaller(question.space, row_G)
        found = excess_of(question, rows)
        order = np.argsort(found, kind="stable")[:3]
        better = [int(index) for index in order if found[index] < excess]
        if not better:
            break
        chosen = int(rng.choice(better))
        row_G, excess = rows[chosen], found[chosen]
    return row_G
