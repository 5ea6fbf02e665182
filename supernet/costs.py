"""Costs of whole gene matrices: parameters, MACs, peak memory, latency features.

A layer's cost depends on few things: where it stands in the space's automaton, and the choices of
its own genes. Each such combination is priced once, in columns, by the formulas of
`supernet.workload`; a candidate is then a sum of table rows. B candidates, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from search_spaces.architecture import NONE, Architecture
from search_spaces.automaton import DEAD, IntArray
from search_spaces.space import SearchSpace
from search_spaces.walk import Trace
from search_spaces.workload import Count, Kernel, Sizes, peak_live, total
from supernet.features import Features
from supernet.layer_prices import LayerPrices
from supernet.network import head_specs, special_specs
from supernet.prices import Priced, Prices, grouped
from supernet.ragged import traced
from supernet.workload import (
    BYTES_FP32,
    MB,
    head_section,
    held,
    lifted,
    parameter_count,
    stage_input,
)

FloatArray = npt.NDArray[np.float64]
EMPTY: Mapping[str, Sequence[Kernel]] = {}


@dataclass(frozen=True, slots=True)
class Liveness:
    """What a runtime holds alive during a forward pass, in closed form.

    Attributes:
        runtime: whose.
        peaks: kernels to the most elements alive for one image, and how many more each further
            image needs; see ``peak_live``.
        element_bytes: bytes of a number, of weights too.
        told_from_mb: activations below it cannot be measured there, 10^6 bytes.
    """

    runtime: str
    peaks: Callable[[Sequence[Kernel]], tuple[Count, Count]]
    element_bytes: int = BYTES_FP32
    told_from_mb: float = 0.0

    @property
    def identity(self) -> str:
        """What a study keeps of it: a search under another form is another search."""
        return self.runtime

    def costs(self, space: SearchSpace, num_classes: int) -> SpaceCosts:
        """Prices of the space's candidates by this form."""
        return SpaceCosts(space, num_classes, self)


TORCH_EAGER = Liveness("torch_eager", peak_live)
"""What torch's allocator hands out on a processor."""


@dataclass(frozen=True)
class Costs:
    """Costs of B candidates for one image.

    Attributes:
        params_B, macs_B: exact counts.
        front_B2, behind_B2: largest live activations in elements in the embedding and behind it,
            for one image, and how many more each further image needs; the input excluded.
        input_elements: of one image.
        element_bytes: bytes of a number.
        features_BF: what a latency predictor learns from, columns named by ``feature_names``.
        feature_names: F names.
    """

    params_B: FloatArray
    macs_B: FloatArray
    front_B2: FloatArray
    behind_B2: FloatArray
    input_elements: int
    element_bytes: int
    features_BF: FloatArray
    feature_names: tuple[str, ...]

    @property
    def peak_elements_B(self) -> FloatArray:
        """Largest live activations in elements for one image, the input included."""
        return self._peak_elements(1)

    def _peak_elements(self, batch: int) -> FloatArray:
        front_B, behind_B = (
            live_B2[:, 0] + (batch - 1) * live_B2[:, 1]
            for live_B2 in (self.front_B2, self.behind_B2)
        )
        elements: FloatArray = np.maximum(front_B, behind_B) + batch * self.input_elements
        return elements

    def peak_activation_mb(self, batch: int = 1) -> FloatArray:
        """Largest live activations of one forward pass, in 10^6 bytes; see ``Workload``."""
        return self._peak_elements(batch) * (self.element_bytes / MB)

    def peak_memory_mb(self, batch: int = 1) -> FloatArray:
        """Weights and largest live activations of one forward pass, in 10^6 bytes."""
        return self.params_B * (self.element_bytes / MB) + self.peak_activation_mb(batch)


