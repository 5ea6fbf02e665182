"""SRAM of a microcontroller against hand-computed schedules (MCUFormer, #71)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nas.config.schema import RunConfig, SearchConfig
from nas.hardware.described import described
from nas.hardware.device import DEVICES
from nas.hardware.profile import HardwareProfile
from nas.limits import check_metrics, closed_form, device_limits, limits_of
from nas.objectives import unmet
from nas.roofline.columns import DescribedSpaceCosts
from nas.roofline.schedule import SCHEDULES, flash_bytes, section_bytes, sram_bytes
from search_spaces.architecture import Architecture, Block, OpSetting, Stage
from search_spaces.errors import UserError
from search_spaces.presets import preset
from search_spaces.space import SearchSpace
from search_spaces.workload import attention, elementwise, linear
from supernet.operators import all_cards
from supernet.workload import workload

N, D, HEADS, WIDTH, RATIO = 226, 192, 3, 64, 3.5
X, HIDDEN = N * D, int(RATIO * D)


def attention_part() -> list:
    return [
        elementwise("norm", 2 * X),
        *(linear(N, D, HEADS * WIDTH) for _ in "qkv"),
        attention(HEADS, N, N, WIDTH),
        linear(N, HEADS * WIDTH, D),
        elementwise("add", 3 * X),
    ]


def mlp_part() -> list:
    return [
        elementwise("norm", 2 * X),
        linear(N, D, HIDDEN),
        elementwise("gelu", 2 * N * HIDDEN),
        linear(N, HIDDEN, D),
        elementwise("add", 3 * X),
    ]


@pytest.mark.parametrize(
    ("schedule", "attention_bytes", "mlp_bytes"),
    [  # worked out by hand, reference/operators.md section 7
        ("naive", 370_188, 238_656),
        ("per_head", 181_252, 238_656),
        ("rows", 116_066, 238_656),
        ("overwrite", 116_066, 44_256),
    ],
)
def test_a_layer_by_hand(schedule, attention_bytes, mlp_bytes) -> None:
    assert section_bytes(attention_part(), schedule) == attention_bytes
    assert section_bytes(mlp_part(), schedule) == mlp_bytes
    both = attention_part() + mlp_part()
    assert section_bytes(both, schedule) == max(attention_bytes, mlp_bytes)


def test_the_naive_layer_is_beyond_the_device_and_the_others_are_not() -> None:
    sram = 320 * 1024
    assert section_bytes(attention_part(), "naive") > sram
    assert section_bytes(attention_part(), "rows") < sram


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_columns_are_the_same_as_numbers(schedule) -> None:
    columns = [
        replace(kernel, **{name: np.array([getattr(kernel, name)] * 2) for name in ("m", "n")})
        for kernel in attention_part() + mlp_part()
    ]
    assert (
        section_bytes(columns, schedule) == section_bytes(attention_part() + mlp_part(), schedule)
    ).all()


def test_a_whole_network_is_the_largest_of_its_parts() -> None:
    work = workload(preset("deit_tiny"), 1000)
    n, d, h = 197, 192, 3
    x = n * d
    assert sram_bytes(work, "naive") == 5 * x + h * n * n
    assert sram_bytes(work, "per_head") == 2 * x + n * 4 * d  # now the MLP is the largest
    assert sram_bytes(work, "overwrite") == 2 * x + 2 * n * 64 + n + 2 * 64
    assert flash_bytes(work) == work.params


def test_the_embedding_reads_strips_of_the_image() -> None:
    block = Block(attention=OpSetting("softmax"), heads=1, head_dim=8, mlp_hidden=8)
    net = Architecture(
        image_size=(224, 224),
        channels=3,
        patch_size=32,
        stages=(Stage(width=8, blocks=(block,)),),
        position=OpSetting("none"),
    )
    # A strip of 32 rows is more than all else: C·p·W + x.
    assert sram_bytes(workload(net, 10), "overwrite") == 3 * 32 * 224 + 49 * 8


def test_windows_are_taken_one_at_a_time() -> None:
    windows = [
        elementwise("norm", 2 * X),
        *(linear(N, D, D) for _ in "qkv"),
        attention(HEADS, 16, 16, WIDTH, repeat=14),
        linear(N, D, D),
        elementwise("add", 3 * X),
    ]
    assert section_bytes(windows, "per_head") == 2 * X + 3 * 16 * WIDTH + 16 * 16
    assert section_bytes(windows, "naive") == 5 * X + 14 * HEADS * 16 * 16


def test_limits_come_with_the_device_and_tighter_ones_take_their_place() -> None:
    assert {(one.objective.name, one.bound) for one in device_limits(["stm32f746"])} == {
        ("sram_kib", 320.0),
        ("flash_kib", 1024.0),
    }
    assert device_limits(["cpu", "rtx4090"]) == ()
    config = RunConfig(hardware={"stm32f746": described("stm32f746").default()})
    bounds = {"sram_kib": 320.0, "flash_kib": 1024.0}
    assert {one.objective.name: one.bound for one in limits_of(config)} == bounds
    config.constraints = {"sram_kib": 200.0, "flash_kib": 4096.0}
    found = [(one.objective.name, one.bound) for one in limits_of(config)]
    assert sorted(found) == [("flash_kib", 1024.0), ("flash_kib", 4096.0), ("sram_kib", 200.0)]


def test_a_candidate_beyond_the_limits_is_known_before_its_accuracy() -> None:
    space = SearchSpace(
        {
            "image_size": [224, 224],
            "channels": 3,
            "head_dim": 64,
            "patch_size": [16],
            "stages": [
                {
                    "width": [64, 192],
                    "depth": [1, 12],
                    "heads": [1, 3],
                    "mlp_ratio": [1, 4],
                    "attention": ["softmax"],
                    "reduction": ["none"],
                }
            ],
        },
        all_cards(),
    )
    device = described("stm32f746")
    profile = HardwareProfile.of("stm32f746", device.default(), (224, 224), 3)
    costs = DescribedSpaceCosts(space, 10, device.setting(profile))
    rows = np.stack([space.extreme(largest=largest, patch_size=16) for largest in (False, True)])
    columns = closed_form(costs(rows), 1)
    limits = device_limits(["stm32f746"])
    small, large = ({name: float(v[i]) for name, v in columns.items()} for i in (0, 1))
    assert unmet(limits, small) == []
    assert [one.objective.name for one in unmet(limits, large)] == ["flash_kib"]
    assert large["peak_memory_mb"] == pytest.approx(large["sram_kib"] * 1024 / 1e6)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"constraints": {"sram_kib": 100.0}}, "constraints.sram_kib"),
        ({"search": SearchConfig(objectives=["accuracy", "flash_kib"])}, "search.objectives"),
    ],
)
def test_sram_of_a_processor_is_refused(change, field) -> None:
    config = RunConfig(hardware={"cpu": DEVICES["cpu"].default()}, **change)
    with pytest.raises(UserError, match=rf"{field}: \w+ is known of microcontrollers alone"):
        check_metrics(config)
    check_metrics(replace(config, hardware={"mcu": described("stm32f746").default()}))
