"""The space: counted, drawn from, encoded and explained, against brute force on small ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from scipy.stats import chisquare

from search_spaces.architecture import Architecture, OpSetting
from search_spaces.errors import UserError
from search_spaces.space import SearchSpace
from tests.search_spaces_tests.spaces import (
    CARDS,
    SMALL,
    TOME,
    WINDOW,
    declared,
    default_space,
    every_architecture,
    space_of,
)

ROOT = Path(__file__).resolve().parents[2]
small = pytest.mark.parametrize("space", SMALL.values(), ids=SMALL.keys())


@pytest.fixture(scope="module")
def default():
    return default_space()


@small
def test_cardinality_is_the_number_of_architectures(space):
    listed = list(every_architecture(space))
    assert space.cardinality() == len(listed) == len({a.digest() for a in listed})


def test_the_default_space_holds_a_billion_architectures(default):
    assert default.cardinality() >= 10**9


def test_cardinality_of_heads_is_what_a_hand_counts():
    # softmax: 2 heads × 2 ratios, none: 1 × 2; a stage must mix once: 4 + (6² − 2²).
    space = SMALL["heads and ratios, heads inactive for none"]
    assert space.cardinality() == 4 + 36 - 4


@small
def test_draws_are_legal_and_reach_every_architecture(space):
    everything = {a.digest() for a in every_architecture(space)}
    rng = np.random.default_rng(3)
    rows = space.sample_genes(rng, 60 * len(everything))
    drawn = [space.decode(row) for row in np.unique(rows, axis=0)]
    assert all(space.contains(a) for a in drawn)
    assert {a.digest() for a in drawn} == everything


@pytest.mark.parametrize("name", ["two patches, one too coarse for a reduction", "two stages"])
def test_uniform_over_architectures_is_uniform(name):
    space = SMALL[name]
    rng = np.random.default_rng(5)
    draws = 30 * space.cardinality()
    counts = Counter(space.sample(rng, uniform="architectures").digest() for _ in range(draws))
    assert len(counts) == space.cardinality()
    assert chisquare(list(counts.values())).pvalue > 0.01


def test_uniform_per_gene_is_not_uniform_over_architectures():
    # Otherwise the test above would not tell the two apart.
    space = SMALL["two stages"]
    rows = space.sample_genes(np.random.default_rng(5), 30 * space.cardinality())
    _, counts = np.unique(rows, axis=0, return_counts=True)
    assert chisquare(counts).pvalue < 1e-6


@small
def test_encoding_and_decoding_are_inverse_and_rows_are_canonical(space):
    rows = []
    for architecture in every_architecture(space):
        row = space.encode(architecture)
        assert space.decode(row) == architecture
        rows.append(row)
    rows_BG = np.stack(rows)
    assert len(np.unique(rows_BG, axis=0)) == len(rows)
    assert (space.repair(rows_BG)[0] == rows_BG).all()


def test_draws_of_the_default_space_survive_the_codec(default):
    rows = default.sample_genes(np.random.default_rng(0), 200)
    for row in rows:
        assert (default.encode(default.decode(row)) == row).all()


def test_genes_without_effect_are_zero(default):
    for row in default.sample_genes(np.random.default_rng(1), 100):
        architecture = default.decode(row)
        for layer in range(max(default.spec.stages[0].depth)):
            start = default.layout.layer_start(0, layer)
            if layer >= architecture.depth:
                assert (row[start : start + 4] == 0).all()
            elif architecture.stages[0].blocks[layer].attention.op == "none":
                assert row[start + 1] == 0


def test_mutants_and_children_are_legal(default):
    rng = np.random.default_rng(2)
    parents = default.sample_genes(rng, 200)
    mutants = default.mutate(parents, rng, 0.3)
    children = default.crossover(parents[:100], parents[100:], rng)
    for row in (*mutants, *children):
        assert default.contains(default.decode(row))
    assert (default.mutate(parents, rng, 0.0) == parents).all()
    assert (mutants != parents).any(axis=1).mean() > 0.9


# -- the ends ---------------------------------------------------------------------------------


def test_the_ends_are_the_ends_of_every_ordered_gene(default):
    stage = default.spec.stages[0]
    largest, smallest = default.largest(), default.smallest()
    for end, pick, patch in ((largest, max, 4), (smallest, min, 8)):
        assert end.patch_size == patch
        assert end.depth == pick(stage.depth)
        assert end.stages[0].width == pick(stage.width)
        for block in end.stages[0].blocks:
            assert block.attention.op == "softmax"
            assert block.reduction.op == "none"
            assert block.heads == pick(stage.heads)
            assert block.mlp_hidden == int(end.stages[0].width * pick(stage.mlp_ratio))


def test_the_ends_take_categorical_choices(default):
    end = default.largest(attention="hilo(alpha=0.5,window=2)", patch_size=4)
    assert {block.attention.op for block in end.stages[0].blocks} == {"hilo"}
    assert default.largest(patch_size=8).patch_size == 8


def test_the_ends_refuse_an_operator_that_is_no_choice(default):
    with pytest.raises(UserError, match=r"did you mean 'softmax'\?"):
        default.largest(attention="sofmax")


def test_the_ends_exist_without_softmax_and_without_none():
    space = space_of([{"depth": [1], "attention": [WINDOW], "reduction": ["pool2d"]}])
    assert space.contains(space.largest())
    assert space.contains(space.smallest())


# -- trials -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [None, "two stages"])
def test_an_optuna_trial_rebuilds_the_architecture_from_its_parameters(default, name):
    space = default if name is None else SMALL[name]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    made = []
    for _ in range(30):
        trial = study.ask()
        made.append(space.suggest(trial))
        study.tell(trial, 0.0)
    assert any(suggestion.repairs for suggestion in made)
    for stored, suggestion in zip(study.trials, made, strict=True):
        assert space.contains(suggestion.architecture)
        again = space.suggest(optuna.trial.FixedTrial(stored.params))
        assert again == suggestion
    assert len({tuple(trial.params) for trial in study.trials}) == 1


def test_repairs_name_the_gene_what_was_asked_and_what_was_taken():
    space = space_of(
        [{"depth": [2], "attention": ["softmax", WINDOW], "reduction": ["none", TOME]}],
        position=["none"],
    )
    asked = {gene.name: gene.choices[0] for gene in space.genes}
    asked["stage0.layer0.reduction"] = "tome(keep=0.5)"
    asked["stage0.layer1.attention"] = "window(size=2)"  # its grid is gone
    suggestion = space.suggest(optuna.trial.FixedTrial(asked))
    assert suggestion.repairs == ("stage0.layer1.attention: window(size=2) → softmax",)
    assert suggestion.architecture.stages[0].blocks[0].reduction == OpSetting.of("tome", keep=0.5)


def test_repairs_are_no_part_of_the_digest():
    space = SMALL["two stages"]
    legal = space.sample(np.random.default_rng(0))
    params = {
        gene.name: gene.choices[i] for gene, i in zip(space.genes, space.encode(legal), strict=True)
    }
    suggestion = space.suggest(optuna.trial.FixedTrial(params))
    assert suggestion.repairs == ()
    assert suggestion.architecture.digest() == legal.digest()


# -- reasons ----------------------------------------------------------------------------------

ASKED = space_of(
    [
        {
            "depth": [1, 2],
            "heads": [1, 2],
            "attention": ["softmax", WINDOW, "none"],
            "reduction": ["none", TOME],
        }
    ],
    position=["none", "peg"],
)


def changed(block=0, **changes):
    """The largest architecture of ``ASKED`` with one block changed."""
    largest = replace(ASKED.largest(), position=OpSetting("none"))
    stage = largest.stages[0]
    blocks = list(stage.blocks)
    blocks[block] = replace(blocks[block], **changes)
    return replace(largest, stages=(replace(stage, blocks=tuple(blocks)),))


NONE, SOFTMAX, WINDOWS = OpSetting("none"), OpSetting("softmax"), OpSetting.of("window", size=2)
HALF = OpSetting.of("tome", keep=0.5)


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [
        (replace(changed(), channels=3), "channels=3, not 1"),
        (replace(changed(), image_size=(8, 16)), "image_size=(8, 16), not (8, 8)"),
        (replace(changed(), pooling="class"), "pooling=class, not mean"),
        (replace(changed(), special_tokens=1), "special_tokens=1, not 0"),
        (replace(changed(), norm_eps=1e-5), "norm_eps=1e-05"),
        (replace(changed(), patch_size=4), "patch_size=4 is no choice"),
        (replace(changed(), position=OpSetting("table")), "position=table is no choice"),
        (replace(changed(), stages=changed().stages * 2), "2 stages, not 1"),
        (changed(heads=3), "stage 0: layer 0: heads=3 is no choice"),
        (changed(head_dim=16), "layer 0: head_dim=16 is no choice"),
        (changed(attention=NONE), "layer 0: heads=2 is no choice"),
        (changed(mlp_hidden=17), "layer 0: mlp hidden=17 is no choice"),
        (changed(1, attention=OpSetting("separable")), "layer 1: attention=separable is no choice"),
        (changed(attention=OpSetting.of("window", size=4)), "attention=window(size=4) is no"),
        (changed(reduction=OpSetting("pool2d")), "layer 0: reduction=pool2d is no choice"),
        (
            replace(changed(reduction=HALF), position=OpSetting("peg")),
            "stage 0, layer 0: position peg behind this layer needs a grid",
        ),
        (
            replace(
                changed(),
                stages=(replace(changed().stages[0], blocks=changed().stages[0].blocks * 2),),
            ),
            "depth=4 is no choice",
        ),
        (
            replace(changed(), stages=(replace(changed().stages[0], width=24),)),
            "width=24 is no choice",
        ),
    ],
)
def test_the_reason_why_not_names_place_field_and_value(architecture, reason):
    assert reason in ASKED.why_not(architecture)
    assert not ASKED.contains(architecture)
    with pytest.raises(UserError, match="is not in the space"):
        ASKED.encode(architecture)


def test_the_reason_of_the_walk_is_the_layer_that_fails():
    first = replace(changed().stages[0].blocks[0], reduction=HALF)
    second = replace(changed().stages[0].blocks[1], attention=WINDOWS)
    stage = replace(changed().stages[0], blocks=(first, second))
    reason = ASKED.why_not(replace(changed(), stages=(stage,)))
    assert reason.startswith("stage 0, layer 1: attention window(size=2) needs a grid")


def test_a_stage_that_mixes_nothing_is_illegal():
    dull = replace(changed().stages[0].blocks[0], attention=NONE, heads=0, head_dim=0)
    stage = replace(changed().stages[0], blocks=(dull, dull))
    reason = ASKED.why_not(replace(changed(), stages=(stage,)))
    assert reason == "stage 0: no layer passes information between tokens"


# -- names ------------------------------------------------------------------------------------


BY_HAND = """
from search_spaces.card import AttentionCard, Cards, EmbeddingCard, PositionCard, ReductionCard
from search_spaces.card import unchanged
from search_spaces.space import SearchSpace