class SpaceCosts:
    """Prices candidates of one space.

    Args:
        space: the space.
        num_classes: outputs of the head.
        liveness: of the runtime whose memory is asked for.
    """

    def __init__(
        self, space: SearchSpace, num_classes: int, liveness: Liveness = TORCH_EAGER
    ) -> None:
        self.space = space
        self.num_classes = num_classes
        self.liveness = liveness
        self._tables = [LayerPrices(self, number) for number in range(len(space.spec.stages))]
        self._parts: dict[str, Prices] = {}

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the feature columns."""
        return self.features.names

    @cached_property
    def features(self) -> Features:
        """What the feature columns are."""
        spec = self.space.spec
        mixers = sorted({str(a) for stage in spec.stages for a in stage.attention})
        reducers = {str(r) for stage in spec.stages for r in stage.reduction} - {str(NONE)}
        return Features([*mixers, *sorted(reducers)])

    def __call__(self, genes_BG: IntArray) -> Costs:
        """Costs of candidates; illegal genes are repaired first."""
        genes, trace = self.space.repair(genes_BG)
        return self.of_legal(genes, trace)

    def legal(self, genes: IntArray) -> Costs:
        """Costs of candidates that are legal and canonical already."""
        return self.of_legal(genes, self.space.trace(genes))

    def of_legal(self, genes: IntArray, trace: Trace) -> Costs:
        """Costs of repaired genes with their trace."""
        sums, front = self._embedding(genes, trace)
        parts = [self._position(genes, trace), self._head(genes, trace)]
        parts += [table.look_up(genes, trace) for table in self._tables]
        parts += [self._crossing(genes, trace, number) for number in range(1, len(self._tables))]
        behind = np.zeros_like(front)
        for part_sums, part_peak in parts:
            sums += part_sums
            np.maximum(behind, part_peak, out=behind)
        spec = self.space.spec
        image = spec.channels * spec.image_size[0] * spec.image_size[1]
        return Costs(
            params_B=sums[:, 0],
            macs_B=sums[:, 1],
            front_B2=front,
            behind_B2=behind,
            input_elements=image,
            element_bytes=self.liveness.element_bytes,
            features_BF=sums[:, 2:],
            feature_names=self.feature_names,
        )

    def traced(self, architecture: Architecture, tokens_B: IntArray) -> tuple[IntArray, FloatArray]:
        """MACs ``(B,)`` and features ``(B, F)`` of one architecture on images that keep so many
        patch tokens, where that depends on the image (``supernet.ragged``).
        """
        sums_BE = np.zeros((len(tokens_B), 2 + len(self.feature_names)))
        for layer in traced(architecture, self.num_classes, tokens_B).layers:
            chosen = layer.name.endswith((".attention", ".reduction"))
            sections = {layer.op: layer.kernels} if chosen else EMPTY
            sums_BE += self.row(len(tokens_B), layer.params, layer.kernels, sections)[0]
        return sums_BE[:, 1].astype(np.int64), sums_BE[:, 2:]

    def row(
        self,
        count: int,
        params: Count,
        kernels: Sequence[Kernel],
        sections: Mapping[str, Sequence[Kernel]] = EMPTY,
    ) -> tuple[FloatArray, FloatArray]:
        """Table rows ``(count, 2 + F)`` (params, MACs, features), and ``(count, 2)`` peaks.

        ``sections`` says which of the kernels belong to which operator.
        """
        rows = np.zeros((count, 2 + len(self.feature_names)))
        rows[:, 0] = params
        rows[:, 1] = total(kernels, "macs")
        rows[:, 2:] = self.features.rows(count, kernels, sections)
        rows[:, -1] = params
        peaks = np.zeros((count, 2))
        peaks[:, 0], peaks[:, 1] = self.liveness.peaks(kernels)
        return rows, peaks

    def geometry_columns(self, nodes: IntArray) -> dict[str, IntArray]:
        """The geometry part of ``Sizes`` as columns."""
        table = self._geometry[nodes]
        names = ("tokens", "special", "grid_h", "grid_w", "merged", "ragged")
        return {name: table[:, i] for i, name in enumerate(names)}

    @cached_property
    def _geometry(self) -> IntArray:
        rows = []
        for node in self.space.automaton.nodes:
            g = node.geometry
            height, width = g.grid or (0, 0)
            rows.append((g.tokens, g.special, height, width, int(g.merged), int(g.ragged)))
        return np.array(rows, dtype=np.int64)

    @cached_property
    def inside(self) -> IntArray:
        """Which position acts inside of the attention behind each node; 0: none."""
        positions = [None, *self.space.spec.position]
        found = [positions.index(node.inside) for node in self.space.automaton.nodes]
        return np.array(found, dtype=np.int64)

    def width_gene(self, number: int) -> int:
        """Column of a stage's width."""
        return self.space.layout.stage_start[number] + 1

    def _width(self, genes: IntArray, number: int) -> IntArray:
        return np.array(self.space.spec.stages[number].width)[genes[:, self.width_gene(number)]]

    def _prices(self, part: str, *dims: int) -> Prices:
        if part not in self._parts:
            self._parts[part] = Prices(dims, 2 + len(self.feature_names))
        return self._parts[part]

    def _entry(self, genes: IntArray, node: IntArray) -> Sizes:
        """Sizes of the first stage where the tokens are those of a node."""
        spec = self.space.spec
        return Sizes(
            width=self._width(genes, 0),
            patch=np.array(spec.patch_size)[genes[:, 0]],
            channels=spec.channels,
            image_h=spec.image_size[0],
            image_w=spec.image_size[1],
            **self.geometry_columns(node),
        )

    def _embedding(self, genes: IntArray, trace: Trace) -> Priced:
        spec, width = self.space.spec, self.width_gene(0)
        table = self._prices(
            "embedding", len(spec.embedding), len(spec.patch_size), len(spec.stages[0].width)
        )

        def price(index: int, rows: IntArray) -> Priced:
            setting = spec.embedding[index]
            card = self.space.cards.embedding[setting.op]
            sizes = self._entry(genes[rows], trace.start_B[rows])
            specs = (*card.parameters(setting), *special_specs(spec.special_tokens))
            kernels = card.kernels(sizes, setting)
            return self.embedding_row(sizes, parameter_count(specs, sizes), kernels)

        codes = table.code(genes[:, 1], genes[:, 0], genes[:, width])
        return table.look_up(codes, grouped(genes[:, 1], price))

    def embedding_row(self, sizes: Sizes, params: Count, kernels: Sequence[Kernel]) -> Priced:
        """``row`` of embeddings, one for each size."""
        return self.row(np.size(sizes.width), params, kernels)

    def _position(self, genes: IntArray, trace: Trace) -> Priced:
        spec, width = self.space.spec, self.width_gene(0)
        cards = [self.space.cards.position[setting.op] for setting in spec.position]
        node = trace.start_B.copy()
        for index, card in enumerate(cards):
            if card.after_block >= 0:
                rows = genes[:, 2] == index
                node[rows] = trace.after[0][rows, card.after_block]
        table = self._prices(
            "position",
            len(cards),
            len(spec.patch_size),
            len(spec.stages[0].width),
            len(self.space.automaton.nodes),
        )

        def price(index: int, rows: IntArray) -> Priced:
            card, setting = cards[index], spec.position[index]
            sizes = self._entry(genes[rows], node[rows])
            kernels = lifted(card.kernels(sizes, setting), held(sizes))
            return self.row(len(rows), parameter_count(card.parameters(setting), sizes), kernels)

        codes = table.code(genes[:, 2], genes[:, 0], genes[:, width], node)
        return table.look_up(codes, grouped(genes[:, 2], price))

    def _head(self, genes: IntArray, trace: Trace) -> Priced:
        number = len(self.space.spec.stages) - 1
        node, width = _last_node(trace, number), genes[:, self.width_gene(number)]
        widths = self.space.spec.stages[number].width
        table = self._prices("head", len(widths), len(self.space.automaton.nodes))

        def price(rows: IntArray) -> Priced:
            last = Sizes(width=np.array(widths)[width[rows]], **self.geometry_columns(node[rows]))
            params = 2 * last.width + parameter_count(head_specs(self.num_classes), last)
            return self.row(len(rows), params, head_section(last, self.num_classes))

        return table.look_up(table.code(width, node), price)

    def _crossing(self, genes: IntArray, trace: Trace, number: int) -> Priced:
        spec, cards = self.space.spec, self.space.cards
        left, chosen = (
            _last_node(trace, number - 1),
            genes[:, self.space.layout.stage_start[number]],
        )
        before, behind = self.width_gene(number - 1), self.width_gene(number)
        table = self._prices(
            f"transition {number}",
            len(spec.stages[number].transition),
            len(spec.stages[number - 1].width),
            len(spec.stages[number].width),
            len(self.space.automaton.nodes),
        )

        def price(index: int, rows: IntArray) -> Priced:
            setting, old = spec.stages[number].transition[index], self.geometry_columns(left[rows])
            sizes = Sizes(
                width=self._width(genes[rows], number),
                width_in=self._width(genes[rows], number - 1),
                grid_in_h=old["grid_h"],
                grid_in_w=old["grid_w"],
                **self.geometry_columns(trace.entered[number][rows]),
            )
            card = cards.transition[setting.op]
            kernels = lifted(card.kernels(sizes, setting), stage_input(sizes))
            return self.row(len(rows), parameter_count(card.parameters(setting), sizes), kernels)

        codes = table.code(chosen, genes[:, before], genes[:, behind], left)
        return table.look_up(codes, grouped(chosen, price))


def _last_node(trace: Trace, number: int) -> IntArray:
    """The node behind the last active layer of a stage."""
    after = trace.after[number]
    depth = (after != DEAD).sum(axis=1)
    node: IntArray = after[np.arange(len(after)), depth - 1]
    return node
