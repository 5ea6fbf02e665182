"""Whether an architecture names operators that exist, with parameters that are theirs.

A space offers nothing else; files that were written by hand may hold anything.
"""

from __future__ import annotations

from search_spaces.architecture import Architecture, Block, OpSetting
from search_spaces.card import Card, as_choice
from search_spaces.errors import UserError, bad_value, unknown_name
from supernet.attention import ATTENTIONS
from supernet.embedding import EMBEDDINGS
from supernet.position import POSITIONS
from supernet.token_reduction import REDUCTIONS
from supernet.transition import TRANSITIONS


def check_operators(architecture: Architecture) -> None:
    """Check every operator and its parameters.

    Raises:
        UserError: the first that is unknown, missing or of the wrong kind.
    """
    if architecture.pooling == "class" and architecture.special_tokens == 0:
        raise bad_value("pooling", "class", "mean where special_tokens is 0")
    _check(EMBEDDINGS[architecture.embedding.op].card, architecture.embedding, "embedding")
    _check(POSITIONS[architecture.position.op].card, architecture.position, "position")
    for number, stage in enumerate(architecture.stages):
        place = f"stages[{number}]"
        _check(TRANSITIONS[stage.transition.op].card, stage.transition, f"{place}.transition")
        for layer, block in enumerate(stage.blocks):
            _check_block(block, f"{place}.blocks[{layer}]")


def _check_block(block: Block, place: str) -> None:
    card = ATTENTIONS[block.attention.op].card
    _check(card, block.attention, f"{place}.attention")
    _check(REDUCTIONS[block.reduction.op].card, block.reduction, f"{place}.reduction")
    for name, value in (("heads", block.heads), ("head_dim", block.head_dim)):
        if (value > 0) != card.has_heads:
            allowed = "1 or more" if card.has_heads else f"0, {card.name} has none"
            raise bad_value(f"{place}.attention.{name}", value, allowed)


def _check(card: Card, setting: OpSetting, place: str) -> None:
    for name, value in setting.params:
        if name not in card.parameters_allowed():
            known = card.parameters_allowed()
            raise unknown_name(f"{place}: {card.name} parameter", name, known)
        as_choice(f"{place}: {card.name}.{name}", value, card.choices.get(name, (0,))[0])
    missing = sorted(card.choices.keys() - dict(setting.params).keys())
    if missing and not card.alternatives:
        raise UserError(f"{place}: the parameter {missing[0]} of {card.name} is missing")
