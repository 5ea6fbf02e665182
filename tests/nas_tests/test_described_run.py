"""Whole runs for devices that are not at hand: nothing is measured, and nothing is said to be."""

from __future__ import annotations

import json

import pytest

from nas.cli import main
from nas.front import Front
from tests.nas_tests.tiny_run import command

pytestmark = pytest.mark.slow
OF_THE_DEVICE = ("latency_ms", "peak_memory_mb", "energy_mj")


@pytest.fixture(scope="module")
def described_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "gpu"
    assert main(command(folder, "hardware=rtx4090", "search.trials=8")) == 0
    return folder


def test_every_figure_of_the_device_is_called_estimated(described_run):
    front = Front.load(described_run / "front.json")
    best = json.loads((described_run / "best.json").read_text())
    for metrics in [{n: v.to_dict() for n, v in m.metrics.items()} for m in front.members]:
        assert {metrics[name]["kind"] for name in OF_THE_DEVICE} == {"estimated"}
        assert "spec" in metrics["latency_ms"]["source"]
    assert {best["metrics"][name]["kind"] for name in OF_THE_DEVICE} == {"estimated"}
    assert front.front_error == {}
    page = (described_run / "report.html").read_text()
    assert "ms estimated" in page
    assert "ms measured" not in page
    assert "Estimated, not measured" in page


def test_nothing_was_measured_and_the_run_goes_on(described_run, capsys):
    assert not list(described_run.glob("profiles/*.jsonl"))
    assert main(command(described_run, "hardware=rtx4090", "search.trials=8")) == 0
    assert "estimated from the spec sheet" in capsys.readouterr().out


def test_two_devices_keep_their_limits_apart(tmp_path):
    folder = tmp_path / "both"
    more = ["hardware=[stm32f746,rtx4090]", "search.trials=8", "constraints.params=1e6"]
    assert main(command(folder, *more)) == 0
    small, large = (
        Front.load(folder / "devices" / name / "front.json") for name in ("stm32f746", "rtx4090")
    )
    assert small.limits == {"params": 1e6, "sram_kib": 320.0, "flash_kib": 1024.0}
    assert large.limits == {"params": 1e6}
    assert all(member.value("sram_kib") <= 320 for member in small.members)
    assert "sram_kib" not in large.members[0].metrics


def test_limits_that_nothing_can_meet_are_refused_before_training(tmp_path, capsys):
    folder = tmp_path / "none"
    more = ["hardware=stm32f746", "constraints.sram_kib=0.01"]
    assert main(command(folder, *more)) == 2
    assert "constraints.sram_kib=0.01: no architecture of the space meets it" in (
        capsys.readouterr().err
    )
    assert not folder.exists()
