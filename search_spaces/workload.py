"""What one operator does, as numbers: sizes in, kernels out.

Every function here uses only arithmetic, ``min`` and ``max`` through numpy, so that the same cost
formula serves one architecture (ints) and a whole batch of candidates (integer columns ``(B,)``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

Count = Any
"""An int, or an integer column ``(B,)`` with one entry a candidate."""

COUNTING_RULE = (
    "1 MAC = one multiply-add. Counted: matrix products, convolutions and attention products, as "
    "torch's FlopCounterMode counts them, halved. Left out: norms, softmax, activations, biases, "
    "pooling, gathers and sorting."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The sizes of one layer (or of an embedding, position, transition or head).

    Attributes:
        width: channels of a token.
        heads, head_dim: of the attention; ``inner`` is their product.
        hidden: hidden width of the MLP.
        tokens: patch tokens; ``all_tokens`` adds the special ones.
        special: special tokens in front.
        grid_h, grid_w: the rectangle the patch tokens form; 0 where they form none.
        merged: 1 where tokens stand for different numbers of patches.
        ragged: 1 where images may have fewer tokens than ``tokens``, each a number of its own.
        relative: 1 where the attention reads relative positions.
        patch, channels, image_h, image_w: of the images.
        width_in, grid_in_h, grid_in_w: before a transition.
    """

    width: Count = 0
    heads: Count = 0
    head_dim: Count = 0
    hidden: Count = 0
    tokens: Count = 0
    special: Count = 0
    grid_h: Count = 0
    grid_w: Count = 0
    merged: Count = 0
    ragged: Count = 0
    relative: Count = 0
    patch: Count = 0
    channels: Count = 0
    image_h: Count = 0
    image_w: Count = 0
    width_in: Count = 0
    grid_in_h: Count = 0
    grid_in_w: Count = 0

    @property
    def inner(self) -> Count:
        """Inner width of the attention."""
        return self.heads * self.head_dim

    @property
    def all_tokens(self) -> Count:
        """Patch tokens and special tokens."""
        return self.tokens + self.special

    def but(self, **changes: Count) -> Sizes:
        """The same sizes with some changed."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One piece of work for one image.

    Attributes:
        op: kind of kernel: linear, attention, matmul, conv, norm, elementwise, softmax, pool,
            gather, sort.
        m, n, k: sizes of the product ``(m, k) @ (k, n)``; 0 where it is none.
        repeat: how many such products.
        macs: multiply-adds by ``COUNTING_RULE``.
        moved: activation elements read and written.
        weights: parameter elements read.
        live: activation elements alive while it runs, on top of the residual stream.
        scratch: further elements that it needs once, whatever the batch: reordered weights, the
            blocks of one thread. Negative where a single image is spared something, a copy.
        counted: whether torch's FlopCounterMode sees it.
    """

    op: str
    m: Count = 0
    n: Count = 0
    k: Count = 0
    repeat: Count = 1
    macs: Count = 0
    moved: Count = 0
    weights: Count = 0
    live: Count = 0
    scratch: Count = 0
    counted: bool = True


def linear(rows: Count, n_in: Count, n_out: Count, *, live: Count = 0) -> Kernel:
    """A linear layer on ``rows`` tokens."""
    return Kernel(
        op="linear",
        m=rows,
        n=n_out,
        k=n_in,
        macs=rows * n_in * n_out,
        moved=rows * (n_in + n_out),
        weights=n_in * n_out + n_out,
        live=live,
    )


def attention(
    heads: Count,
    queries: Count,
    keys: Count,
    head_dim: Count,
    *,
    repeat: Count = 1,
    live: Count = 0,
) -> Kernel:
    """Fused attention, ``repeat`` times (windows, say): both products, no map in memory.

    What it holds beside its output: a logarithm per query and head, and for each thread one block
    of logits with its queries' sums.
    """
    block = np.where(queries >= 768, 256, np.where(queries >= 192, 64, 32))
    return Kernel(
        op="attention",
        m=queries,
        n=keys,
        k=head_dim,
        repeat=repeat * heads,
        macs=2 * repeat * heads * queries * keys * head_dim,
        moved=2 * repeat * heads * head_dim * (queries + keys),
        live=live + repeat * heads * queries,
        scratch=np.minimum(block, queries) * (np.minimum(512, keys) + 2 + head_dim),
    )


def product(m: Count, n: Count, k: Count, *, repeat: Count = 1, live: Count = 0) -> Kernel:
    """A product of two activations, ``(m, k) @ (k, n)``, ``repeat`` times."""
    return Kernel(
        op="matmul",
        m=m,
        n=n,
        k=k,
        repeat=repeat,
        macs=repeat * m * n * k,
        moved=repeat * (m * k + k * n + m * n),
        live=live,
    )


def conv(
    pixels_out: Count,
    taps: Count,
    channels_out: Count,
    channels_in: Count = 1,
    *,
    read: Count = 0,
    live: Count = 0,
    scratch: Count = 0,
) -> Kernel:
    """A convolution; ``channels_in`` is per group, so 1 for a depth-wise one.

    Args:
        pixels_out: output positions.
        taps: kernel height times kernel width.
        channels_out: output channels.
        channels_in: input channels that one output channel sees.
        read: input elements.
        live: activation elements alive meanwhile.
        scratch: elements it needs once, whatever the batch.
    """
    return Kernel(
        op="conv",
        m=pixels_out,
        n=channels_out,
        k=taps * channels_in,
        macs=pixels_out * taps * channels_in * channels_out,
        moved=read + pixels_out * channels_out,
        weights=taps * channels_in * channels_out + channels_out,
        live=live,
        scratch=scratch,
    )


def elementwise(
    op: str, moved: Count, *, weights: Count = 0, live: Count = 0, repeat: Count = 1
) -> Kernel:
    """Work without products: a norm, an activation, a gather."""
    return Kernel(op=op, moved=moved, weights=weights, live=live, repeat=repeat)


def only(where: Count, *kernels: Kernel) -> list[Kernel]:
    """The kernels where ``where`` is not 0, and no work at all elsewhere."""
    runs = np.minimum(where, 1)
    fields = ("macs", "moved", "weights", "live", "scratch")
    return [replace(k, **{name: getattr(k, name) * runs for name in fields}) for k in kernels]


def beside(scratch: Count, kernels: Sequence[Kernel]) -> list[Kernel]:
    """The kernels with ``scratch`` elements more alive, whatever the batch."""
    return [replace(kernel, scratch=kernel.scratch + scratch) for kernel in kernels]


def total(kernels: Sequence[Kernel], field: str) -> Count:
    """The sum of one field over kernels."""
    result: Count = 0
    for kernel in kernels:
        result = result + getattr(kernel, field)
    return result


def peak_live(kernels: Sequence[Kernel]) -> tuple[Count, Count]:
    """The most elements alive for one image, and how many more each further image needs.

    Scratch is needed once, so a batch of b holds ``first + (b - 1) * further``. That is exact for
    one image, and for any batch where the same kernel is the largest; else it is above the truth,
    by less than the largest scratch.
    """
    first: Count = 0
    further: Count = 0
    for kernel in kernels:
        first = np.maximum(first, kernel.live + kernel.scratch)
        further = np.maximum(further, kernel.live)
    return first, further


def ceil_div(a: Count, b: Count) -> Count:
    """``ceil(a / b)`` of non-negative integers, for columns too."""
    return -(-a // b)


def ceil_share(share: float, count: Count) -> Count:
    """``ceil(share * count)``, exact for shares with up to four decimals, for columns too."""
    return ceil_div(round(share * 10_000) * count, 10_000)
