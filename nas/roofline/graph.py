"""What a traced network does: operators, and the arrays they read and write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from search_spaces.workload import Kernel


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """A tensor as one operator sees it: a view of a buffer.

    Attributes:
        buffer: the storage; views of one tensor share it.
        view: which part of the storage, in which order.
        each: elements that one image has of it; those repeated by expanding count once.
        once: elements that there are whatever the batch.
        parameter: whether the network was made with it.
        fastest: the axis along which elements lie side by side, -1 where there is only one element.
        contiguous: whether elements lie in the order of the axes.
        channels_last: whether they lie in the order N, H, W, C of a tensor (N, C, H, W).
        floating: whether its elements are floating-point numbers.
    """

    buffer: int
    view: int
    each: int
    once: int
    parameter: bool
    fastest: int
    contiguous: bool
    channels_last: bool
    floating: bool

    @property
    def elements(self) -> int:
        """Elements for a batch of one image."""
        return self.each + self.once


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One call of an operator.

    Attributes:
        name: of torch's operator, without its overload.
        layer: the part of the network that called it.
        reads, writes: its arrays.
        product: the kernel where it is a product, for one image.
        fixed: whether it does the same work whatever the batch.
        inplace: whether it writes into its first array.
        taps: kernel size of a convolution or a pooling, elements.
        groups: of a convolution.
    """

    name: str
    layer: str
    reads: tuple[Array, ...]
    writes: tuple[Array, ...]
    product: Kernel | None = None
    fixed: bool = False
    inplace: bool = False
    taps: int = 1
    groups: int = 1

    @property
    def activations(self) -> Iterator[Array]:
        """What it reads of the network's work, not of its parameters."""
        return (array for array in self.reads if not array.parameter)

    @property
    def parameters(self) -> Iterator[Array]:
        """What it reads of the network's parameters."""
        return (array for array in self.reads if array.parameter)


Graph = tuple[Op, ...]
"""Operators in order of execution."""
