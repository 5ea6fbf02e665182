"""The places and members at which every registered operator is tried.

Everything here is drawn from the registries: a new operator file, or a plug-in, is tried without
an edit.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from search_spaces.architecture import NONE, Architecture, Block, OpSetting, Stage
from search_spaces.automaton import SingleRules, walk
from search_spaces.card import Card
from supernet.attention import ATTENTIONS
from supernet.embedding import EMBEDDINGS
from supernet.operators import all_cards
from supernet.position import POSITIONS
from supernet.token_reduction import REDUCTIONS
from supernet.transition import TRANSITIONS

CLASSES = 5
HEAD_DIM = 8
WIDTHS = (24, 32)
HEADS = (1, 2, 3)
SHAPES = ((24, 1), (32, 3))
"""(width, heads) at which a case is built."""

SOFTMAX = OpSetting("softmax")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Images, patches and special tokens."""

    name: str
    image_size: tuple[int, int]
    patch_size: int
    special: int
    pooling: str


PLACES = (
    Place(name="16px_patch2", image_size=(16, 16), patch_size=2, special=0, pooling="mean"),
    Place(name="32px_patch4_class", image_size=(32, 32), patch_size=4, special=1, pooling="class"),
    Place(name="16x24px_patch4", image_size=(16, 24), patch_size=4, special=0, pooling="mean"),
    Place(name="16x32px_special2", image_size=(16, 32), patch_size=4, special=2, pooling="mean"),
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One operator with one setting, in the smallest network that shows it."""

    kind: str
    setting: OpSetting
    mixer: OpSetting = SOFTMAX

    def __str__(self) -> str:
        behind = f"-behind-{self.mixer}" if self.kind == "reduction" else ""
        return f"{self.kind}-{self.setting}{behind}"

    def architecture(self, place: Place, width: int = 32, heads: int = 3) -> Architecture:
        """The operator in the first layer, plain attention in the second."""
        mixer = self.setting if self.kind == "attention" else self.mixer
        reduction = self.setting if self.kind == "reduction" else NONE
        first, second = _block(mixer, heads, reduction), _block(SOFTMAX, heads)
        stages = (Stage(width=width, blocks=(first, second)),)
        if self.kind == "transition":
            other = WIDTHS[WIDTHS.index(width) - 1]
            stages = (
                Stage(width=other, blocks=(second,)),
                Stage(width=width, blocks=(second,), transition=self.setting),
            )
        return Architecture(
            image_size=place.image_size,
            channels=1,
            patch_size=place.patch_size,
            stages=stages,
            embedding=self.setting if self.kind == "embedding" else OpSetting("conv"),
            position=self.setting if self.kind == "position" else NONE,
            special_tokens=place.special,
            pooling=place.pooling,
        )

    @property
    def stages(self) -> int:
        """Stages of its network."""
        return 2 if self.kind == "transition" else 1


def _block(attention: OpSetting, heads: int, reduction: OpSetting = NONE) -> Block:
    has_heads = ATTENTIONS[attention.op].card.has_heads
    return Block(
        attention=attention,
        heads=heads * has_heads,
        head_dim=HEAD_DIM * has_heads,
        mlp_hidden=48,
        reduction=reduction,
    )


def settings_of(card: Card) -> list[OpSetting]:
    """All settings its default choices offer."""
    return [
        OpSetting.of(card.name, **dict(zip(card.choices, values, strict=True)))
        for values in itertools.product(*card.choices.values())
    ]


def why_illegal(architecture: Architecture) -> str | None:
    """The reason of the legality walk, or None."""
    rules = SingleRules(
        image_size=architecture.image_size, special_tokens=architecture.special_tokens
    )
    outcome = walk(rules, all_cards(), architecture)
    return outcome if isinstance(outcome, str) else None


def _mixers(reduction: Card, special: int) -> list[OpSetting]:
    """One mixer for every score the reduction can be handed, its fallback included."""
    by_score = {
        REDUCTIONS[reduction.name].card.score(op.card.gives_scores(special)): setting
        for op in ATTENTIONS
        for setting in settings_of(op.card)[:1]
    }
    return list(by_score.values())


def _all_cases() -> list[Case]:
    cases = [Case(kind="attention", setting=s) for op in ATTENTIONS for s in settings_of(op.card)]
    for op in REDUCTIONS:
        mixers = dict.fromkeys([*_mixers(op.card, 0), *_mixers(op.card, 1)])
        for setting, mixer in itertools.product(settings_of(op.card), mixers):
            cases.append(Case(kind="reduction", setting=setting, mixer=mixer))
    for kind, registry in (("position", POSITIONS), ("embedding", EMBEDDINGS)):
        cases += [Case(kind=kind, setting=s) for op in registry for s in settings_of(op.card)]
    cases += [
        Case(kind="transition", setting=s)
        for op in TRANSITIONS
        if op.name != "none"  # the entry of the first stage, in every other case
        for s in settings_of(op.card)
    ]
    return cases


CASES = _all_cases()
LEGAL = [
    (case, place)
    for case, place in itertools.product(CASES, PLACES)
    if why_illegal(case.architecture(place)) is None
]
LEGAL_IDS = [f"{case}-{place.name}" for case, place in LEGAL]


def is_fast(case: Case, place: Place) -> bool:
    """Whether the fast tier tries the case here: at half of the places, by turns.

    Either half has a square and a wide image, one of them with special tokens. A case that is
    legal in the other half alone is tried there.
    """
    halves = (PLACES[0], PLACES[3]), (PLACES[1], PLACES[2])
    turn = CASES.index(case) % 2
    legal = [other for other in halves[turn] if (case, other) in LEGAL]
    return place in (legal or halves[1 - turn])
