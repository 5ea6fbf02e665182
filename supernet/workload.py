"""What a network does, in closed form: parameters, MACs, live activations, layer by layer.

The section functions below take sizes that are ints (one architecture) or integer columns (a batch
of candidates), so `supernet.costs` prices whole gene matrices with the same formulas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from search_spaces.architecture import Architecture, OpSetting
from search_spaces.card import AttentionCard, ParameterSpec, ReductionCard
from search_spaces.workload import Count, Kernel, Sizes, elementwise, linear, peak_live, total
from supernet.heads import score_size
from supernet.network import ResolvedBlock, ResolvedNetwork, resolve

BYTES_FP32 = 4
MB = 1e6


@dataclass(frozen=True, slots=True)
class LayerWork:
    """One part of a network.

    Attributes:
        name: its path, as in the extracted model.
        op: the operator with its parameters.
        tokens_in, tokens_out: all tokens in front of it and behind it; the most where images have
            different numbers of them.
        grid: (height, width) behind it, or None.
        params: parameters.
        kernels: its work for one image; ``live`` is absolute here (residual stream included).
    """

    name: str
    op: str
    tokens_in: Count
    tokens_out: Count
    grid: tuple[int, int] | None
    params: int
    kernels: tuple[Kernel, ...]

    @property
    def macs(self) -> int:
        """Multiply-adds for one image."""
        return int(total(self.kernels, "macs"))


@dataclass(frozen=True, slots=True)
class Workload:
    """The work of a whole network for one image."""

    layers: tuple[LayerWork, ...]
    input_elements: int

    @property
    def params(self) -> int:
        """Number of parameters, exactly that of the extracted model."""
        return sum(layer.params for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-adds for one image, by ``COUNTING_RULE``."""
        return sum(layer.macs for layer in self.layers)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """All kernels in order of execution."""
        return tuple(kernel for layer in self.layers for kernel in layer.kernels)

    def peak_activation_mb(self, batch: int = 1) -> float:
        """Largest live activations of one fp32 forward pass, the input included, in 10^6 bytes.

        It states what torch's allocator hands out in eager mode on one thread of a processor: a
        tensor lives until nothing names it, and the block's input is named by the caller until
        the block is done. For batches see ``peak_live``, applied to the embedding, whose
        reordered kernel is large beside a small image, and to what is behind it.
        """
        behind = [kernel for layer in self.layers[1:] for kernel in layer.kernels]
        peaks = [peak_live(self.layers[0].kernels), peak_live(behind)]
        most = max(int(first) + (batch - 1) * int(further) for first, further in peaks)
        return (batch * self.input_elements + most) * BYTES_FP32 / MB

    def peak_memory_mb(self, batch: int = 1) -> float:
        """Weights and largest live activations of one fp32 forward pass, in 10^6 bytes."""
        return self.params * BYTES_FP32 / MB + self.peak_activation_mb(batch)


@lru_cache(maxsize=4096)
def workload(architecture: Architecture, num_classes: int) -> Workload:
    """The work of one architecture; at most, where it depends on the image (``supernet.ragged``).

    Raises:
        UserError: the architecture is not legal.
    """
    network = resolve(architecture, num_classes)
    height, width = architecture.image_size
    return Workload(tuple(layers_of(network)), architecture.channels * height * width)


def layers_of(network: ResolvedNetwork) -> list[LayerWork]:
    """The work of a network's parts, in order of execution; its sizes are ints, or columns."""
    layers = [*_front(network)]
    index, place = 0, network.position.card.after_block
    for number, stage in enumerate(network.stages):
        if number:
            kernels = lifted(
                stage.transition.card.kernels(stage.entry, stage.setting), stage_input(stage.entry)
            )
            layers.append(
                _layer(stage.part.path, str(stage.setting), stage.entry, stage.part.specs, kernels)
            )
        for block in stage.blocks:
            layers += _block_layers(block)
            if index == place:
                layers.append(_position_layer(network))
            index += 1
    layers.append(_head_layer(network))
    return layers


# -- sections: sizes in (ints or columns), kernels out ----------------------------------------


def lifted(kernels: Sequence[Kernel], base: Count) -> list[Kernel]:
    """The kernels with ``base`` elements more alive: what the rest of the network holds."""
    return [replace(kernel, live=kernel.live + base) for kernel in kernels]


def stream(sizes: Sizes) -> Count:
    """Elements of the residual stream."""
    return sizes.all_tokens * sizes.width


def stage_input(entry: Sizes) -> Count:
    """Elements of the residual stream in front of a transition."""
    return (entry.grid_in_h * entry.grid_in_w + entry.special) * entry.width_in


def held(sizes: Sizes) -> Count:
    """Elements of a token state: the residual stream, and tokens' sizes behind merges."""
    return sizes.all_tokens * (sizes.width + sizes.merged)


