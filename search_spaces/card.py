"""What an operator declares about itself, as values and pure functions without torch.

A card is written in the operator's own file. The search space asks it whether the operator may
stand at a place and what it does to the tokens; the cost model asks it for kernels and parameters;
the supernet allocates and slices by its parameter specs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from search_spaces.architecture import OpSetting, Value
from search_spaces.errors import bad_value
from search_spaces.workload import Count, Kernel, Sizes

Init = Literal["linear", "zeros", "ones", "normal"]
Rule = Literal["front", "centre", "patch", "grid"]
Hook = Literal["before_attention", "after_attention", "between_blocks"]
CLASS_SCORES = ("class", "significance")
"""Scores that need a class token."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """What the legality walk knows between two layers.

    Attributes:
        tokens: patch tokens.
        grid: (height, width) of the rectangle they form, or None.
        special: special tokens in front.
        merged: whether tokens may stand for different numbers of patches.
        ragged: whether images may have fewer tokens than ``tokens``, each a number of its own.
    """

    tokens: int
    grid: tuple[int, int] | None
    special: int = 0
    merged: bool = False
    ragged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterSpec:
    """One parameter of an operator.

    Attributes:
        name: its name in the extracted model.
        shape: its shape as a function of the layer's sizes.
        init: ``linear`` (truncated normal, variance by fan-in), ``normal`` (std 0.02), ``zeros``
            or ``ones``.
        rule: how it comes out of the shared master: from the ``front`` of every axis, from the
            ``centre`` of the last two (a window, a kernel) and the front of the others, or
            resampled as a ``patch`` kernel or a position ``grid``.
        master: name of the shared master; by default its own name.
        shared: whether the master belongs to the layer's share group rather than to the operator.
        start: where the slice starts in the master, per axis; by default at 0.
    """

    name: str
    shape: Callable[[Sizes], tuple[Count, ...]]
    init: Init = "linear"
    rule: Rule = "front"
    master: str | None = None
    shared: bool = False
    start: Callable[[Sizes], tuple[Count, ...]] | None = None


def always_legal(geometry: Geometry, setting: OpSetting) -> str | None:
    """The legality of an operator that may stand anywhere."""
    return None


def no_parameters(setting: OpSetting) -> tuple[ParameterSpec, ...]:
    """The specs of an operator without parameters of its own."""
    return ()


def unchanged(geometry: Geometry, setting: OpSetting) -> Geometry:
    """The effect of an operator that leaves the tokens as they are."""
    return geometry


def norm_specs(prefix: str) -> tuple[ParameterSpec, ...]:
    """Gain and shift of a layer norm over the width."""
    return (
        ParameterSpec(name=f"{prefix}_weight", shape=lambda s: (s.width,), init="ones"),
        ParameterSpec(name=f"{prefix}_bias", shape=lambda s: (s.width,), init="zeros"),
    )


def shared_matrix(name: str) -> tuple[ParameterSpec, ...]:
    """One of the projections that all attention types of a layer share: q, k, v or o.

    Whole heads come from the front, so a head means the same thing at every width.
    """
    if name == "o":
        return (
            ParameterSpec(name="o_weight", shape=lambda s: (s.width, s.inner), shared=True),
            ParameterSpec(name="o_bias", shape=lambda s: (s.width,), init="zeros", shared=True),
        )
    return (
        ParameterSpec(name=f"{name}_weight", shape=lambda s: (s.inner, s.width), shared=True),
        ParameterSpec(name=f"{name}_bias", shape=lambda s: (s.inner,), init="zeros", shared=True),
    )


def joint_bias(spec: ParameterSpec) -> ParameterSpec:
    """The bias of q, k or v as a part of one prefix ``[:3 · inner]`` of one master; other
    parameters as they are.
    """
    shared = ("q_bias", "k_bias", "v_bias")
    if not spec.shared or spec.name not in shared or spec.master is not None:
        return spec
    before = shared.index(spec.name)
    return replace(spec, master="qkv_bias", start=lambda s: (before * s.inner,))


@dataclass(frozen=True, kw_only=True)
class Card:
    """What every operator declares.

    Attributes:
        name: its name in spaces, files and on the command line.
        summary: one line for lists and tables.
        source: paper and place, or "common".
        choices: default values of its parameters; their product is what a space offers.
        alternatives: further parameters, each of which replaces those of ``choices``.
        rejects: why it may not stand at this place, or None.
        parameters: specs of its own parameters.
        exportable: whether it exports to ONNX.
        gradient_free: parameters whose gradient may be zero by the maths (a key bias, say).
    """

    name: str
    summary: str
    source: str = "common"
    choices: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    alternatives: tuple[str, ...] = ()
    rejects: Callable[[Geometry, OpSetting], str | None] = always_legal
    parameters: Callable[[OpSetting], tuple[ParameterSpec, ...]] = no_parameters
    exportable: bool = True
    gradient_free: tuple[str, ...] = ()

    def parameters_allowed(self) -> set[str]:
        """The names its settings may use."""
        return {*self.choices, *self.alternatives}


@dataclass(frozen=True, kw_only=True)
class AttentionCard(Card):
    """A token mixer.

    Attributes:
        kernels: its work behind the norm, given sizes, setting and the score a reduction wants.
        family: operators of one family share weights under ``share: family``.
        has_heads: whether heads exist (they set the inner width).
        mixes: whether information passes between tokens.
        needs_grid: whether tokens must form a rectangle.
        gives: scores it can hand to a reduction: ``class``, ``significance``, ``received``,
            ``context``, ``key_mean``.
        shared: which of the shared matrices it uses whole, out of q, k, v, o.
        relative: whether it reads the tables of a position that acts inside of attention.
        identity: whether it does nothing at all (then it has no norm either).
    """

    kernels: Callable[[Sizes, OpSetting, str | None], list[Kernel]]
    family: str
    has_heads: bool = True
    mixes: bool = True
    needs_grid: bool = False
    gives: tuple[str, ...] = ()
    shared: tuple[str, ...] = ("q", "k", "v", "o")
    relative: bool = False
    identity: bool = False

    def gives_scores(self, special: int) -> tuple[str, ...]:
        """The scores it gives with this many special tokens: some are the class token's."""
        return tuple(name for name in self.gives if special or name not in CLASS_SCORES)

    def specs(self, setting: OpSetting) -> tuple[ParameterSpec, ...]:
        """All its parameters: the private norm, the shared matrices it uses, its own extras."""
        if self.identity:
            return ()
        shared = tuple(spec for name in self.shared for spec in shared_matrix(name))
        return (*norm_specs("norm"), *shared, *self.parameters(setting))


