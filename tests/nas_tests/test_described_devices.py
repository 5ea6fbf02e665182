"""Devices in figures: estimates that follow from their spec sheets, and are called so."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from nas.cli import main
from nas.hardware import estimate, trace
from nas.hardware.described import DescribedDevice, described
from nas.hardware.device import DEVICES, check_settings
from nas.hardware.host import TURBO, clock_ghz, flops_per_cycle, host_spec
from nas.hardware.profile import HardwareProfile
from nas.roofline.columns import DescribedSpaceCosts
from nas.roofline.estimating import estimate_work
from nas.roofline.kernels import price, traffic
from nas.roofline.products import misaligned
from nas.roofline.setting import Setting
from nas.roofline.slow import Change, changes, neighbours, padded_sizes
from nas.runtimes.base import RUNTIMES
from nas.steps import describing_device
from search_spaces.errors import UserError
from search_spaces.presets import preset
from search_spaces.space import SearchSpace
from search_spaces.workload import attention, elementwise, linear
from supernet.extract import build_model
from supernet.operators import all_cards
from supernet.workload import workload

ALL = [device for device in DEVICES if isinstance(device, DescribedDevice)]
WANTED = {
    *("rtx3090", "rtx4090", "rtx5090", "a100", "h100", "h200", "jetson_orin", "raspberry_pi5"),
    *("laptop_x86", "server_x86", "phone_arm", "stm32f746", "rtx_pro6000", "rtx_a6000"),
}
GPU = Setting(spec=described("a100").spec, precision="fp16", batch=64)

SPACE = {
    "image_size": [32, 32],
    "channels": 3,
    "head_dim": 8,
    "patch_size": [4, 8],
    "position": ["peg"],
    "stages": [
        {
            "width": [32, 48],
            "depth": [1, 2, 3],
            "heads": [1, 2, 4],
            "mlp_ratio": [1, 2],
            "attention": ["softmax", {"op": "window", "size": [2, 4]}, "hilo", "separable", "none"],
            "reduction": ["none", {"op": "tome", "keep": [0.5]}, {"op": "evit", "keep": [0.7]}],
        },
        {
            "width": [64],
            "transition": ["pit"],
            "depth": [1, 2],
            "heads": [2, 4],
            "mlp_ratio": [2],
            "attention": ["softmax"],
            "reduction": ["none"],
        },
    ],
}


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return SearchSpace(SPACE, all_cards())


def profile_of(device: DescribedDevice, batch: int = 1) -> HardwareProfile:
    config = device.default()
    config.batch = config.batch or batch
    return HardwareProfile.of(device.name, config, (32, 32), 3)


def test_the_devices_that_were_asked_for_are_there() -> None:
    assert {device.name for device in ALL} >= WANTED


@pytest.mark.parametrize("device", ALL, ids=lambda device: device.name)
def test_a_spec_sheet_is_whole_and_its_default_profile_can_be_used(device) -> None:
    spec = device.spec
    figures = (spec.bandwidth_gb_s, spec.memory_mb, spec.power_w, spec.units, *spec.tflops.values())
    assert all(figure > 0 for figure in figures)
    assert spec.static_w < spec.power_w
    assert spec.source
    assert "estimated" in device.summary
    check_settings(device.name, device.default())


@pytest.mark.parametrize("device", ALL, ids=lambda device: device.name)
def test_larger_networks_take_longer_and_more_energy(device) -> None:
    found = [estimate(f"deit_{size}", device.name) for size in ("tiny", "small", "base")]
    for less, more in pairwise(found):
        assert less.latency_ms <= more.latency_ms
        assert less.energy_mj < more.energy_mj
        assert less.memory_mb < more.memory_mb
    assert {one.provenance for one in found} == {"estimated"}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("device", ALL, ids=lambda device: device.name)
def test_kernels_sum_up_to_the_whole_and_no_law_of_nature_is_broken(device, compiled) -> None:
    found = estimate("deit_small", device.name, batch=1, compiled=compiled)
    assert sum(k.latency_ms for k in found.kernels) == pytest.approx(found.latency_ms)
    assert found.throughput == pytest.approx(1e3 / found.latency_ms)
    macs = workload(preset("deit_small"), 1000).macs
    peak = device.spec.peak_tflops(found.precision) * 1e12
    assert found.latency_ms >= 2 * macs / peak * 1e3
    assert found.energy_mj <= device.spec.power_w * found.latency_ms


def test_fusing_and_batching_never_cost_throughput() -> None:
    for batch in (1, 16, 256):
        eager, fused = (
            estimate("deit_small", "rtx3090", batch=batch, compiled=compiled)
            for compiled in (False, True)
        )
        assert fused.latency_ms < eager.latency_ms
    rates = [estimate("deit_small", "rtx3090", batch=b).throughput for b in (1, 4, 16, 64, 256)]
    assert rates == sorted(rates)


def test_a_roofline_by_hand() -> None:
    # 64 images of a norm over 100 000 elements: read and written once in fp16, no cache to speak of
    spec = replace(described("a100").spec, cache_mb=1e-9)
    time = price(elementwise("norm", 200_000), replace(GPU, spec=spec))
    assert time.bytes == 64 * 200_000 * 2
    assert time.memory_s == pytest.approx(time.bytes / (2039e9 * 0.85) + 4e-6)
    # 1024 × 1024 × 4096 a image: 64 · 1024 rows are 256 × 8 blocks of 256 × 128 on 108 units
    product = price(linear(1024, 1024, 4096), GPU)
    blocks, per_unit = 512 * 16, 312e12 * 0.75 / 108
    assert product.compute_s == pytest.approx(
        -(-blocks // 108) * 2 * 128 * 256 * (1024 + 64) / per_unit + 4e-6
    )
    assert product.busy_s == max(product.compute_s, product.memory_s)


def test_amp_moves_more_than_half_precision_and_weights_are_copied() -> None:
    amp = replace(GPU, precision="amp")
    for kernel in (linear(10, 20, 30), elementwise("norm", 100), elementwise("add", 30)):
        assert traffic(kernel, amp) > traffic(kernel, GPU)
    assert traffic(elementwise("add", 30), amp) == pytest.approx(64 * 10 * (4 + 2 + 4))
    weights = linear(10, 20, 30).weights
    assert traffic(linear(10, 20, 30), GPU) == (64 * 10 * (20 + 30) + weights) * 2


def test_fused_attention_keeps_its_map_out_of_memory() -> None:
    kernel = attention(3, 197, 197, 64)
    unfused = replace(GPU, fused_attention=False)
    more = traffic(kernel, unfused) - traffic(kernel, GPU)
    heads_side_by_side = 2 * kernel.moved
    assert more == 64 * (3 * 197 * 197 * 4 + heads_side_by_side) * 2
    assert price(kernel, unfused).busy_s > price(kernel, GPU).busy_s


def test_sizes_that_miss_the_alignment_cost_more_than_larger_ones() -> None:
    assert misaligned(linear(64, 90, 96), GPU) == 1
    assert misaligned(linear(64, 96, 96), GPU) == 0
    assert misaligned(linear(64, 90, 96), replace(GPU, precision="fp32")) == 0
    odd, even = (price(linear(1024, n, n), GPU).compute_s for n in (1020, 1024))
    assert odd > even


@pytest.mark.parametrize("name", ["rtx4090", "laptop_x86", "stm32f746"])
def test_columns_equal_single_networks(space, name) -> None:
    device = described(name)
    setting = device.setting(profile_of(device, batch=3))
    costs = DescribedSpaceCosts(space, 10, setting)
    genes = space.sample_genes(np.random.default_rng(0), 40)
    many = costs(genes)
    for row, genes_G in enumerate(space.repair(genes)[0]):
        one = estimate_work(workload(space.decode(genes_G), 10), name, setting)
        assert many.latency_ms_B[row] == pytest.approx(one.latency_ms)
        assert many.energy_mj_B[row] == pytest.approx(one.energy_mj)
        if setting.spec.kind == "mcu":
            assert many.columns["sram_kib"][row] * 1024 == pytest.approx(one.memory_mb * 1e6)
            assert many.columns["flash_kib"][row] * 1024 == pytest.approx(one.flash_mb * 1e6)
        assert many.params_B[row] == workload(space.decode(genes_G), 10).params


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"device": "rtx409"}, ["'rtx409'", "did you mean 'rtx4090'"]),
        ({"device": "cpu"}, ["is measured", "formfinder profile hardware=cpu"]),
        ({"workload": "deit_tny"}, ["did you mean 'deit_tiny'"]),
        ({"precision": "fp8"}, ["precision='fp8'", "fp32, tf32, fp16"]),
        ({"batch": 0}, ["batch=0", "a positive integer"]),
        ({"batch": 1.5}, ["batch=1.5"]),
        ({"schedule": "row"}, ["did you mean 'rows'"]),
    ],
)
def test_bad_questions_are_refused_in_one_line(options, parts) -> None:
    asked = {"workload": "deit_tiny", "device": "rtx4090", **options}
    with pytest.raises(UserError) as caught:
        estimate(asked.pop("workload"), asked.pop("device"), **asked)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("raspberry_pi5", "precision", "tf32"),
        ("rtx3090", "runtime", "mcu_rows"),
        ("stm32f746", "runtime", "roofline"),
        ("stm32f746", "batch", 8),
    ],
)
def test_settings_a_device_cannot_have_are_refused(name, field, value) -> None:
    config = described(name).default()
    setattr(config, field, value)
    with pytest.raises(UserError, match=r"hardware\.mine\.\w+="):
        check_settings("mine", config)


def test_a_described_device_is_driven_by_a_runtime_that_says_nothing_is_run() -> None:
    for device in ALL:
        runtime = RUNTIMES[device.default().runtime]
        assert device.name in runtime.devices
        assert "estimated" in runtime.summary


def test_padded_sizes_are_named_with_their_layers() -> None:
    odd = preset("deit_tiny")
    block = replace(odd.stages[0].blocks[0], mlp_hidden=770)
    stage = replace(odd.stages[0], blocks=(block, *odd.stages[0].blocks[1:]))
    lines = padded_sizes(workload(replace(odd, stages=(stage,)), 1000), GPU)
    assert lines == [
        "output width 770 is no multiple of 8: computed as 776 (stages.0.blocks.0.mlp)",
        "input width 770 is no multiple of 8: computed as 776 (stages.0.blocks.0.mlp)",
    ]
    assert padded_sizes(workload(odd, 1000), GPU) == []


def test_the_change_that_saves_most_is_the_best_of_all_neighbours(space) -> None:
    setting = replace(GPU, spec=described("laptop_x86").spec, precision="fp32", batch=1)
    architecture = space.decode(space.extreme(largest=True, patch_size=4))

    def ms(value) -> float:
        return estimate_work(workload(value, 10), "laptop_x86", setting).latency_ms

    near = list(neighbours(architecture, space))
    assert len({value for _, value in near}) > 10
    found = changes(architecture, 10, "laptop_x86", setting, space)
    assert found[0].latency_ms == pytest.approx(min(ms(value) for _, value in near))
    assert found[0].saved_ms == pytest.approx(ms(architecture) - found[0].latency_ms)
    assert all(space.contains(value) for _, value in near)


def test_any_network_has_changes_without_a_space() -> None:
    found = changes(preset("deit_tiny"), 1000, "a100", GPU)
    assert any("11 layers" in change.what for change in found)
    assert all(change.saved_ms > 0 for change in found)


def test_this_computer_is_described_from_what_the_system_tells(tmp_path) -> None:
    assert flops_per_cycle({"flags": "fma avx512f"}) == 64
    zen4 = {"flags": "fma avx512f", "vendor_id": "AuthenticAMD", "cpu family": "25"}
    assert flops_per_cycle(zen4) == 32
    assert flops_per_cycle({"Features": "asimd"}) == 16
    assert host_spec(tmp_path / "none").tflops["fp32"] > 0


def test_the_clock_is_the_highest_one_and_a_virtual_machines_is_nominal(tmp_path) -> None:
    (tmp_path / "max").write_text("4700000\n")
    idle = {"cpu MHz": "800.1", "flags": "fma"}
    assert clock_ghz(idle, tmp_path / "max") == 4.7
    assert clock_ghz(idle, tmp_path / "none") == pytest.approx(0.8001)
    virtual = {"cpu MHz": "2600", "flags": "fma hypervisor"}
    assert clock_ghz(virtual, tmp_path / "none") == pytest.approx(2.6 * TURBO)


def test_one_core_alone_is_the_fastest_and_all_are_the_device() -> None:
    spec = described("laptop_x86").spec

    def share(threads: int) -> float:
        setting = replace(GPU, spec=spec, precision="fp32", threads=threads)
        assert setting.share == pytest.approx(setting.unit_share * threads)
        return setting.share

    assert share(1) == pytest.approx(spec.fastest / spec.units)
    assert share(spec.units) == 1
    assert (np.diff([share(threads) for threads in range(1, spec.units + 1)]) > 0).all()


@pytest.mark.slow
def test_a_traced_module_is_the_architecture_it_was_built_from() -> None:
    architecture = preset("deit_tiny", (64, 64))
    found, true = trace(build_model(architecture, 10), (64, 64)), workload(architecture, 10)
    assert (found.macs, found.params) == (true.macs, true.params)
    traced, counted = (estimate(work, "a100", batch=64) for work in (found, true))
    assert traced.latency_ms == pytest.approx(counted.latency_ms, rel=0.1)


@pytest.mark.slow
def test_networks_of_other_libraries_are_priced_without_being_run() -> None:
    import timm

    model = timm.create_model("swin_tiny_patch4_window7_224", num_classes=10)
    found = trace(model)
    assert found.params == sum(parameter.numel() for parameter in model.parameters())
    # 4.5 GFLOPs of table 1 (multiply-adds are counted as one there), less the larger classifier
    assert found.macs == pytest.approx(4.5e9, rel=0.01)
    assert {"patch_embed", "layers.0.blocks.0", "head"} <= {layer.name for layer in found.layers}
    assert estimate(found, "v100", precision="fp32").latency_ms > 0
    assert not any(p.is_meta for p in model.parameters())


@pytest.fixture
def deit_file(tmp_path):
    path = tmp_path / "deit.json"
    path.write_text(json.dumps(preset("deit_tiny", (64, 64)).to_dict()))
    return str(path)


def test_describe_says_where_the_time_goes(deit_file, capsys) -> None:
    assert main(["describe", deit_file, "hardware=rtx4090", "batch=64"]) == 0
    out = capsys.readouterr().out
    for part in ("RTX 4090, estimated", "batch 64", "0.11.mlp", "peak", "saves", "estimated"):
        assert part in out
    assert max(map(len, out.splitlines())) <= 80


def test_describe_for_a_microcontroller_shows_every_schedule(deit_file, capsys) -> None:
    assert main(["describe", deit_file, "hardware=stm32f746"]) == 0
    out = capsys.readouterr().out
    n, x = 17, 17 * 192
    assert f"naive {(2 * x + n * 4 * 192) / 1024:.1f}, " in out  # at so few tokens the MLP's
    assert "KiB of 1024" in out


def test_changes_that_save_next_to_nothing_are_not_listed(deit_file, capsys, monkeypatch) -> None:
    small, large = (
        Change(what=what, latency_ms=1.0, saved_ms=saved)
        for what, saved in (("a small one", 1e-6), ("a large one", 1.0))
    )
    for found, shown in (([large, small], "a large one"), ([small], "no single change saves 1%")):
        monkeypatch.setattr(describing_device, "changes", lambda *_, found=found: found)
        assert main(["describe", deit_file, "hardware=a100"]) == 0
        out = capsys.readouterr().out
        assert shown in out
        assert "a small one" not in out


def test_describe_for_this_computer(deit_file, capsys) -> None:
    assert main(["describe", deit_file, "hardware=cpu"]) == 0
    assert "nothing was run" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["hardware=rtx409"], ["did you mean 'rtx4090'"]),
        (["hardwar=cpu"], ["did you mean 'hardware'"]),
        (["hardware=rtx4090", "batch=many"], ["batch='many'", "a positive integer"]),
        (["batch=2"], ["name it with hardware=NAME"]),
        (["hardware=stm32f746", "batch=2"], ["1 on a microcontroller"]),
        (["hardware=command"], ["no spec sheet", "estimated are cpu, a100"]),
        (["hardware=cuda"], ["no spec sheet", "formfinder profile hardware=cuda"]),
        (["hardware=cpu", "member=abc"], ["only a run or a front.json has members"]),
    ],
)
def test_describe_refuses_in_one_line(deit_file, capsys, words, parts) -> None:
    assert main(["describe", deit_file, *words]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.strip().splitlines()) == 1
    for part in parts:
        assert part in shown.err


def test_published_architectures_are_described_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "deit_tiny"]) == 0
    assert "5,717,416" in capsys.readouterr().out
    assert main(["describe", "deit_smal", "hardware=a100"]) == 2
    assert "did you mean 'deit_small'?" in capsys.readouterr().err
