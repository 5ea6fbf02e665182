"""The search space: which architectures may be built.

It is declared as data and *given* the operators' cards; it never imports an operator.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from search_spaces.architecture import Architecture, Value
from search_spaces.automaton import (
    DEAD,
    IntArray,
    compile_automaton,
)
from search_spaces.card import Cards
from search_spaces.codec import Codec
from search_spaces.errors import UserError, unknown_name
from search_spaces.genes import Gene, GeneLayout
from search_spaces.membership import Membership
from search_spaces.spec import SpaceSpec, parse_spec
from search_spaces.uniform import UniformSampler
from search_spaces.walk import Trace, Walker


class Trial(Protocol):
    """The one method of an Optuna trial that a space uses."""

    def suggest_categorical(self, name: str, choices: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What a trial proposed.

    Attributes:
        architecture: legal and canonical.
        repairs: genes that were changed to make it so, ``name: asked → taken``. Provenance only.
    """

    architecture: Architecture
    repairs: tuple[str, ...]


class SearchSpace:
    """The legal architectures of a declaration.

    Args:
        data: a space file's content.
        cards: the operators there are.
        excluded: operators that may not be proposed, each with the reason (a runtime that cannot
            run it, say). Genes, digest and weights stay those of the whole space.

    Raises:
        UserError: the declaration cannot be used, or holds no legal architecture.
    """

    def __init__(
        self,
        data: Mapping[str, Any],
        cards: Cards,
        excluded: Mapping[str, str] | None = None,
    ) -> None:
        self.spec: SpaceSpec = replace(parse_spec(data, cards), excluded=dict(excluded or {}))
        self.cards = cards
        self.layout = GeneLayout(self.spec)
        self._data = json.loads(json.dumps(data))
        self.automaton = compile_automaton(self.spec, cards)
        self.walker = Walker(self.layout, self.automaton, cards)
        self.uniform = UniformSampler(self.layout, self.automaton, cards)
        self.codec = Codec(self.layout, cards)
        self.membership = Membership(self.spec, cards, self.automaton)
        if self.cardinality() == 0:
            raise UserError(
                f"space: it contains no legal architecture: {self.membership.why_empty()}"
            )

    @property
    def genes(self) -> tuple[Gene, ...]:
        """All genes, in the order of a gene row's columns."""
        return self.layout.genes

    def to_dict(self) -> dict[str, Any]:
        """The declaration, as plain data."""
        return dict(self._data)

    def digest(self) -> str:
        """16 hexadecimal digits that name the set of choices (not the operators' code)."""
        joint = ["joint_qkv_bias"] if self.spec.joint_qkv_bias else []
        genes = [[g.name, list(g.choices)] for g in self.genes]
        text = json.dumps([*genes, repr(self.spec), *joint])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def cardinality(self) -> int:
        """Number of distinct legal architectures, exactly."""
        stage = self.spec.stages[0]
        ways = self.automaton.ways[0]
        entered = sum(ways[depth] for depth in stage.depth) * len(stage.width)
        return int(sum(entered[node] for node in self.automaton.start.ravel() if node != DEAD))

    # -- drawing ------------------------------------------------------------------------------

    def sample_genes(self, rng: np.random.Generator, count: int) -> IntArray:
        """Legal gene rows ``(count, G)``, uniform per gene."""
        return self.walker.sample(rng, count)

    def sample(self, rng: np.random.Generator, *, uniform: str = "genes") -> Architecture:
        """One legal architecture, uniform per gene, or over ``"architectures"``."""
        if uniform == "architectures":
            return self.decode(self.uniform.draw(random.Random(int(rng.integers(2**63)))))
        return self.decode(self.sample_genes(rng, 1)[0])

    def suggest(self, trial: Trial) -> Suggestion:
        """The architecture an Optuna trial proposes; every gene is asked, whatever the others."""
        row = [
            gene.choices.index(trial.suggest_categorical(gene.name, gene.choices))
            for gene in self.genes
        ]
        asked = np.array([row], dtype=np.int64)
        legal, trace = self.repair(asked)
        return Suggestion(self.decode(legal[0]), self._repairs(asked[0], legal[0], trace))

    def params(self, genes_G: IntArray) -> dict[str, Value]:
        """The parameters by name under which ``suggest`` proposes a gene row."""
        return {
            gene.name: gene.choices[int(index)]
            for gene, index in zip(self.genes, genes_G, strict=True)
        }

    def mutate(self, genes_BG: IntArray, rng: np.random.Generator, rate: float) -> IntArray:
        """Legal rows with each gene redrawn with probability ``rate``."""
        fresh = np.stack(
            [rng.integers(len(g.choices), size=len(genes_BG)) for g in self.genes], axis=1
        )
        mask = rng.random(genes_BG.shape) < rate
        return self.repair(np.where(mask, fresh, genes_BG))[0]

    def crossover(self, a_BG: IntArray, b_BG: IntArray, rng: np.random.Generator) -> IntArray:
        """Legal rows whose genes come from either parent with equal probability."""
        return self.repair(np.where(rng.random(a_BG.shape) < 0.5, a_BG, b_BG))[0]

    def smallest(self, **categorical: Any) -> Architecture:
        """The smallest in depth, width, heads, MLP and tokens; see ``extreme``."""
        return self.decode(self.extreme(largest=False, **categorical))

    def largest(self, **categorical: Any) -> Architecture:
        """The largest in depth, width, heads, MLP and tokens; see ``extreme``."""
        return self.decode(self.extreme(largest=True, **categorical))

    def extreme(
        self,
        *,
        largest: bool,
        attention: str | None = None,
        reduction: str = "none",
        patch_size: int | None = None,
    ) -> IntArray:
        """The gene row ``(G,)`` of the largest or smallest architecture.

        Args:
            largest: which end of the ordered genes.
            attention: label of the mixer in every layer; softmax where the space has it.
            reduction: label of the reduction in every layer.
            patch_size: by default the one with the most (fewest) tokens.
        """
        row = np.zeros(len(self.genes), dtype=np.int64)
        for index, gene in enumerate(self.genes):
            if gene.ordered:
                row[index] = len(gene.choices) - 1 if largest else 0
            elif gene.name.endswith(".attention"):
                row[index] = _label_index(gene, attention, prefer="softmax")
            elif gene.name.endswith(".reduction"):
                row[index] = _label_index(gene, reduction, prefer="none")
        patches = self.spec.patch_size
        row[0] = (
            (0 if largest else len(patches) - 1)
            if patch_size is None
            else patches.index(patch_size)
        )
        legal: IntArray = self.repair(row[None])[0][0]
        return legal

    # -- codec --------------------------------------------------------------------------------

    def repair(self, genes_BG: IntArray) -> tuple[IntArray, Trace]:
        """The nearest legal canonical rows, and where they stand in the automaton."""
        return self.walker.repair(genes_BG)

    def trace(self, genes_BG: IntArray) -> Trace:
        """Where legal canonical rows stand in the automaton."""
        return self.walker.trace(genes_BG)

    def decode(self, genes_G: IntArray) -> Architecture:
        """The architecture of a legal row."""
        return self.codec.decode(genes_G)

    def encode(self, architecture: Architecture) -> IntArray:
        """The canonical gene row ``(G,)`` of an architecture.

        Raises:
            UserError: it is not in this space; the message says why.
        """
        reason = self.why_not(architecture)
        if reason is not None:
            raise UserError(f"architecture {architecture.digest()} is not in the space: {reason}")
        return self.codec.encode(architecture)

    def contains(self, architecture: Architecture) -> bool:
        """Whether the architecture is legal and in this space."""
        return self.why_not(architecture) is None

    def why_not(self, architecture: Architecture) -> str | None:
        """Why an architecture is not in this space, or None if it is."""
        return self.membership.why_not(architecture)

    def _repairs(self, asked_G: IntArray, legal_G: IntArray, trace: Trace) -> tuple[str, ...]:
        repairs = []
        active = self.codec.active(legal_G)
        for index, gene in enumerate(self.genes):
            if active[index] and asked_G[index] != legal_G[index]:
                asked, taken = gene.choices[asked_G[index]], gene.choices[legal_G[index]]
                repairs.append(f"{gene.name}: {asked} → {taken}")
        return tuple(repairs)


def _label_index(gene: Gene, label: str | None, *, prefer: str) -> int:
    labels = [str(choice) for choice in gene.choices]
    if label is None:
        label = prefer if prefer in labels else labels[0]
    if label not in labels:
        if label == prefer:  # a space without the plain choice: the walk repairs what remains
            return 0
        raise unknown_name(gene.name, label, labels)
    return labels.index(label)
