"""What search strategies are compared on: accuracies that were really computed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from nas.config import load_config
from nas.evaluation import EvaluationStore
from nas.evaluator import SupernetEvaluator
from nas.objectives import OBJECTIVES
from nas.pareto import Box, hypervolume
from nas.problem import SupernetProblem
from nas.proposing.features import Features
from nas.proposing.gaussian_process import GaussianProcess
from nas.proposing.question import Question, Scores
from nas.proxies.maths.columns import IMAGES, Sample, row_scores
from nas.run import Run
from nas.steps.profiling import load_predictor
from search_spaces.automaton import IntArray
from search_spaces.space import SearchSpace
from supernet.operators import all_cards
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
        notes: what else an evaluation of a row tells, for samplers that read it.
    """

    name: str
    question: Question
    accuracy: Callable[[IntArray], float]
    best: float | None = None
    notes: Callable[[IntArray], Mapping[str, str]] = lambda row: {}


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
        self._notes: dict[str, Mapping[str, str]] = {}

    def accuracy(self, space: SearchSpace, row_G: IntArray) -> float:
        """On the validation images."""
        architecture = space.decode(row_G)
        key = self.problem.key(architecture, "accuracy")
        known = self._store.get(key)
        if known is None:
            value = float(self._evaluator.evaluate(architecture)["accuracy"])
            known = self._store.put(key, value)
        return known.value

    def notes(self, space: SearchSpace, row_G: IntArray) -> Mapping[str, str]:
        """What the evaluation of a row tells beside the accuracy; not kept in the file."""
        architecture = space.decode(row_G)
        key = architecture.digest()
        if key not in self._notes:
            found = self._evaluator.evaluate(architecture)
            self._notes[key] = {name: text for name, text in found.items() if isinstance(text, str)}
        return self._notes[key]

    def scores(self, space: SearchSpace) -> Scores:
        """Proxies of rows of ``space``, each computed once."""
        val = self.run.dataset.val
        images = self.run.dataset.transform.normalise(val.images_NCHW[:IMAGES])
        sample = Sample.first_of(images, val.labels_N, self.problem.split, self.run.num_classes)
        return row_scores(space, sample, self._store)

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


def question(
    space: SearchSpace,
    columns: Callable[[IntArray], Any],
    batch: int,
    scores: Scores | None = None,
) -> Question:
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
        space=space,
        columns=columns,
        objectives=METRICS,
        limits=(),
        box=box,
        batch_size=batch,
        scores=scores,
    )


def live(inherited: Inherited, batch: int) -> Landscape:
    """The run's own space; every accuracy is evaluated when it is asked for."""
    space = inherited.run.offered
    return Landscape(
        "digits, live",
        question(space, inherited.columns(space), batch, inherited.scores(space)),
        lambda row: inherited.accuracy(space, row),
        notes=lambda row: inherited.notes(space, row),
    )


REDUCED: dict[str, Any] = {
    "width": [16, 32, 64],
    "depth": [1, 2, 3],
    "heads": [1, 4],
    "mlp_ratio": [1, 3],
    "attention": ["softmax", {"op": "window", "size": [2]}, "separable", "none"],
    "reduction": ["none", {"op": "tome", "keep": [0.5]}],
}
"""Part of the default space, small enough to try all of it."""


def enumerated(inherited: Inherited, batch: int) -> Landscape:
    """A part of the run's space, all of whose members are evaluated: its true front is known."""
    declared = inherited.run.offered.to_dict()
    declared["stages"] = [{**declared["stages"][0], **REDUCED}]
    space = SearchSpace(declared, all_cards())
    rows = every_row(space)
    made = question(space, inherited.columns(space), batch, inherited.scores(space))
    table = {row.tobytes(): inherited.accuracy(space, row) for row in track(rows, "enumerate")}
    columns = made.columns(rows)
    values = [np.array(list(table.values())), *(columns[name] for name in NAMES[1:])]
    assert made.box is not None
    best = hypervolume(np.stack(values, axis=1), made.directions, made.box)
    title = f"digits, all {len(rows):,} architectures of a reduced space"
    return Landscape(
        title,
        made,
        lambda row: table[row.tobytes()],
        best,
        lambda row: inherited.notes(space, row),
    )


def every_row(space: SearchSpace) -> IntArray:
    """All canonical gene rows of a small space."""
    grid = np.meshgrid(*(np.arange(len(gene.choices)) for gene in space.genes), indexing="ij")
    asked = np.stack([axis.ravel() for axis in grid], axis=1)
    rows: IntArray = np.unique(space.repair(asked)[0], axis=0)
    assert len(rows) == space.cardinality()
    return rows


def surrogate(inherited: Inherited, batch: int, known: int = 1200) -> Landscape:
    """A model of ``known`` random members' accuracies, with noise added.

    Gradient boosting on the bare genes: another family than our own sampler's model. The noise of
    an architecture is always the same, as an inherited accuracy is; it is as large as the part of
    the accuracies' variance that belongs to no neighbourhood, by maximum likelihood (the nugget of
    a Gaussian process). The model's held-out error is larger: what 1,000 points do not show of a
    smooth function is no noise.
    """
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.model_selection import KFold, cross_val_predict

    space = inherited.run.offered
    rows = np.unique(space.sample_genes(np.random.default_rng(1), known), axis=0)
    values = np.array([inherited.accuracy(space, row) for row in track(rows, "evaluate")])
    sizes = [len(gene.choices) for gene in space.genes]

    def coded(genes_BG: IntArray) -> Any:
        columns = zip(sizes, genes_BG.T, strict=True)
        return np.concatenate([np.eye(size)[column] for size, column in columns], axis=1)

    model = GradientBoostingRegressor(
        n_estimators=400,
        learning_rate=0.03,
        max_depth=3,
        max_features=0.3,
        subsample=0.5,
        random_state=0,
    )
    folds = KFold(5, shuffle=True, random_state=0)
    held_out = cross_val_predict(model, coded(rows), values, cv=folds)
    made = question(space, inherited.columns(space), batch)
    process = GaussianProcess.fit(Features(made)(rows, made.columns(rows)), values[:, None])
    noise = float(process.scale_R[0]) * float(np.exp(process.theta[-1] / 2))
    tau = kendalltau(held_out, values).statistic
    model.fit(coded(rows), values)

    def accuracy(row_G: IntArray) -> float:
        seed = int.from_bytes(hashlib.sha256(row_G.tobytes()).digest()[:8], "little")
        drawn = np.random.default_rng(seed).normal(0.0, noise)
        return float(np.clip(model.predict(coded(row_G[None]))[0] + drawn, 0.0, 1.0))

    title = (
        f"CIFAR-10, surrogate of {len(rows):,} evaluations (accuracy {values.min():.3f} to "
        f"{values.max():.3f}, held-out tau {tau:.2f}, noise {noise:.4f})"
    )
    return Landscape(title, made, accuracy)


def track(rows: IntArray, what: str) -> Iterator[IntArray]:
    """``rows`` with a progress bar."""
    from rich.progress import track as bar

    yield from bar(list(rows), description=what)