cards = Cards(
    attention={
        name: AttentionCard(
            name=name, summary="", kernels=None, family="x", choices={"b": (1,), "a": (0.5,)}
        )
        for name in ("mix", "blend")
    },
    reduction={"none": ReductionCard(name="none", summary="", after=unchanged, kernels=None)},
    transition={},
    position={"peg": PositionCard(name="peg", summary="", kernels=None)},
    embedding={
        "conv": EmbeddingCard(
            name="conv", summary="", kernels=None, grid=lambda size, patch, setting: (4, 4)
        )
    },
)
stage = {"width": [16], "depth": [2], "heads": [1], "mlp_ratio": [1], "attention": ["mix", "blend"]}
data = {"image_size": 8, "channels": 1, "head_dim": 8, "patch_size": [2], "stages": [stage]}
space = SearchSpace(data, cards)
print(space.digest(), space.largest().digest(), hash("changes"))
"""


def test_digests_are_equal_in_every_process():
    found = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", BY_HAND],
            capture_output=True,
            text=True,
            env=environment,
            check=True,
        )
        found.append(done.stdout.split())
    assert found[0][:2] == found[1][:2]
    assert found[0][2] != found[1][2]  # the two processes do hash differently


def test_the_digest_changes_with_every_choice():
    changes = [
        {"patch_size": [4]},
        {"min_tokens": 2},
        {"position": ["none"]},
        {"norm_eps": 1e-5},
        {"stages": [{"heads": [2]}]},
        {"stages": [{"reduction": ["none", TOME]}]},
    ]
    digests = {space_of(**change).digest() for change in [{}, *changes]}
    assert len(digests) == 1 + len(changes)


def test_a_space_is_rebuilt_from_its_data(default):
    again = SearchSpace(json.loads(json.dumps(default.to_dict())), CARDS)
    assert again.digest() == default.digest()
    assert again.cardinality() == default.cardinality()


def test_what_was_declared_cannot_be_changed_from_outside():
    data = declared()
    space = SearchSpace(data, CARDS)
    digest = space.digest()
    data["stages"][0]["width"].append(64)
    space.to_dict()["patch_size"] = [4]
    assert SearchSpace(space.to_dict(), CARDS).digest() == digest


def test_the_default_space_offers_no_choice_that_is_never_legal(default):
    drawn = [default.decode(row) for row in default.sample_genes(np.random.default_rng(4), 1000)]
    stage = default.spec.stages[0]
    blocks = [block for architecture in drawn for block in architecture.stages[0].blocks]
    assert {block.attention for block in blocks} == set(stage.attention)
    assert {block.reduction for block in blocks} == set(stage.reduction)
    assert {architecture.patch_size for architecture in drawn} == set(default.spec.patch_size)


def test_members_are_architectures(default):
    member = default.sample(np.random.default_rng(0))
    assert isinstance(member, Architecture)
    assert default.contains(Architecture.from_dict(json.loads(member.canonical_json())))


def test_choices_that_no_layer_can_take_are_named_with_a_reason() -> None:
    reductions = ["none", {"op": "tome", "keep": [0.5]}, {"op": "ats", "keep": [0.0, 0.5]}]
    mixers = ["softmax", {"op": "window", "size": [2, 3]}, "none"]

    space = space_of([{"attention": mixers, "reduction": reductions}], position=["none"])
    found = space.membership.legal_nowhere()

    assert list(found) == ["stages[0] window(size=3)", "stages[0] ats(keep=0.0)"]
    assert "needs 0 < keep" in found["stages[0] ats(keep=0.0)"]
    assert "3" in found["stages[0] window(size=3)"]
