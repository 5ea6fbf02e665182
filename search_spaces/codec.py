"""Between gene rows and architectures."""

from __future__ import annotations

import numpy as np

from search_spaces.architecture import Architecture, Block, Stage
from search_spaces.automaton import BoolArray, IntArray
from search_spaces.card import Cards
from search_spaces.genes import GeneLayout


class Codec:
    """Decodes legal rows and encodes members of the space; neither checks."""

    def __init__(self, layout: GeneLayout, cards: Cards) -> None:
        self.layout = layout
        self.spec = layout.spec
        self.cards = cards

    def decode(self, genes_G: IntArray) -> Architecture:
        """The architecture of a legal row."""
        spec = self.spec
        row = [int(value) for value in genes_G]
        return Architecture(
            image_size=spec.image_size,
            channels=spec.channels,
            patch_size=spec.patch_size[row[0]],
            embedding=spec.embedding[row[1]],
            position=spec.position[row[2]],
            special_tokens=spec.special_tokens,
            pooling=spec.pooling,
            norm_eps=spec.norm_eps,
            stages=tuple(self._decode_stage(row, s) for s in range(len(spec.stages))),
        )

    def _decode_stage(self, row: list[int], number: int) -> Stage:
        spec, column = self.spec.stages[number], self.layout.stage_start[number]
        width = spec.width[row[column + 1]]
        blocks = []
        for layer in range(spec.depth[row[column + 2]]):
            start = self.layout.layer_start(number, layer)
            attention = spec.attention[row[start]]
            has_heads = self.cards.attention[attention.op].has_heads
            blocks.append(
                Block(
                    attention=attention,
                    heads=spec.heads[row[start + 1]] if has_heads else 0,
                    head_dim=self.spec.head_dim if has_heads else 0,
                    mlp_hidden=spec.hidden(width, spec.mlp_ratio[row[start + 2]]),
                    reduction=spec.reduction[row[start + 3]],
                )
            )
        return Stage(width=width, blocks=tuple(blocks), transition=spec.transition[row[column]])

    def encode(self, architecture: Architecture) -> IntArray:
        """The canonical gene row ``(G,)`` of a member of the space."""
        spec = self.spec
        row = np.zeros(len(self.layout.genes), dtype=np.int64)
        row[0] = spec.patch_size.index(architecture.patch_size)
        row[1] = spec.embedding.index(architecture.embedding)
        row[2] = spec.position.index(architecture.position)
        for number, stage in enumerate(architecture.stages):
            choices, column = spec.stages[number], self.layout.stage_start[number]
            row[column] = choices.transition.index(stage.transition)
            row[column + 1] = choices.width.index(stage.width)
            row[column + 2] = choices.depth.index(len(stage.blocks))
            for layer, block in enumerate(stage.blocks):
                start = self.layout.layer_start(number, layer)
                hidden = [choices.hidden(stage.width, ratio) for ratio in choices.mlp_ratio]
                row[start] = choices.attention.index(block.attention)
                row[start + 1] = choices.heads.index(block.heads) if block.heads else 0
                row[start + 2] = hidden.index(block.mlp_hidden)
                row[start + 3] = choices.reduction.index(block.reduction)
        return row

    def active(self, genes_G: IntArray) -> list[bool]:
        """Which genes have an effect in a legal row."""
        found: list[bool] = self.active_rows(np.asarray(genes_G)[None])[0].tolist()
        return found

    def active_rows(self, genes_BG: IntArray) -> BoolArray:
        """The same for a batch of legal rows, ``(B, G)``."""
        active_BG = np.ones(genes_BG.shape, dtype=bool)
        for number, stage in enumerate(self.spec.stages):
            start, layers = self.layout.layer_start(number, 0), max(stage.depth)
            depth_B = np.array(stage.depth)[genes_BG[:, self.layout.stage_start[number] + 2]]
            alive_BL = np.arange(layers) < depth_B[:, None]
            active_BG[:, start : start + 4 * layers] = np.repeat(alive_BL, 4, axis=1)
            has_heads = [self.cards.attention[setting.op].has_heads for setting in stage.attention]
            attention_BL = genes_BG[:, start : start + 4 * layers : 4]
            heads = slice(start + 1, start + 4 * layers, 4)
            active_BG[:, heads] &= np.array(has_heads)[attention_BL]
        return active_BG
