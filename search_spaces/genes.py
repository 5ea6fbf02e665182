"""Genes: the fixed, flat list of choices behind every architecture of a space.

A candidate is a row of choice indices, a batch is a matrix ``(B, G)``. Names and choices never
change within a space (Optuna refuses changing ones); genes without effect are 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from search_spaces.architecture import Value
from search_spaces.spec import SpaceSpec

LAYER_GENES = ("attention", "heads", "mlp_ratio", "reduction")


@dataclass(frozen=True, slots=True)
class Gene:
    """One choice.

    Attributes:
        name: e.g. ``stage0.layer3.heads``.
        choices: numbers, or operator labels.
        ordered: whether larger indices mean larger networks.
    """

    name: str
    choices: tuple[Value, ...]
    ordered: bool


@dataclass(frozen=True)
class GeneLayout:
    """Where each gene stands in a row."""

    spec: SpaceSpec

    @cached_property
    def genes(self) -> tuple[Gene, ...]:
        """All genes, in order."""
        spec = self.spec
        genes = [
            Gene("patch_size", spec.patch_size, ordered=False),
            Gene("embedding", tuple(map(str, spec.embedding)), ordered=False),
            Gene("position", tuple(map(str, spec.position)), ordered=False),
        ]
        for number, stage in enumerate(spec.stages):
            prefix = f"stage{number}"
            genes += [
                Gene(f"{prefix}.transition", tuple(map(str, stage.transition)), ordered=False),
                Gene(f"{prefix}.width", stage.width, ordered=True),
                Gene(f"{prefix}.depth", stage.depth, ordered=True),
            ]
            for layer in range(max(stage.depth)):
                place = f"{prefix}.layer{layer}"
                genes += [
                    Gene(f"{place}.attention", tuple(map(str, stage.attention)), ordered=False),
                    Gene(f"{place}.heads", stage.heads, ordered=True),
                    Gene(f"{place}.mlp_ratio", stage.mlp_ratio, ordered=True),
                    Gene(f"{place}.reduction", tuple(map(str, stage.reduction)), ordered=False),
                ]
        return tuple(genes)

    @cached_property
    def column(self) -> dict[str, int]:
        """Column of each gene by name."""
        return {gene.name: index for index, gene in enumerate(self.genes)}

    @cached_property
    def stage_start(self) -> tuple[int, ...]:
        """Column of each stage's first gene (its transition; width and depth follow)."""
        return tuple(self.column[f"stage{s}.transition"] for s in range(len(self.spec.stages)))

    def layer_start(self, stage: int, layer: int) -> int:
        """Column of a layer's attention gene; heads, MLP ratio and reduction follow."""
        return self.stage_start[stage] + 3 + len(LAYER_GENES) * layer