def norm(sizes: Sizes) -> Kernel:
    """A layer norm; it also makes a mean and a deviation per token."""
    x = stream(sizes)
    return elementwise("norm", 2 * x, weights=2 * sizes.width, live=x + 2 * sizes.all_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerChoice:
    """What one layer consists of, and the sizes along it (ints, or columns).

    Attributes:
        mixer, mixing_setting: the attention.
        reducer, reducing_setting: the token reduction.
        wants: the score that the reduction is handed, or None.
        before, mixing, mlp, after: sizes in front of the layer, at its attention, at its MLP and
            behind it.
    """

    mixer: AttentionCard
    mixing_setting: OpSetting
    reducer: ReductionCard
    reducing_setting: OpSetting
    wants: str | None
    before: Sizes
    mixing: Sizes
    mlp: Sizes
    after: Sizes

    @property
    def reduces_at(self) -> str | None:
        """The hook of its reduction; None if it has none."""
        return None if self.reducing_setting.op == "none" else self.reducer.hook


def attention_section(layer: LayerChoice) -> list[Kernel]:
    """Norm, attention and residual sum. The caller still holds the layer's input."""
    if layer.mixer.identity:
        return []
    x = stream(layer.mixing)
    kernels = [
        norm(layer.mixing),
        *layer.mixer.kernels(layer.mixing, layer.mixing_setting, layer.wants),
        elementwise("add", 3 * x, live=2 * x + score_size(layer.mixing, layer.wants)),
    ]
    reduced = held(layer.mixing) if layer.reduces_at == "before_attention" else 0
    return lifted(kernels, held(layer.before) + reduced)


def reduction_section(layer: LayerChoice) -> list[Kernel]:
    """The token reduction. Alive are the layer's input, and what attention or MLP made of it."""
    if layer.reduces_at is None:
        return []
    kernels = layer.reducer.kernels(layer.before, layer.after, layer.reducing_setting, layer.wants)
    changed = layer.reduces_at == "between_blocks" or (
        layer.reduces_at == "after_attention" and not layer.mixer.identity
    )
    return lifted(kernels, held(layer.before) * (2 if changed else 1))


def mlp_section(layer: LayerChoice) -> list[Kernel]:
    """Norm, MLP and residual sum. The caller still holds the layer's input."""
    mlp = layer.mlp
    x, n, hidden = stream(mlp), mlp.all_tokens, mlp.hidden
    kernels = [
        norm(mlp),
        linear(n, mlp.width, hidden, live=x + n * hidden),
        elementwise("gelu", 2 * n * hidden, live=2 * n * hidden),
        linear(n, hidden, mlp.width, live=n * hidden + x),
        elementwise("add", 3 * x, live=2 * x),
    ]
    reduced = layer.reduces_at in ("before_attention", "after_attention")
    changed = reduced or not layer.mixer.identity
    return lifted(kernels, held(layer.before) + (held(mlp) if changed else 0))


def head_section(last: Sizes, num_classes: int) -> list[Kernel]:
    """Final norm, pooling, classifier."""
    x = stream(last)
    kernels = [
        norm(last),
        elementwise("reduce", x + last.width, live=x + last.merged * x + last.width),
        linear(1, last.width, num_classes, live=x + last.width + num_classes),
    ]
    return lifted(kernels, held(last))


def parameter_count(specs: Sequence[ParameterSpec], sizes: Sizes) -> Count:
    """Elements of all parameters at these sizes."""
    count: Count = 0
    for spec in specs:
        elements: Count = 1
        for axis in spec.shape(sizes):
            elements = elements * axis
        count = count + elements
    return count


# -- one architecture -------------------------------------------------------------------------


def _layer(
    name: str,
    op: str,
    sizes: Sizes,
    specs: Sequence[ParameterSpec],
    kernels: Sequence[Kernel],
    behind: Sizes | None = None,
) -> LayerWork:
    behind = behind or sizes
    grid = (behind.grid_h, behind.grid_w) if behind.grid_h else None
    return LayerWork(
        name,
        op,
        sizes.all_tokens,
        behind.all_tokens,
        grid,
        int(parameter_count(specs, sizes)),
        tuple(kernels),
    )


def _front(network: ResolvedNetwork) -> list[LayerWork]:
    architecture, entry = network.architecture, network.stages[0].entry
    part = network.embedding_part
    kernels = network.embedding.card.kernels(entry, architecture.embedding)
    specs = (*part.specs, *network.tokens_part.specs)
    layers = [_layer(part.path, str(architecture.embedding), entry, specs, kernels)]
    if network.position.card.after_block < 0:
        layers.append(_position_layer(network))
    return layers


def _position_layer(network: ResolvedNetwork) -> LayerWork:
    part, setting = network.position_part, network.architecture.position
    kernels = lifted(network.position.card.kernels(part.sizes, setting), held(part.sizes))
    return _layer(part.path, str(setting), part.sizes, part.specs, kernels)


def _block_layers(block: ResolvedBlock) -> list[LayerWork]:
    value, path = block.block, block.attention_part.path.rsplit(".", 1)[0]
    layer = LayerChoice(
        mixer=block.attention.card,
        mixing_setting=value.attention,
        reducer=block.reduction.card,
        reducing_setting=value.reduction,
        wants=block.wants if value.reduction.op != "none" else None,
        before=block.before,
        mixing=block.mixing,
        mlp=block.mlp,
        after=block.after,
    )
    attention = _layer(
        f"{path}.attention",
        str(value.attention),
        block.mixing,
        block.attention_part.specs,
        attention_section(layer),
    )
    mlp = _layer(f"{path}.mlp", "mlp", block.mlp, block.mlp_part.specs, mlp_section(layer))
    if layer.reduces_at is None:
        return [attention, mlp]
    part, kernels = block.reduction_part, reduction_section(layer)
    reduction = replace(
        _layer(part.path, str(value.reduction), block.before, (), kernels, block.after),
        params=int(parameter_count(part.specs, part.sizes)),
    )
    places = {
        "before_attention": [reduction, attention, mlp],
        "after_attention": [attention, reduction, mlp],
        "between_blocks": [attention, mlp, reduction],
    }
    return places[layer.reduces_at]


def _head_layer(network: ResolvedNetwork) -> LayerWork:
    last = network.stages[-1].blocks[-1].after
    specs = (*network.norm_part.specs, *network.head_part.specs)
    return _layer("head", "linear", last, specs, head_section(last, network.num_classes))
