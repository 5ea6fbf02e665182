"""Strategies to compare with, as their authors publish them, and the loop all are run in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
from landscapes import Landscape

from nas.pareto import hypervolume, non_dominated
from nas.proposing.history import History
from nas.proposing.prefilter import Prefiltered, asked_for
from nas.runtimes.base import FloatArray
from nas.samplers import build_sampler
from nas.study import Prefilter

MOST_TRIALS = 5  # times the evaluations: a strategy that only repeats itself is ended


class Curve:
    """Hypervolume after each evaluation of a distinct architecture."""

    def __init__(self, landscape: Landscape, evaluations: int) -> None:
        self._landscape, self._wanted = landscape, evaluations
        self._seen: dict[bytes, float] = {}
        self._front: list[tuple[float, ...]] = []
        self.volumes: list[float] = []

    @property
    def full(self) -> bool:
        """Whether all evaluations are spent."""
        return len(self.volumes) >= self._wanted

    def values(self, row_G: Any) -> list[float]:
        """The objectives of a canonical row; a new one is an evaluation."""
        question, key = self._landscape.question, row_G.tobytes()
        columns = question.columns(row_G[None])
        fresh = key not in self._seen
        if fresh:
            self._seen[key] = self._landscape.accuracy(row_G)
        free = {name: float(values[0]) for name, values in columns.items()}
        known = {"accuracy": self._seen[key], **free}
        values = [known[metric.name] for metric in question.objectives]
        if fresh:
            self._book(tuple(values))
        return values

    def _book(self, values: tuple[float, ...]) -> None:
        question = self._landscape.question
        joined = [*self._front, values]
        mask = non_dominated(joined, question.directions)
        if mask[-1]:
            self._front = [v for v, member in zip(joined, mask, strict=True) if member]
            assert question.box is not None
            volume = hypervolume(self._front, question.directions, question.box)
        else:
            volume = self.volumes[-1]
        self.volumes.append(volume)


def run_registered(
    name: str,
    options: Mapping[str, Any],
    landscape: Landscape,
    seed: int,
    evaluations: int,
    prefilter: Prefilter | None = None,
) -> FloatArray:
    """One of our samplers, in batches as in a study."""
    question, size = landscape.question, landscape.question.batch_size
    if prefilter is not None:
        question = replace(question, batch_size=asked_for(size, prefilter.keep))
    history, curve = History(question), Curve(landscape, evaluations)
    study = optuna.create_study(directions=_directions(landscape))
    trials = 0
    while not curve.full and trials < MOST_TRIALS * evaluations:
        history.refresh(study)
        start = int(np.random.SeedSequence([seed, trials]).generate_state(1)[0])
        study.sampler = build_sampler(name, options, start, history)
        if prefilter is not None:
            study.sampler = Prefiltered(study.sampler, history, prefilter.proxy, size)
        asked = [study.ask() for _ in range(size)]
        for trial in asked:
            _suggest(trial, landscape)
        for trial in asked:
            row = _row(trial, landscape)
            trial.set_user_attr("notes", dict(landscape.notes(row)))
            study.tell(trial, curve.values(row))
        trials += len(asked)
    return np.array(curve.volumes[:evaluations])


def run_optuna(
    sampler: optuna.samplers.BaseSampler, landscape: Landscape, evaluations: int
) -> FloatArray:
    """A sampler of Optuna's own, one trial after the other."""
    curve = Curve(landscape, evaluations)
    study = optuna.create_study(directions=_directions(landscape), sampler=sampler)
    for _ in range(MOST_TRIALS * evaluations):
        if curve.full:
            break
        trial = study.ask()
        _suggest(trial, landscape)
        study.tell(trial, curve.values(_row(trial, landscape)))
    return np.array(curve.volumes[:evaluations])


def run_pymoo(landscape: Landscape, seed: int, evaluations: int) -> FloatArray:
    """pymoo's NSGA-II over integers, population 50, its defaults otherwise."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import Problem
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling

    space = landscape.question.space
    top = np.array([len(gene.choices) - 1 for gene in space.genes])
    signs = np.array([-1.0 if d == "max" else 1.0 for d in landscape.question.directions])
    problem = Problem(n_var=len(top), n_obj=len(signs), xl=0 * top, xu=top, vtype=int)
    repair = RoundingRepair()
    algorithm = NSGA2(
        pop_size=50,
        sampling=IntegerRandomSampling(),
        crossover=SBX(prob=0.9, eta=15, vtype=float, repair=repair),
        mutation=PM(eta=20, vtype=float, repair=repair),
        eliminate_duplicates=True,
    )
    algorithm.setup(problem, termination=("n_gen", 10**6), seed=seed, verbose=False)
    curve = Curve(landscape, evaluations)
    for _ in range(MOST_TRIALS * evaluations // 50):
        if curve.full:
            break
        asked = algorithm.ask()
        rows = space.repair(asked.get("X").astype(np.int64))[0]
        values = np.array([curve.values(row) for row in rows])
        asked.set("F", values * signs)
        algorithm.tell(infills=asked)
    return np.array(curve.volumes[:evaluations])


def _directions(landscape: Landscape) -> list[str]:
    kinds = {"min": "minimize", "max": "maximize"}
    return [kinds[direction] for direction in landscape.question.directions]


def _suggest(trial: optuna.Trial, landscape: Landscape) -> None:
    for gene in landscape.question.space.genes:
        trial.suggest_categorical(gene.name, gene.choices)


def _row(trial: optuna.Trial, landscape: Landscape) -> Any:
    question = landscape.question
    asked = np.array([question.row(trial.params)], dtype=np.int64)
    return question.space.repair(asked)[0][0]
