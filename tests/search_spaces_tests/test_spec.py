"""A declaration that cannot be used is refused in one line: field, value, allowed, nearest."""

from __future__ import annotations

import math

import pytest

from search_spaces.architecture import OpSetting
from search_spaces.errors import UserError
from search_spaces.space import SearchSpace
from search_spaces.spec import parse_spec
from tests.search_spaces_tests.spaces import CARDS, TINY, declared

STAGE = TINY["stages"][0]


def of_stage(**changes):
    return declared([changes])


def without(name):
    return {key: value for key, value in TINY.items() if key != name}


def refusal(data):
    with pytest.raises(UserError) as refused:
        SearchSpace(data, CARDS)
    line = str(refused.value)
    assert "\n" not in line
    assert line.startswith("space")
    return line


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        # keys
        (declared(patchsize=[2]), ["'patchsize'", "did you mean 'patch_size'?", "known: channels"]),
        (of_stage(widht=[2]), ["stages[0]", "'widht'", "did you mean 'width'?"]),
        (without("patch_size"), ["space.patch_size is missing"]),
        (without("stages"), ["space.stages is missing"]),
        (declared(stages=[STAGE], **{"5": 1}), ["'5'"]),
        ({**TINY, "stages": [{"width": [16]}]}, ["space.stages[0].depth is missing"]),
        # kinds
        ({**TINY, "stages": []}, ["space.stages=[]", "at least one"]),
        ({**TINY, "stages": STAGE}, ["space.stages=", "a list"]),
        ({**TINY, "stages": [3]}, ["space.stages[0]=3", "a mapping"]),
        (declared(image_size=[8]), ["space.image_size=[8]", "[height, width]"]),
        (declared(image_size=True), ["image_size=True", "whole number"]),
        (declared(image_size=[8.0, 8]), ["image_size=8.0", "whole number"]),
        (declared(channels=None), ["space.channels=None"]),
        (declared(channels=True), ["space.channels=True", "whole number"]),
        (declared(head_dim=0), ["space.head_dim=0", "from 1 up"]),
        (declared(patch_size=2), ["space.patch_size=2", "a list"]),
        (declared(patch_size=[]), ["space.patch_size=[]", "at least one"]),
        (declared(patch_size=[2, 2]), ["space.patch_size", "2 is given twice"]),
        (declared(patch_size=[True]), ["space.patch_size=True", "whole number"]),
        (declared(min_tokens=0), ["space.min_tokens=0", "from 1 up"]),
        (declared(norm_eps="small"), ["space.norm_eps='small'", "a positive number"]),
        (declared(norm_eps=0), ["space.norm_eps=0", "a positive number"]),
        (declared(pad="no"), ["space.pad='no'", "true or false"]),
        (declared(special_tokens=-1), ["space.special_tokens=-1", "from 0 up"]),
        (declared(special_tokens=3), ["space.special_tokens=3", "0, 1 (class) or 2"]),
        (declared(pooling="max"), ["space.pooling='max'", "'mean' or 'class'"]),
        (declared(pooling="class"), ["space.pooling='class'", "special_tokens is 0"]),
        (declared(embedding="conv"), ["space.embedding='conv'", "a list"]),
        (declared(embedding=[]), ["space.embedding=[]", "at least one"]),
        (of_stage(depth=[0]), ["stages[0].depth=0", "from 1 up"]),
        (of_stage(depth="12"), ["stages[0].depth='12'", "a list"]),
        (of_stage(width=[True]), ["stages[0].width=True", "whole number"]),
        (of_stage(width=[16.0]), ["stages[0].width=16.0", "whole number"]),
        (of_stage(heads=[1, 1]), ["stages[0].heads", "1 is given twice"]),
        (of_stage(mlp_ratio=[True]), ["mlp_ratio=True", "a positive number"]),
        (of_stage(mlp_ratio=[0]), ["mlp_ratio=0", "a positive number"]),
        (of_stage(mlp_ratio=[math.nan]), ["mlp_ratio=nan", "a positive number"]),
        (of_stage(mlp_ratio=[math.inf]), ["mlp_ratio=inf", "a positive number"]),
        (of_stage(mlp_ratio=["2"]), ["mlp_ratio='2'", "a positive number"]),
        (of_stage(mlp_ratio=[0.01, 1]), ["mlp_ratio=0.01", "1 or more of 16"]),
        (of_stage(mlp_ratio=[1, 1.01]), ["mlp_ratio=[1.0, 1.01]", "differ at width 16"]),
        (of_stage(mlp_ratio=[1, 1.0]), ["mlp_ratio", "1.0 is given twice"]),
        # operators
        (of_stage(attention=["sofmax"]), ["attention='sofmax'", "did you mean 'softmax'?"]),
        (of_stage(reduction=["none", "tme"]), ["reduction='tme'", "did you mean 'tome'?"]),
        (declared(position=["pge"]), ["space.position='pge'", "did you mean 'peg'?"]),
        (declared(embedding=["cnov"]), ["space.embedding='cnov'", "did you mean 'conv'?"]),
        (declared([{}, {"transition": ["pt"]}]), ["stages[1].transition='pt'", "'pit'"]),
        (declared([{"transition": ["pit"]}]), ["stages[0].transition", "first stage"]),
        (of_stage(attention=[]), ["stages[0].attention=[]", "at least one"]),
        (of_stage(attention="softmax"), ["attention='softmax'", "a list"]),
        (of_stage(attention=[None]), ["attention=None", "an operator's name"]),
        (of_stage(attention=[False]), ["attention=False", "an operator's name"]),
        (of_stage(attention=[{"size": 2}]), ["attention={'size': 2}", "an operator's name"]),
        (of_stage(attention=["softmax", "softmax"]), ["attention", "softmax is given twice"]),
        (
            of_stage(attention=["window", {"op": "window", "size": 2}]),
            ["attention", "window(size=2) is given twice"],
        ),
        (
            of_stage(attention=[{"op": "window", "sizes": 2}]),
            ["attention window parameter='sizes'", "did you mean 'size'?"],
        ),
        (of_stage(attention=[{"op": "softmax", "size": 2}]), ["softmax parameter='size'", "none"]),
        (of_stage(attention=[{"op": "window", "size": []}]), ["window.size=[]", "at least one"]),
        (of_stage(attention=[{"op": "window", "size": "2"}]), ["window.size='2'", "whole number"]),
        (of_stage(attention=[{"op": "window", "size": 2.5}]), ["window.size=2.5", "whole number"]),
        (of_stage(attention=[{"op": "window", "size": True}]), ["window.size=True", "whole"]),
        (of_stage(attention=[{"op": "window", "size": [[2]]}]), ["window.size=[2]", "whole"]),
        (of_stage(reduction=[{"op": "tome", "keep": "half"}]), ["tome.keep='half'", "a number"]),
        (of_stage(reduction=[{"op": "tome", "r": 0.5}]), ["tome.r=0.5", "whole number"]),
        # what no architecture can be
        (declared(patch_size=[3]), ["space.patch_size=3", "1, 2, 4, 8", "pad=true"]),
        (declared(patch_size=[2, 3]), ["space.patch_size=3", "1, 2, 4, 8", "pad=true"]),
        (declared(image_size=[8, 12], patch_size=[8]), ["patch_size=8", "[8, 12]", "1, 2, 4"]),
        (declared(min_tokens=17), ["no legal architecture", "leaves 16 tokens, under 17"]),
        (of_stage(attention=["none"]), ["no legal architecture", "no attention of it passes"]),
        (
            of_stage(attention=[{"op": "window", "size": [3]}]),
            ["no legal architecture", "window(size=3)"],
        ),
        (
            of_stage(reduction=[{"op": "tome", "keep": [0.5]}]),
            ["no legal architecture", "position peg", "needs a grid"],
        ),
        (
            declared([{}, {"transition": ["none"]}]),
            ["no legal architecture", "stages[1]", "transition none"],
        ),
        (
            declared([{"reduction": [{"op": "tome", "keep": [0.5]}]}, {}], position=["none"]),
            ["no legal architecture", "stages[1]", "needs a grid"],
        ),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(data, parts):
    line = refusal(data)
    for part in parts:
        assert part in line


