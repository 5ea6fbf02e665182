"""Why an architecture is not in a space, and why a space is empty: one reason in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from search_spaces.architecture import Architecture, OpSetting, Stage
from search_spaces.automaton import DEAD, Automaton, Node, cross, start_node, step, walk
from search_spaces.card import Cards
from search_spaces.spec import SpaceSpec, StageSpec


class Membership:
    """Explains what a declaration admits and what it does not."""

    def __init__(self, spec: SpaceSpec, cards: Cards, automaton: Automaton) -> None:
        self.spec = spec
        self.cards = cards
        self.automaton = automaton

    def why_not(self, architecture: Architecture) -> str | None:
        """Why an architecture is not in the space, or None if it is."""
        return self._why_choices(architecture) or self._why_illegal(architecture)

    def _why_choices(self, architecture: Architecture) -> str | None:
        spec = self.spec
        fixed = ("image_size", "channels", "special_tokens", "pooling", "norm_eps")
        for name in fixed:
            if getattr(architecture, name) != getattr(spec, name):
                return f"{name}={getattr(architecture, name)}, not {getattr(spec, name)}"
        for name in ("patch_size", "embedding", "position"):
            if getattr(architecture, name) not in getattr(spec, name):
                return f"{name}={getattr(architecture, name)} is no choice"
        if len(architecture.stages) != len(spec.stages):
            return f"{len(architecture.stages)} stages, not {len(spec.stages)}"
        for number, stage in enumerate(architecture.stages):
            reason = self._why_stage(number, stage)
            if reason is not None:
                return f"stage {number}: {reason}"
        return None

    def _why_stage(self, number: int, stage: Stage) -> str | None:
        choices = self.spec.stages[number]
        if stage.width not in choices.width:
            return f"width={stage.width} is no choice"
        if len(stage.blocks) not in choices.depth:
            return f"depth={len(stage.blocks)} is no choice"
        if stage.transition not in choices.transition:
            return f"transition={stage.transition} is no choice"
        hidden = [choices.hidden(stage.width, ratio) for ratio in choices.mlp_ratio]
        for layer, block in enumerate(stage.blocks):
            if block.attention not in choices.attention:
                return f"layer {layer}: attention={block.attention} is no choice"
            has_heads = self.cards.attention[block.attention.op].has_heads
            if (block.heads not in choices.heads) if has_heads else block.heads != 0:
                return f"layer {layer}: heads={block.heads} is no choice"
            if block.head_dim != (self.spec.head_dim if has_heads else 0):
                return f"layer {layer}: head_dim={block.head_dim} is no choice"
            if block.mlp_hidden not in hidden:
                return f"layer {layer}: mlp hidden={block.mlp_hidden} is no choice"
            if block.reduction not in choices.reduction:
                return f"layer {layer}: reduction={block.reduction} is no choice"
        return None

    def _why_illegal(self, architecture: Architecture) -> str | None:
        outcome = walk(self.spec, self.cards, architecture)
        return outcome if isinstance(outcome, str) else None

    def legal_nowhere(self) -> dict[str, str]:
        """Choices of layers that no layer may take, as ``stages[0] tome(r=90)``, with a reason."""
        found = dict[str, str]()
        for number, stage in enumerate(self.spec.stages):
            legal = self.automaton.steps[number] != DEAD
            pairs = [(a, r) for a in range(legal.shape[1]) for r in range(legal.shape[2])]
            for axis, choices in enumerate((stage.attention, stage.reduction)):
                for index, setting in enumerate(choices):
                    tried = [pair for pair in pairs if pair[axis] == index]
                    if setting.op in self.spec.excluded or any(
                        legal[:, a, r].any() for a, r in tried
                    ):
                        continue
                    found[f"stages[{number}] {setting}"] = self._why_nowhere(stage, tried)
        return found

    def _why_nowhere(self, stage: StageSpec, letters: Sequence[tuple[int, int]]) -> str:
        for node in self.automaton.nodes:
            for a, r in letters:
                attention, reduction = stage.attention[a], stage.reduction[r]
                after = step(
                    self.spec, self.cards, node, attention, reduction, self.spec.position[0]
                )
                if isinstance(after, str):
                    return after
        return "it never comes to that"

    def why_empty(self) -> str:
        """Why the space holds no architecture at all."""
        spec = self.spec
        for patch in spec.patch_size:
            for embedding in spec.embedding:
                for position in spec.position:
                    node = start_node(spec, self.cards, patch, embedding, position)
                    if isinstance(node, Node):
                        return self._why_stuck(node, position)
                    reason = node
        return reason

    def _why_stuck(self, node: Node, position: OpSetting) -> str:
        stage = self.spec.stages[0]
        if not any(self.cards.attention[a.op].mixes for a in stage.attention):
            return "no attention of it passes information between tokens"
        reason = "every depth ends in a dead end"
        for attention in stage.attention:
            for reduction in stage.reduction:
                after = step(self.spec, self.cards, node, attention, reduction, position)
                if isinstance(after, Node):
                    return self._why_no_way_on()
                reason = after
        return reason

    def _why_no_way_on(self) -> str:
        for number, crossing in enumerate(self.automaton.crossings[1:], start=1):
            left = [int(n) for n in np.unique(self.automaton.steps[number - 1]) if n != DEAD]
            if (crossing[left] == DEAD).all():
                for index in left:
                    for transition in self.spec.stages[number].transition:
                        reason = cross(self.cards, self.automaton.nodes[index], transition)
                        if isinstance(reason, str):
                            return f"stages[{number}]: {reason}"
        return "every depth ends in a dead end"
