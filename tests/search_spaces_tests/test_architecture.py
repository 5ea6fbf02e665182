"""One network as a value: text, JSON, digest, equality."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.architecture import Architecture, Block, OpSetting, Stage
from search_spaces.errors import UserError

few = settings(max_examples=30, deadline=None)
names = st.text("abcdefghijklmnopqrstuvwxyz0123456789_", min_size=1)  # regexes are slow to draw
values = st.one_of(
    st.booleans(),
    st.integers(-1000, 1000),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text("abcdefghijklmnopqrstuvwxyz_.-", min_size=1),
)
settings_ = st.builds(
    lambda op, params: OpSetting.of(op, **params),
    names,
    st.dictionaries(names.filter(lambda n: n not in ("op", "cls", "heads", "head_dim")), values),
)
blocks = st.builds(
    Block,
    attention=settings_,
    heads=st.integers(1, 8),
    head_dim=st.integers(1, 64),
    mlp_hidden=st.integers(1, 512),
    reduction=settings_,
)
stages = st.builds(
    Stage,
    width=st.integers(1, 512),
    blocks=st.lists(blocks, min_size=1, max_size=3).map(tuple),
    transition=settings_,
)
architectures = st.builds(
    Architecture,
    image_size=st.tuples(st.integers(1, 64), st.integers(1, 64)),
    channels=st.integers(1, 4),
    patch_size=st.integers(1, 16),
    stages=st.lists(stages, min_size=1, max_size=2).map(tuple),
    embedding=settings_,
    position=settings_,
    special_tokens=st.integers(0, 2),
    pooling=st.sampled_from(["mean", "class"]),
)

PLAIN = Architecture(
    image_size=(16, 16),
    channels=1,
    patch_size=4,
    stages=(
        Stage(
            width=32,
            blocks=(
                Block(
                    attention=OpSetting.of("window", size=2),
                    heads=2,
                    head_dim=16,
                    mlp_hidden=64,
                    reduction=OpSetting.of("tome", keep=0.5),
                ),
            ),
        ),
    ),
)


@few
@given(settings_)
def test_a_setting_is_rebuilt_from_its_text_and_its_data(setting):
    assert OpSetting.parse(str(setting)) == setting
    assert OpSetting.from_dict(json.loads(json.dumps(setting.to_dict()))) == setting


def test_a_setting_reads_as_it_is_written():
    assert str(OpSetting.of("hilo", window=2, alpha=0.5)) == "hilo(alpha=0.5,window=2)"
    assert str(OpSetting("softmax")) == "softmax"
    assert OpSetting.parse("hilo( window=2, alpha=0.5)") == OpSetting.of(
        "hilo", alpha=0.5, window=2
    )


def test_the_order_of_parameters_says_nothing():
    assert OpSetting.of("x", a=1, b=2) == OpSetting.of("x", b=2, a=1)


@pytest.mark.parametrize(
    "text", ["", "Window", "window(size=2", "window size", "(size=2)", "window(size)", "w(a=x)"]
)
def test_text_that_is_no_setting_is_refused(text):
    with pytest.raises(UserError, match=r"write it as window\(size=4\)"):
        OpSetting.parse(text)


def test_a_setting_gives_its_parameters():
    setting = OpSetting.of("window", size=2)
    assert setting["size"] == 2
    assert setting.get("shift", 0) == 0
    with pytest.raises(KeyError, match="window has no parameter 'shift'"):
        setting["shift"]


@few
@given(architectures)
def test_an_architecture_is_rebuilt_from_its_json(architecture):
    again = Architecture.from_dict(json.loads(architecture.canonical_json()))
    assert again == architecture
    assert hash(again) == hash(architecture)
    assert again.digest() == architecture.digest()


@few
@given(architectures, architectures)
def test_equality_and_digest_agree(a, b):
    assert (a == b) == (a.digest() == b.digest())


def test_the_digest_is_known_for_good():
    """It is a key in files; should this fail, old runs are lost: write a new schema version."""
    assert PLAIN.digest() == "c5334d7227134e8e"


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAIN, patch_size=8),
        replace(PLAIN, image_size=(16, 32)),
        replace(PLAIN, channels=3),
        replace(PLAIN, position=OpSetting("none")),
        replace(PLAIN, special_tokens=1),
        replace(PLAIN, pooling="class"),
        replace(PLAIN, norm_eps=1e-5),
        replace(PLAIN, stages=PLAIN.stages * 2),
    ],
)
def test_every_field_counts(other):
    assert other != PLAIN
    assert other.digest() != PLAIN.digest()


def test_it_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        PLAIN.patch_size = 8


def test_sizes_that_follow():
    assert PLAIN.depth == 1
    assert PLAIN.stages[0].blocks[0].inner == 32
    assert [(stage.width, block.heads) for stage, block in PLAIN.blocks()] == [(32, 2)]


def without(name):
    return {key: value for key, value in PLAIN.to_dict().items() if key != name}


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (without("stages"), ["'stages'", "missing"]),
        ({**PLAIN.to_dict(), "patchsize": 4}, ["'patchsize'", "did you mean 'patch_size'"]),
        ({**PLAIN.to_dict(), "image_size": 16}, ["wrong kind"]),
        ({**PLAIN.to_dict(), "image_size": [16]}, ["wrong kind"]),
        ({**PLAIN.to_dict(), "stages": 3}, ["wrong kind"]),
        ({**PLAIN.to_dict(), "stages": [{"width": 3}]}, ["missing"]),
        ({**PLAIN.to_dict(), "stages": ["x"]}, ["wrong kind"]),
        ({**PLAIN.to_dict(), "position": "peg"}, ["wrong kind"]),
        ({**PLAIN.to_dict(), "position": {"name": "peg"}}, ["'op'", "missing"]),
    ],
)
def test_data_that_is_no_architecture_is_told(data, parts):
    with pytest.raises(UserError) as refused:
        Architecture.from_dict(data)
    for part in parts:
        assert part in str(refused.value)
