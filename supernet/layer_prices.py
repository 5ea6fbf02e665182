"""Prices of layers, each combination of what a layer's cost depends on worked out once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from search_spaces.automaton import DEAD, IntArray
from search_spaces.walk import Trace
from search_spaces.workload import Sizes
from supernet.network import inside_specs, mlp_specs
from supernet.prices import FloatArray, Priced, Prices
from supernet.workload import (
    LayerChoice,
    attention_section,
    mlp_section,
    parameter_count,
    reduction_section,
)

if TYPE_CHECKING:
    from supernet.costs import SpaceCosts

RELATIVES = 4096  # combinations of one pair of operators that are priced at once


class LayerPrices:
    """Priced combinations of (node in front, width, attention, heads, MLP ratio, reduction)."""

    def __init__(self, owner: SpaceCosts, number: int) -> None:
        self.owner = owner
        self.number = number
        self.stage = owner.space.spec.stages[number]
        stage = self.stage
        self.dims = (
            len(owner.space.automaton.nodes),
            len(stage.width),
            len(stage.attention),
            len(stage.heads),
            len(stage.mlp_ratio),
            len(stage.reduction),
        )
        self.prices = Prices(self.dims, 2 + len(owner.feature_names))

    def look_up(self, genes: IntArray, trace: Trace) -> Priced:
        """Sums over the stage's layers, and the largest of their peaks."""
        layout, before_BL = self.owner.space.layout, trace.before[self.number]
        columns = layout.layer_start(self.number, 0) + 4 * np.arange(before_BL.shape[1])
        attention, heads, ratio, reduction = (genes[:, columns + i] for i in range(4))
        width = np.broadcast_to(genes[:, [self.owner.width_gene(self.number)]], before_BL.shape)
        active_BL = before_BL != DEAD
        node = np.where(active_BL, before_BL, 0)
        codes_BL = self.prices.code(node, width, attention, heads, ratio, reduction)
        missing = codes_BL[active_BL & (self.prices.index[codes_BL] == DEAD)]
        if len(missing):
            self._price(np.unique(missing))
        at_BL = np.where(active_BL, self.prices.index[codes_BL], 0)
        peak = self.prices.peaks[at_BL].max(axis=1)
        return self._sums(at_BL), peak

    def _sums(self, at_BL: IntArray) -> FloatArray:
        sums = self.prices.rows[at_BL[:, 0]]
        for at_B in at_BL.T[1:]:
            sums += self.prices.rows[at_B]
        return sums

    def _price(self, codes: IntArray) -> None:
        missing = self._with_relatives(codes)
        columns = self.prices.choices(missing)
        rows = np.zeros((len(missing), self.prices.rows.shape[1]))
        peaks = np.zeros((len(missing), 2))
        inside = self.owner.inside[columns[:, 0]]
        letters = (inside * self.dims[2] + columns[:, 2]) * self.dims[5] + columns[:, 5]
        for letter in np.unique(letters):
            group = np.flatnonzero(letters == letter)
            rows[group], peaks[group] = self._formulas(columns[group])
        self.prices.add(missing, rows, peaks)

    def _with_relatives(self, codes: IntArray) -> IntArray:
        """Also all others with the same operators that have no price yet, where they are few: the
        formulas take as long for one as for a thousand.
        """
        _, widths, _, heads, ratios, _ = self.dims
        columns = self.prices.choices(codes)
        steps, found = self.owner.space.automaton.steps[self.number], [codes]
        for attention, reduction in np.unique(columns[:, [2, 5]], axis=0):
            nodes = np.flatnonzero(steps[: self.dims[0], attention, reduction] != DEAD)
            if len(nodes) * widths * heads * ratios <= RELATIVES:
                sizes = np.indices((len(nodes), widths, heads, ratios)).reshape(4, -1)
                letter = np.full_like(sizes[0], attention), np.full_like(sizes[0], reduction)
                axes = (nodes[sizes[0]], sizes[1], letter[0], sizes[2], sizes[3], letter[1])
                found.append(self.prices.code(*axes))
        every = np.unique(np.concatenate(found))
        unpriced: IntArray = every[self.prices.index[every] == DEAD]
        return unpriced

    def _formulas(self, columns: IntArray) -> tuple[FloatArray, FloatArray]:
        """Rows of one (attention, reduction) pair under one kind of position inside of attention,
        straight from the cards' formulas.
        """
        owner, stage = self.owner, self.stage
        cards, automaton = owner.space.cards, owner.space.automaton
        node, width, attention, heads, ratio, reduction = columns.T
        mixer_setting, reducer_setting = (
            stage.attention[attention[0]],
            stage.reduction[reduction[0]],
        )
        mixer, reducer = cards.attention[mixer_setting.op], cards.reduction[reducer_setting.op]
        position = automaton.nodes[node[0]].inside
        inside = () if position is None else inside_specs(mixer, position)
        hidden = np.array([[stage.hidden(w, r) for r in stage.mlp_ratio] for w in stage.width])
        before = Sizes(
            width=np.array(stage.width)[width],
            heads=np.array(stage.heads)[heads] * mixer.has_heads,
            head_dim=owner.space.spec.head_dim * mixer.has_heads,
            hidden=hidden[width, ratio],
            relative=int(bool(inside)),
            **owner.geometry_columns(node),
        )
        behind = automaton.steps[self.number][node, attention, reduction]
        after = before.but(**owner.geometry_columns(behind))
        special = owner.space.spec.special_tokens
        reduces = reducer_setting.op != "none"
        layer = LayerChoice(
            mixer=mixer,
            mixing_setting=mixer_setting,
            reducer=reducer,
            reducing_setting=reducer_setting,
            wants=reducer.score(mixer.gives_scores(special)) if reduces else None,
            before=before,
            mixing=after if reducer.hook == "before_attention" else before,
            mlp=before if reducer.hook == "between_blocks" else after,
            after=after,
        )
        mixing, reducing = attention_section(layer), reduction_section(layer)
        kernels = [*mixing, *reducing, *mlp_section(layer)]
        params = (
            parameter_count((*mixer.specs(mixer_setting), *inside), layer.mixing)
            + parameter_count(reducer.parameters(reducer_setting), after)
            + parameter_count(mlp_specs(), layer.mlp)
        )
        sections = {str(mixer_setting): mixing}
        if reduces:
            sections[str(reducer_setting)] = reducing
        return owner.row(len(columns), params, kernels, sections)
