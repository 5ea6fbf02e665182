"""A small search problem by hand: a space, free metrics, an evaluator. No images, no weights."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nas.evaluation import EvaluationKey
from nas.executors import Arrays
from search_spaces.architecture import Architecture, Block, OpSetting, Stage
from search_spaces.errors import UserError
from search_spaces.space import SearchSpace, Suggestion, Trial


def architecture(
    width: int = 32, heads: Sequence[int] = (1, 2), ops: Sequence[str] = ("softmax", "none")
) -> Architecture:
    blocks = tuple(
        Block(attention=OpSetting.of(op), heads=h, head_dim=8, mlp_hidden=2 * width)
        for h, op in zip(heads, ops, strict=True)
    )
    return Architecture(
        image_size=(16, 16),
        channels=1,
        patch_size=4,
        stages=(Stage(width=width, blocks=blocks),),
    )


def free_metrics(candidate: Architecture) -> dict[str, float]:
    inner = sum(block.inner for _, block in candidate.blocks())
    width = candidate.stages[0].width
    return {
        "latency_ms": 0.1 + 0.01 * inner + 0.005 * width * candidate.depth,
        "peak_memory_mb": 0.02 * width + 0.001 * inner,
        "params": float(4 * width * inner + 4 * width * width * candidate.depth),
        "macs": float(16 * width * inner),
    }


def accuracy_of(candidate: Architecture) -> float:
    mixed = sum(block.attention.op == "softmax" for _, block in candidate.blocks())
    inner = sum(block.inner for _, block in candidate.blocks())
    noise = int(candidate.digest()[:4], 16) / 0xFFFF
    return (
        1 - 1 / (1 + 0.02 * inner + 0.3 * mixed + 0.01 * candidate.stages[0].width) + 0.02 * noise
    )


SPACE: dict[str, Any] = {
    "image_size": [16, 16],
    "channels": 1,
    "head_dim": 8,
    "patch_size": [4],
    "stages": [
        {
            "width": [16, 32, 64],
            "depth": [1, 2, 3],
            "heads": [1, 2, 4, 8],
            "mlp_ratio": [2],
            "attention": ["softmax", "none"],
        }
    ],
}


@dataclass(frozen=True)
class ToyProblem:
    """A problem over ``SPACE``.

    Attributes:
        genes: further parameters without effect, to make a study as wide as one likes.
        declared: the space.
    """

    space_digest: str = "toy"
    identity: Mapping[str, Any] = field(default_factory=lambda: {"weights": "w0"})
    provenance: Mapping[str, Any] = field(default_factory=lambda: {"code": "test"})
    genes: int = 0
    declared: Mapping[str, Any] = field(default_factory=lambda: SPACE)

    @cached_property
    def space(self) -> SearchSpace:
        from supernet.operators import all_cards  # torch: not for the workers

        return SearchSpace(self.declared, all_cards())

    def suggest(self, trial: Trial) -> Suggestion:
        for extra in range(self.genes):
            trial.suggest_categorical(f"extra{extra}", [0, 1, 2, 3])
        return self.space.suggest(trial)

    def free(self, architectures: Sequence[Architecture]) -> list[dict[str, float]]:
        return [free_metrics(candidate) for candidate in architectures]

    def columns(self, genes_BG: Any) -> dict[str, Any]:
        rows = self.free([self.space.decode(row) for row in genes_BG])
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    def key(self, candidate: Architecture, metric: str) -> EvaluationKey:
        return EvaluationKey(
            weights="w0", architecture=candidate.digest(), metric=metric, split="val"
        )


@dataclass(frozen=True)
class ToyFactory:
    """Builds an evaluator that misbehaves for chosen digests.

    Attributes:
        log: a file that gets one line per evaluation, before it.
        steps: say so on standard output and wait for a byte on standard input, each time.
        raises, nans, hangs: digests.
        dies: digest of an architecture whose evaluation kills its process ...
        died: ... unless this file exists, which it makes first.
    """

    log: str | None = None
    steps: bool = False
    raises: frozenset[str] = frozenset()
    nans: frozenset[str] = frozenset()
    hangs: frozenset[str] = frozenset()
    dies: str | None = None
    died: str | None = None

    def shared(self) -> Arrays:
        return {}

    def build(self, shared: Arrays) -> ToyEvaluator:
        return ToyEvaluator(self)


class ToyEvaluator:
    def __init__(self, factory: ToyFactory) -> None:
        self.factory = factory

    def evaluate(self, candidate: Architecture) -> dict[str, float]:
        how, digest = self.factory, candidate.digest()
        if how.log is not None:
            with Path(how.log).open("a") as file:
                file.write(f"{digest}\n")
        if how.steps:
            os.write(1, b"!")
            os.read(0, 1)
        if digest in how.raises:
            raise ArithmeticError("two\nlines")
        if digest in how.hangs:
            while True:
                time.sleep(60)
        if digest == how.dies and (how.died is None or not Path(how.died).exists()):
            if how.died is not None:
                Path(how.died).touch()
            os._exit(1)
        return {"accuracy": float("nan") if digest in how.nans else accuracy_of(candidate)}


class BrokenFactory(ToyFactory):
    def build(self, shared: Arrays) -> ToyEvaluator:
        raise UserError("weights.safetensors: no such file")
