"""Invariant 5: extracted models export to ONNX, and ONNX Runtime agrees."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from nas.export.onnx import export_onnx
from search_spaces.architecture import NONE, Architecture, Block, OpSetting, Stage
from supernet.attention import ATTENTIONS
from supernet.embedding import EMBEDDINGS
from supernet.extract import build_model
from supernet.position import POSITIONS
from supernet.token_reduction import REDUCTIONS
from supernet.transition import TRANSITIONS
from tests.contracts.cases import (
    CLASSES,
    HEAD_DIM,
    PLACES,
    Case,
    Place,
    settings_of,
    why_illegal,
)

TOLERANCE = 1e-4


def exportable(registry: object) -> list[OpSetting]:
    """The first setting of every operator that says it exports."""
    cards = [op.card for op in registry]  # type: ignore[attr-defined]
    return [settings_of(card)[0] for card in cards if card.exportable]


def network(place: Place, mixer: OpSetting, reduction: OpSetting, number: int) -> Architecture:
    """One layer of (mixer, reduction), plain attention behind; the rest by turns."""
    has_heads = ATTENTIONS[mixer.op].card.has_heads
    size = {"heads": 2 * has_heads, "head_dim": HEAD_DIM * has_heads, "mlp_hidden": 32}
    plain = Block(attention=OpSetting("softmax"), heads=2, head_dim=HEAD_DIM, mlp_hidden=32)
    first = Stage(width=16, blocks=(Block(attention=mixer, reduction=reduction, **size), plain))
    transitions = [t for t in exportable(TRANSITIONS) if t != NONE]
    second = Stage(width=24, blocks=(plain,), transition=transitions[number % len(transitions)])
    positions, embeddings = exportable(POSITIONS), exportable(EMBEDDINGS)
    options = (
        Architecture(
            image_size=place.image_size,
            channels=1,
            patch_size=place.patch_size,
            stages=stages,
            embedding=embeddings[number % len(embeddings)],
            position=positions[(number + turn) % len(positions)],
            special_tokens=place.special,
            pooling=place.pooling,
        )
        for stages in ((first, second), (first,))
        for turn in range(len(positions))
    )
    return next(a for a in options if why_illegal(a) is None)


def pairs() -> list[tuple[OpSetting, OpSetting]]:
    """Every mixer and every reduction at least once, together."""
    mixers, reductions = exportable(ATTENTIONS), exportable(REDUCTIONS)
    longest = max(len(mixers), len(reductions))
    return [(mixers[i % len(mixers)], reductions[i % len(reductions)]) for i in range(longest)]


def check_export(
    architecture: Architecture, images_at, place: Place, path: Path, *, dynamic: bool = True
) -> None:
    report = export_onnx(
        build_model(architecture, CLASSES),
        images_at(place),
        path / "m.onnx",
        dynamic_batch=dynamic,  # as best.onnx is, checked at batches of 1, 3 and 8; or as measured
        tolerance=TOLERANCE,
    )

    assert report.max_difference <= TOLERANCE


@pytest.mark.parametrize(
    ("number", "mixer", "reduction"),
    [(number, *pair) for number, pair in enumerate(pairs())],
    ids=[f"{mixer}-{reduction}" for mixer, reduction in pairs()],
)
def test_every_operator_exports_once(number, mixer, reduction, images_at, tmp_path) -> None:
    place = PLACES[number % 2]

    check_export(network(place, mixer, reduction, number), images_at, place, tmp_path)


@pytest.mark.parametrize("registry", [ATTENTIONS, REDUCTIONS, TRANSITIONS, POSITIONS, EMBEDDINGS])
def test_no_operator_is_excused_from_exporting(registry) -> None:
    """One whose card says that it does not export is to be named here, with the reason."""
    assert [op.name for op in registry if not op.card.exportable] == []


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
@pytest.mark.parametrize("position", exportable(POSITIONS), ids=str)
def test_every_position_exports_as_it_is_measured(position, place, images_at, tmp_path) -> None:
    architecture = Case(kind="position", setting=position).architecture(place)

    check_export(architecture, images_at, place, tmp_path, dynamic=False)


@pytest.mark.slow
def test_all_cases_export(case, place, images_at, tmp_path) -> None:
    architecture = case.architecture(place)
    settings = itertools.chain.from_iterable(
        (block.attention, block.reduction) for _, block in architecture.blocks()
    )
    for setting in settings:
        for registry in (ATTENTIONS, REDUCTIONS):
            if setting.op in registry and not registry[setting.op].card.exportable:
                pytest.skip(f"the card of {setting.op} says it does not export")

    check_export(architecture, images_at, place, tmp_path)
