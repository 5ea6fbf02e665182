"""The members of a training step: the sandwich, and balanced rounds of operator types."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

import numpy as np
import pytest

from search_spaces.architecture import OpSetting
from supernet.training.sampling import MemberSampler, Rounds
from tests.search_spaces_tests.spaces import SMALL, TOME, WINDOW, default_space, space_of

STEPS = 1000


@pytest.fixture(scope="module")
def default():
    return default_space()


@pytest.fixture(scope="module")
def thousand(default):
    """The sandwiches of 1,000 steps."""
    sampler = MemberSampler(default, seed=0, random_members=1)
    return [sampler.draw(step) for step in range(STEPS)]


def recount(space, members):
    """Per kind and layer: updates of each type, and the draws in which it was one of several.

    Counted from the members alone, along their walks.
    """
    updates, draws = defaultdict(Counter), defaultdict(Counter)
    stage = space.spec.stages[0]
    for member in members:
        node = int(space.automaton.start[tuple(space.encode(member)[:3])])
        for layer, block in enumerate(member.stages[0].blocks):
            feasible = space.walker.feasible(0, member.depth - layer - 1)[node]
            attention = stage.attention.index(block.attention)
            reduction = stage.reduction.index(block.reduction)
            for kind, choices, legal, chosen in (
                ("attention", stage.attention, feasible.any(axis=1), block.attention.op),
                ("reduction", stage.reduction, feasible[attention], block.reduction.op),
            ):
                types = {choices[i].op for i in np.flatnonzero(legal)}
                assert chosen in types
                if len(types) > 1:
                    draws[kind, layer].update(types)
                    updates[kind, layer][chosen] += 1
            node = int(space.automaton.steps[0][node, attention, reduction])
    return updates, draws


def test_every_type_gets_its_share_of_the_draws_in_which_it_was_legal(default, thousand):
    updates, draws = recount(default, [sandwich.students[1] for sandwich in thousand])
    depth = max(default.spec.stages[0].depth)
    assert len(draws) == 2 * depth
    for place, legal in draws.items():
        assert len(legal) > 1
        shares = {name: updates[place][name] / count for name, count in legal.items()}
        middle = np.median(list(shares.values()))
        for name, count in legal.items():
            # 5 %, or the one update that a round in progress may be ahead.
            assert abs(updates[place][name] - middle * count) <= max(0.05 * middle * count, 1.5), (
                place,
                name,
                shares,
            )


def test_settings_of_a_type_are_balanced_too(thousand):
    counts = Counter(
        block.attention
        for sandwich in thousand
        for block in sandwich.students[1].stages[0].blocks[:1]
        if sandwich.students[1].patch_size == 4 and block.attention.op == "window"
    )
    two, four = counts[OpSetting.of("window", size=2)], counts[OpSetting.of("window", size=4)]
    assert abs(two - four) <= 1
    assert two > 20


def test_patches_take_turns(thousand):
    counts = Counter(sandwich.students[1].patch_size for sandwich in thousand)
    assert counts == {4: STEPS // 2, 8: STEPS // 2}


def test_sizes_are_drawn_evenly(default, thousand):
    for values, drawn in (
        (default.spec.stages[0].width, [s.students[1].stages[0].width for s in thousand]),
        (default.spec.stages[0].depth, [s.students[1].depth for s in thousand]),
    ):
        counts = Counter(drawn)
        assert set(counts) == set(values)
        assert max(counts.values()) < 1.4 * min(counts.values())


def test_the_sandwich_is_teacher_smallest_and_random_ones(default):
    sandwich = MemberSampler(default, seed=1, random_members=3).draw(0)
    stage = default.spec.stages[0]
    assert sandwich.teacher == default.largest()
    assert {(b.attention.op, b.reduction.op) for b in sandwich.teacher.stages[0].blocks} == {
        ("softmax", "none")
    }
    assert sandwich.teacher.depth == max(stage.depth)
    assert sandwich.students[0] == default.smallest()
    assert sandwich.students[0].depth == min(stage.depth)
    assert len(sandwich.students) == 4
    assert all(default.contains(member) for member in sandwich.students)


def test_a_draw_depends_on_seed_and_step_and_the_counts_so_far(default):
    one, two = (MemberSampler(default, seed=0, random_members=2) for _ in range(2))
    assert [one.draw(step) for step in range(5)] == [two.draw(step) for step in range(5)]
    other = MemberSampler(default, seed=1, random_members=2)
    assert [other.draw(step) for step in range(5)] != [
        MemberSampler(default, seed=0, random_members=2).draw(step) for step in range(5)
    ]


def test_counts_travel_through_json_and_draws_continue(default):
    straight = MemberSampler(default, seed=0, random_members=2)
    expected = [straight.draw(step) for step in range(20)]
    before = MemberSampler(default, seed=0, random_members=2)
    for step in range(10):
        before.draw(step)
    after = MemberSampler(default, seed=0, random_members=2)
    after.load_state(json.loads(json.dumps(before.state())))
    assert [after.draw(step) for step in range(10, 20)] == expected[10:]
    fresh = MemberSampler(default, seed=0, random_members=2)
    assert [fresh.draw(step) for step in range(10, 20)] != expected[10:]


@pytest.mark.parametrize("name", SMALL)
def test_members_of_any_space_are_legal(name):
    space = SMALL[name]
    sampler = MemberSampler(space, seed=0, random_members=2)
    for step in range(30):
        for member in sampler.draw(step).students:
            assert space.why_not(member) is None


def test_a_forced_choice_is_no_draw():
    """Behind a dissolved grid only softmax is left; that must not cost it its other turns."""
    space = space_of(
        [{"depth": [2], "attention": ["softmax", WINDOW], "reduction": ["none", TOME]}],
        position=["none"],
    )
    sampler = MemberSampler(space, seed=0, random_members=1)
    second = [sampler.draw(step).students[1].stages[0].blocks for step in range(200)]
    kept = Counter(b[1].attention.op for b in second if b[0].reduction.op == "none")
    assert abs(kept["softmax"] - kept["window"]) <= 1
    assert sum(kept.values()) in (99, 100, 101)


def test_rounds_give_rare_types_the_same_share():
    rounds = Rounds(tuple(OpSetting(name) for name in ("a", "b", "rare")))
    rng = np.random.default_rng(0)
    for step in range(900):
        rounds.draw(np.array([True, True, step % 10 == 0]), rng)
    shares = rounds.shares()
    assert shares.max() / shares.min() < 1.05