@dataclass(frozen=True, kw_only=True)
class ReductionCard(Card):
    """A token reduction.

    Attributes:
        after: the tokens behind it.
        kernels: its work, given the sizes before and after it, its setting and the score it is
            handed (None: it uses its fallback).
        hook: where in the block it acts.
        wants: the scores it can use, best first; with none of them it uses ``fallback``.
        fallback: the score it computes from the tokens themselves.
        varies: whether the number of tokens behind it depends on the image.
    """

    after: Callable[[Geometry, OpSetting], Geometry]
    kernels: Callable[[Sizes, Sizes, OpSetting, str | None], list[Kernel]]
    hook: Hook = "after_attention"
    wants: tuple[str, ...] = ()
    fallback: str | None = None
    varies: bool = False

    def score(self, gives: tuple[str, ...]) -> str | None:
        """The score it will use behind an attention that gives these; None if it needs none."""
        return next((name for name in self.wants if name in gives), None)


@dataclass(frozen=True, kw_only=True)
class TransitionCard(Card):
    """How tokens pass from one stage to the next. ``sizes.width_in`` is the stage before."""

    after: Callable[[Geometry, OpSetting], Geometry]
    kernels: Callable[[Sizes, OpSetting], list[Kernel]]
    mixes: bool = False


@dataclass(frozen=True, kw_only=True)
class PositionCard(Card):
    """Where positions come from.

    Attributes:
        kernels: its work.
        after_block: applied behind this block, counted from 0; -1 is the input.
        needs_grid: whether tokens must form a rectangle there.
        inside: parameters it puts into every layer's attention, which must be one that reads
            them (``relative``) on tokens that form a rectangle; their work is that attention's.
    """

    kernels: Callable[[Sizes, OpSetting], list[Kernel]]
    after_block: int = -1
    needs_grid: bool = False
    inside: Callable[[OpSetting], tuple[ParameterSpec, ...]] | None = None


@dataclass(frozen=True, kw_only=True)
class EmbeddingCard(Card):
    """How patches become tokens.

    Attributes:
        grid: (height, width) of tokens for an image size and a patch size; None where the patch
            does not fit the image.
        kernels: its work.
    """

    grid: Callable[[tuple[int, int], int, OpSetting], tuple[int, int] | None]
    kernels: Callable[[Sizes, OpSetting], list[Kernel]]


@dataclass(frozen=True, kw_only=True)
class Cards:
    """The cards a search space is given, by name and kind."""

    attention: Mapping[str, AttentionCard]
    reduction: Mapping[str, ReductionCard]
    transition: Mapping[str, TransitionCard]
    position: Mapping[str, PositionCard]
    embedding: Mapping[str, EmbeddingCard]


def as_choice(field: str, value: Any, like: Value) -> Value:
    """A parameter's value, held against the kind of another; a whole number may be a share.

    Raises:
        UserError: names ``field``, the value and what is allowed.
    """
    if isinstance(like, float):
        known, words = isinstance(value, int | float) and math.isfinite(value), "a number"
    elif isinstance(like, int) and not isinstance(like, bool):
        known, words = isinstance(value, int), "a whole number"
    else:
        known, words = isinstance(value, type(like)), f"like {like!r}"
    if not known or isinstance(value, bool) != isinstance(like, bool):
        raise bad_value(field, value, words)
    made: Value = float(value) if isinstance(like, float) else value
    return made