def test_any_patch_will_do_with_padding():
    space = SearchSpace(declared(patch_size=[3], pad=True), CARDS)
    assert space.automaton.nodes[0].geometry.grid == (3, 3)


def test_one_side_means_a_square():
    assert parse_spec(declared(image_size=8), CARDS).image_size == (8, 8)


def test_ordered_choices_are_sorted_and_operators_keep_their_order():
    spec = parse_spec(
        declared([{"width": [32, 16], "attention": ["window", "softmax"]}], patch_size=[4, 2]),
        CARDS,
    )
    assert spec.patch_size == (2, 4)
    assert spec.stages[0].width == (16, 32)
    assert [a.op for a in spec.stages[0].attention] == ["window", "window", "softmax"]


def test_an_operator_by_name_offers_all_its_own_choices():
    spec = parse_spec(declared([{"reduction": ["none", "tome"]}], position=["none"]), CARDS)
    keeps = [OpSetting.of("tome", keep=keep) for keep in CARDS.reduction["tome"].choices["keep"]]
    assert list(spec.stages[0].reduction) == [OpSetting("none"), *keeps]


def test_an_alternative_parameter_replaces_the_usual_one():
    tome = {"op": "tome", "r": [1, 2]}
    spec = parse_spec(declared([{"reduction": ["none", tome]}], position=["none"]), CARDS)
    assert list(map(str, spec.stages[0].reduction)) == ["none", "tome(r=1)", "tome(r=2)"]


def test_a_whole_number_where_a_share_belongs_is_the_same_share():
    """Otherwise keep: 1 and keep: 1.0 would be two architectures."""
    tome = {"op": "tome", "keep": [1]}
    spec = parse_spec(declared([{"reduction": [tome]}], position=["none"]), CARDS)
    assert str(spec.stages[0].reduction[0]) == "tome(keep=1.0)"
