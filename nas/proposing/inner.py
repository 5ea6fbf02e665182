"""An evolution over candidates that are only priced, not paid for, and the batch it ends in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from nas.proposing.drawing import cross, mutate, random_rows
from nas.proposing.guide import Guide, Outlook, paid_trials
from nas.proposing.history import History, row_keys
from nas.proposing.proxy_features import ProxyFeatures
from nas.proposing.question import Question
from nas.proposing.ranking import best_first
from nas.runtimes.base import FloatArray
from search_spaces.automaton import IntArray

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

POOL = 200
SHORTLIST = 8  # candidates that proxies are paid for, in batches
LOOKED = 12  # candidates that are looked at again at once
SPREAD = 1000
ROUNDS, ENOUGH = 20, 5


@dataclass(frozen=True, slots=True)
class InnerEvolution:
    """A rule for ``RowSampler``; fields as in the options of the sampler ``guided``."""

    n_startup: int
    population: int
    generations: int
    features: tuple[str, ...] = ()

    def __call__(self, history: History, count: int, rng: np.random.Generator) -> IntArray:
        """The next ``count`` rows."""
        with _threads().limit(limits=1):  # matrices too small to share; workers need the cores
            return self._propose(history, count, rng)

    def _propose(self, history: History, count: int, rng: np.random.Generator) -> IntArray:
        if paid_trials(history) < self.n_startup:
            return spread_rows(history, count, rng)
        guide = Guide(history)
        rows, outlook = self._evolve(guide, history, rng)
        if self.features:
            rows = rows[: SHORTLIST * count]
            guide = Guide(history, ProxyFeatures(history, self.features, self.n_startup))
            outlook = guide.outlook(rows)
        chosen = rows[_batch(guide, outlook, count)]
        if len(chosen) < count:
            more = random_rows(history, count - len(chosen), rng, chosen)
            chosen = np.concatenate([chosen, more])
        return chosen

    def _evolve(
        self, guide: Guide, history: History, rng: np.random.Generator
    ) -> tuple[IntArray, Outlook]:
        """The best new candidates that were met, and what is expected of them."""
        space = history.question.space
        elite = self._elite(history)
        drawn = space.sample_genes(rng, self.population)
        born = np.concatenate([drawn, mutate(space, elite, rng, 1 / elite.shape[1])])
        pool = _Pool(guide, history)
        pool.add(born)
        for _ in range(self.generations):
            parents = pool.best(self.population)
            parents = np.concatenate([parents, elite])
            a, b = rng.choice(parents, self.population), rng.choice(parents, self.population)
            crossed = rng.random(self.population) < 0.5
            a[crossed] = cross(space, a[crossed], b[crossed], rng)
            pool.add(mutate(space, a, rng, 1 / a.shape[1]))
        return pool.rows_PG, pool.outlook

    def _elite(self, history: History) -> IntArray:
        """The best known rows: half a population of them, as soon as there are more."""
        most = self.population // 2
        if len(history) <= most:
            return history.genes_NG
        return history.genes_NG[best_first(history.costs_NM, history.violation_N)[:most]]


@cache
def _threads() -> ThreadpoolController:
    """Looks for the libraries with threads once: that takes milliseconds."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


class _Pool:
    """Distinct new candidates, the best of all that were added."""

    def __init__(self, guide: Guide, history: History) -> None:
        self._guide, self._history = guide, history
        self.rows_PG: IntArray = history.genes_NG[:0]
        self._value_P: FloatArray = np.zeros(0)
        self._met: set[bytes] = set()
        self.outlook = guide.no_outlook()

    def add(self, rows_BG: IntArray) -> None:
        rows = rows_BG[self._history.unseen(rows_BG, self._met)]
        self._met.update(row_keys(rows))
        if not len(rows):
            return
        outlook = self._guide.outlook(rows)
        value = np.concatenate([self._value_P, self._guide.value(outlook, self._guide.landscape)])
        kept = np.argsort(-value, kind="stable")[: 4 * POOL]
        self.rows_PG = np.concatenate([self.rows_PG, rows])[kept]
        self.outlook = self.outlook.joined(outlook).take(kept)
        self._value_P = value[kept]

    def best(self, count: int) -> IntArray:
        return self.rows_PG[:count]


def _batch(guide: Guide, outlook: Outlook, count: int) -> IntArray:
    """Indices of candidates chosen one by one; each joins the front as it is expected to be.

    The candidates come best first. What one is worth only falls when the front gains a member, so
    only those are looked at again whose last known worth is not below the best one's new worth.
    """
    landscape, chosen = guide.landscape, list[int]()
    left = np.arange(min(POOL, len(outlook.known_BD)))
    value_B = guide.value(outlook.take(left), landscape)
    stale_B = np.zeros(len(left), dtype=bool)
    while len(chosen) < count and len(left):
        if chosen:
            last = chosen[-1]
            height = guide.expected(outlook, last)
            landscape = landscape.joined(height, outlook.known_BD[last])
            stale_B[:] = True
        while True:
            best = int(np.argmax(value_B[left]))
            if not stale_B[left[best]]:
                break
            order = left[np.argsort(-value_B[left], kind="stable")]
            again = order[stale_B[order]][:LOOKED]
            value_B[again] = guide.value(outlook.take(again), landscape)
            stale_B[again] = False
        chosen.append(int(left[best]))
        left = np.delete(left, best)
    return np.array(chosen, dtype=np.int64)


def spread_rows(history: History, count: int, rng: np.random.Generator) -> IntArray:
    """New rows far from all that is known and from each other, within the free limits if any is."""
    question = history.question
    rows = _allowed(question, count, rng)
    rows = rows[history.unseen(rows)]
    if len(rows) < count:
        return random_rows(history, count, rng)
    violation_B = question.free_violation(question.columns(rows))
    order = np.argsort(violation_B, kind="stable")
    rows = rows[order[: max(count, int((violation_B <= 0).sum()))]]
    place_BF, known_NF = _places(history, rows), _places(history, history.genes_NG)
    size_B = np.square(place_BF).sum(axis=1)
    distance_B = np.full(len(rows), np.inf)
    if len(known_NF):
        near_BN = np.square(known_NF).sum(axis=1) - 2 * place_BF @ known_NF.T
        distance_B = size_B + near_BN.min(axis=1)
    chosen = list[int]()
    for _ in range(count):
        chosen.append(int(np.argmax(distance_B)))
        near_B = size_B + size_B[chosen[-1]] - 2 * place_BF @ place_BF[chosen[-1]]
        distance_B = np.minimum(distance_B, near_B)
        distance_B[chosen] = -1.0
    apart: IntArray = rows[np.array(chosen)]
    return apart


def _allowed(question: Question, count: int, rng: np.random.Generator) -> IntArray:
    """Random rows; where few of them keep the free limits, they evolve until enough do."""
    rows = question.space.sample_genes(rng, SPREAD)
    for _ in range(ROUNDS):
        violation_B = question.free_violation(question.columns(rows))
        if (violation_B <= 0).sum() >= ENOUGH * count:
            break
        best = rows[np.argsort(violation_B, kind="stable")[: SPREAD // 5]]
        children = mutate(question.space, rng.choice(best, SPREAD), rng, 1 / rows.shape[1])
        rows = np.unique(np.concatenate([best, children]), axis=0)
    return rows


def _places(history: History, genes_BG: IntArray) -> FloatArray:
    if not len(genes_BG):
        return np.zeros((0, 0))
    groups = history.features(genes_BG, history.question.columns(genes_BG))
    return np.concatenate(groups, axis=1)
