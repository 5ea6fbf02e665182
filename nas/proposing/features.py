"""Gene rows as numbers in which near means alike, for models of accuracy."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from nas.proposing.question import Columns, Question
from nas.runtimes.base import FloatArray
from search_spaces.automaton import IntArray
from search_spaces.genes import Gene

REFERENCE = 512

Groups = tuple[FloatArray, ...]


class Features:
    """Features of gene rows in groups.

    The groups are: each kind of gene with a choice (all layers' attention types, all their heads,
    the widths …); sums over the layers (how often each operator, how many heads …); logarithms of
    the free metrics. Each is scaled so that two random architectures are about 1 apart in it. A
    model weighs groups: which kinds matter is soon learned, which gene of a kind is not.

    Args:
        question: gives space and free metrics.
        by_gene: each gene is a group, rather than each kind of gene.
    """

    def __init__(self, question: Question, by_gene: bool = False) -> None:
        self._question = question
        self._by_gene = by_gene
        rows = question.space.sample_genes(np.random.default_rng(0), REFERENCE)
        self._scales = [_scale(values) for values in self._raw(rows, question.columns(rows))]

    def __call__(self, genes_BG: IntArray, columns: Columns) -> Groups:
        """``(B, F)`` of each group, for legal rows and their free metrics."""
        raw = self._raw(genes_BG, columns)
        return tuple((v - mean) * by for v, (mean, by) in zip(raw, self._scales, strict=True))

    @cached_property
    def _places(self) -> list[tuple[int, Gene, int | None, int]]:
        """(column, gene, its stage if it belongs to a layer, that layer) of each gene."""
        space = self._question.space
        made = []
        for column, gene in enumerate(space.genes):
            parts = gene.name.split(".")
            stage = int(parts[0].removeprefix("stage")) if len(parts) == 3 else None
            layer = int(parts[1].removeprefix("layer")) if len(parts) == 3 else 0
            made.append((column, gene, stage, layer))
        return made

    def _raw(self, genes_BG: IntArray, columns: Columns) -> Groups:
        kinds, sums = dict[str, list[FloatArray]](), dict[str, FloatArray]()
        for column, gene, stage, layer in self._places:
            if len(gene.choices) == 1:
                continue
            coded_BF = _coded(gene, genes_BG[:, column])
            kind = gene.name.rpartition(".")[2]
            if stage is not None:
                coded_BF = coded_BF * self._active(genes_BG, stage, layer)[:, None]
                place = f"{stage}.{kind}"
                sums[place] = sums[place] + coded_BF if place in sums else coded_BF
            kinds.setdefault(gene.name if self._by_gene else kind, []).append(coded_BF)
        logs = [np.log(np.maximum(values, 1e-12))[:, None] for values in columns.values()]
        parts = (*kinds.values(), list(sums.values()), logs)
        return tuple(np.concatenate(part, axis=1) for part in parts if part)

    def _active(self, genes_BG: IntArray, stage: int, layer: int) -> FloatArray:
        space = self._question.space
        column = space.layout.stage_start[stage] + 2
        depth_B = np.array(space.spec.stages[stage].depth)[genes_BG[:, column]]
        active: FloatArray = (layer < depth_B).astype(np.float64)
        return active


def _coded(gene: Gene, values_B: IntArray) -> FloatArray:
    """``(B, F)``: an ordered gene as its place in (0, 1], another as one of n."""
    if gene.ordered:
        place: FloatArray = ((values_B + 1.0) / len(gene.choices))[:, None]
        return place
    one: FloatArray = np.eye(len(gene.choices))[values_B]
    return one


def _scale(values_BF: FloatArray) -> tuple[FloatArray, FloatArray]:
    mean_F, std_F = values_BF.mean(axis=0), values_BF.std(axis=0)
    kept_F = std_F > 1e-9  # a constant feature tells nothing about distance
    width = np.where(kept_F, std_F, 1.0) * np.sqrt(max(1, int(kept_F.sum())))
    return mean_F, np.where(kept_F, 1.0 / width, 0.0)
