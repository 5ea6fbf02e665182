"""Gene rows as numbers in which near means alike, for models of accuracy."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from nas.proposing.question import Columns, Question
from nas.runtimes.base import FloatArray
from search_spaces.automaton import IntArray
from search_spaces.genes import Gene
from search_spaces.space import SearchSpace

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
        self._genes = _Genes(question.space, by_gene)
        rows = question.space.sample_genes(np.random.default_rng(0), REFERENCE)
        columns = question.columns(rows)
        bounds = np.cumsum([0, *self._genes.sizes, len(columns)])
        self._groups = [slice(a, b) for a, b in itertools.pairwise(bounds) if a < b]
        raw_BF = self._raw(rows, columns)
        scales = [_scale(raw_BF[:, group]) for group in self._groups]
        self._mean_F, self._by_F = (np.concatenate(part) for part in zip(*scales, strict=True))

    def __call__(self, genes_BG: IntArray, columns: Columns) -> Groups:
        """``(B, F)`` of each group, for legal rows and their free metrics."""
        scaled_BF = (self._raw(genes_BG, columns) - self._mean_F) * self._by_F
        return tuple(scaled_BF[:, group] for group in self._groups)

    def _raw(self, genes_BG: IntArray, columns: Columns) -> FloatArray:
        logs = [np.log(np.maximum(values, 1e-12))[:, None] for values in columns.values()]
        return np.concatenate([self._genes(genes_BG), *logs], axis=1)


class _Genes:
    """Gene rows as columns: each choice that is in effect adds its own row of a table.

    Args:
        space: theirs.
        by_gene: see ``Features``.

    Attributes:
        sizes: columns of each group.
    """

    def __init__(self, space: SearchSpace, by_gene: bool) -> None:
        self._space = space
        self._open = [(i, gene) for i, gene in enumerate(space.genes) if len(gene.choices) > 1]
        self._columns_G = np.array([i for i, _ in self._open], dtype=np.int64)
        counts = [len(gene.choices) for _, gene in self._open]
        self._first_G = np.cumsum([0, *counts])[:-1]
        self._choices = sum(counts)
        places = [_place(gene) for _, gene in self._open]
        self._stage_G = np.array([stage for stage, _ in places], dtype=np.int64)
        self._layer_G = np.array([layer for _, layer in places], dtype=np.int64)
        kinds, sums = dict[str, int](), dict[str, int]()
        coded = [_coded(gene, np.arange(len(gene.choices))) for _, gene in self._open]
        for (_, gene), (stage, _), code_CF in zip(self._open, places, coded, strict=True):
            name = self._name(gene, by_gene)
            kinds[name] = kinds.get(name, 0) + code_CF.shape[1]
            if stage >= 0:
                sums[_sum_name(gene, stage)] = code_CF.shape[1]
        self.sizes = [*kinds.values(), sum(sums.values())]
        self._table_CF = self._table(by_gene, coded, kinds, sums)

    def __call__(self, genes_BG: IntArray) -> FloatArray:
        """``(B, F)``."""
        chosen_BC = np.zeros((len(genes_BG), self._choices))
        rows_B1 = np.arange(len(genes_BG))[:, None]
        chosen_BC[rows_B1, self._first_G + genes_BG[:, self._columns_G]] = self._active(genes_BG)
        made_BF: FloatArray = chosen_BC @ self._table_CF
        return made_BF

    def _active(self, genes_BG: IntArray) -> FloatArray:
        """1 for genes of layers that are there, and of no layer, ``(B, G)``."""
        active_BG = np.ones((len(genes_BG), len(self._open)))
        for stage, start in enumerate(self._space.layout.stage_start):
            depth_B = np.array(self._space.spec.stages[stage].depth)[genes_BG[:, start + 2]]
            of_stage_G = self._stage_G == stage
            active_BG[:, of_stage_G] = self._layer_G[of_stage_G] < depth_B[:, None]
        return active_BG

    def _table(
        self,
        by_gene: bool,
        coded: Sequence[FloatArray],
        kinds: Mapping[str, int],
        sums: Mapping[str, int],
    ) -> FloatArray:
        """``(choices, F)``: what each choice adds to its gene's columns and to its kind's sums."""
        starts = np.cumsum([0, *kinds.values(), *sums.values()])
        next_of = dict(zip(kinds, starts, strict=False))
        sum_of = dict(zip(sums, starts[len(kinds) :], strict=False))
        table_CF = np.zeros((self._choices, starts[-1]))
        genes = zip(self._open, coded, self._first_G, self._stage_G, strict=True)
        for (_, gene), code_CF, first, stage in genes:
            rows, width = slice(first, first + len(code_CF)), code_CF.shape[1]
            name = self._name(gene, by_gene)
            table_CF[rows, next_of[name] : next_of[name] + width] = code_CF
            next_of[name] += width
            if stage >= 0:
                at = sum_of[_sum_name(gene, stage)]
                table_CF[rows, at : at + width] = code_CF
        return table_CF

    @staticmethod
    def _name(gene: Gene, by_gene: bool) -> str:
        return gene.name if by_gene else gene.name.rpartition(".")[2]


def _place(gene: Gene) -> tuple[int, int]:
    """Stage and layer of a gene; -1 where it belongs to no layer."""
    parts = gene.name.split(".")
    if len(parts) < 3:
        return -1, -1
    return int(parts[0].removeprefix("stage")), int(parts[1].removeprefix("layer"))


def _sum_name(gene: Gene, stage: int) -> str:
    return f"{stage}.{gene.name.rpartition('.')[2]}"


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
