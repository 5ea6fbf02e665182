"""What search strategies are compared on: accuracies that were really computed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.config import load_config
from nas.evaluation import EvaluationStore
from nas.evaluator import SupernetEvaluator
from nas.objectives import OBJECTIVES
from nas.pareto import Box
from nas.problem import SupernetProblem
from nas.proposing.question import Question
from nas.run import Run
from nas.steps.profiling import load_predictor
from search_spaces.automaton import IntArray
from search_spaces.space import SearchSpace
from supernet.training.checkpoint import weights_hash

NAMES = ("accuracy", "latency_ms", "peak_memory_mb")
METRICS = tuple(OBJECTIVES[name] for name in NAMES)


@dataclass(frozen=True, eq=False)
class Landscape:
    """A space, what is known of it for nothing, and what an evaluation says.

    Attributes:
        name: for people.
        question: space, free metrics, objectives, box.
        accuracy: of one legal row.
        best: hypervolume of the true front, where it is known.
    """

    name: str
    question: Question
    accuracy: Callable[[IntArray], float]
    best: float | None = None


class Inherited:
    """Accuracies with a run's weights, each computed once and kept in a file of their own."""

    def __init__(self, folder: Path, kept: Path) -> None:
        config = load_config(folder / "config.yaml")
        config.out_dir, config.name = str(folder.parent), folder.name
        self.run = Run(config, write=False)
        supernet = self.run.trained_supernet().eval()
        self.problem = SupernetProblem(
            self.run,
            self.run.profile,
            load_predictor(self.run, self.run.profile),
            weights_hash(supernet.state_dict()),
        )
        val = self.run.dataset.val
        images = self.run.dataset.transform.normalise(val.images_NCHW)
        self._evaluator = SupernetEvaluator(supernet, images, val.labels_N)
        self._store = EvaluationStore(kept)

    def accuracy(self, space: SearchSpace, row_G: IntArray) -> float:
        """On the validation images."""
        architecture = space.decode(row_G)
        key = self.problem.key(architecture, "accuracy")
        known = self._store.get(key)
        if known is None:
            value = self._evaluator.evaluate(architecture)["accuracy"]
            known = self._store.put(key, value)
        return known.value

    def columns(self, space: SearchSpace) -> Callable[[IntArray], dict[str, Any]]:
        """Free metrics of rows of ``space``, whose members are members of the run's space."""
        whole = self.run.offered
        if space is whole:
            return self.problem.columns
        column = whole.layout.column
        tables = [
            (
                column[gene.name],
                np.array([whole.genes[column[gene.name]].choices.index(c) for c in gene.choices]),
            )
            for gene in space.genes
        ]

        def price(genes_BG: IntArray) -> dict[str, Any]:
            rows = np.zeros((len(genes_BG), len(whole.genes)), dtype=np.int64)
            for values_B, (place, table) in zip(genes_BG.T, tables, strict=True):
                rows[:, place] = table[values_B]
            return self.problem.columns(rows)

        return price


def question(space: SearchSpace, columns: Callable[[IntArray], Any], batch: int) -> Question:
    """The question of all landscapes; its box lies between the ends of the space."""
    rows = space.sample_genes(np.random.default_rng(0), 4096)
    ends = [
        space.extreme(largest=largest, patch_size=patch)
        for patch in space.spec.patch_size
        for largest in (True, False)
    ]
    found = columns(np.concatenate([np.stack(ends), rows]))
    costs = [(float(found[name].min()), float(found[name].max())) for name in NAMES[1:]]
    box = Box((1.0, *(low for low, _ in costs)), (0.0, *(high for _, high in costs)))
    return Question(
        space=space, columns=columns, objectives=METRICS, limits=(), box=box, batch_size=batch
    )


def live(inherited: Inherited, batch: int) -> Landscape:
    """The run's own space; every accuracy is evaluated when it is asked for."""
    space = inherited.run.offered
    return Landscape(
        "digits, live",
        question(space, inherited.columns(space), batch),
        lambda row: inherited.accuracy(space, row),
    )
