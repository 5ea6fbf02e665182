"""Energy: counters where they can be read, estimates elsewhere, and which is which."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from nas.hardware.counters import EnergyCounter, counter_for, mj_per_call
from nas.objectives import OBJECTIVES


def domain(folder: Path, name: str, energy_uj: int, span_uj: int = 1_000_000) -> Path:
    place = folder / name
    place.mkdir()
    (place / "energy_uj").write_text(f"{energy_uj}\n")
    (place / "max_energy_range_uj").write_text(f"{span_uj}\n")
    return place


def test_packages_are_added_up_and_a_counter_that_wraps_goes_on(tmp_path) -> None:
    first = domain(tmp_path, "intel-rapl:0", 900_000)
    domain(tmp_path, "intel-rapl:0:0", 5)  # cores of package 0: counted in it already
    second = domain(tmp_path, "intel-rapl:1", 100)
    counter = counter_for("cpu", tmp_path)
    assert counter is not None
    assert counter.joules() == 0
    (first / "energy_uj").write_text("100000\n")
    (second / "energy_uj").write_text("50100\n")
    assert counter.joules() == pytest.approx(0.25)


def test_without_a_readable_counter_there_is_none(tmp_path) -> None:
    assert counter_for("cpu", tmp_path) is None
    (domain(tmp_path, "intel-rapl:0", 1) / "energy_uj").unlink()
    assert counter_for("cpu", tmp_path) is None
    assert counter_for("rtx4090", tmp_path) is None


def test_energy_of_a_call_is_the_mean_of_many() -> None:
    class Fake(EnergyCounter):
        name = "fake"
        drawn = 0.0

        def joules(self) -> float:
            return self.drawn

    counter, ticks = Fake(), itertools.count()

    def call() -> None:
        counter.drawn += 0.002

    found, calls = mj_per_call(counter, call, seconds=5, clock=lambda: float(next(ticks)))
    assert found == pytest.approx(2.0)
    assert calls == 5


def test_an_estimate_grows_with_time_work_and_weights_and_is_called_one() -> None:
    energy = OBJECTIVES["energy_mj"]
    known = {"latency_ms": 2.0, "macs": 1e9, "params": 1e6, "batch": 1}
    before = energy.derive(known)
    assert before == pytest.approx(2 * 1.5 + 64 + 4 * 150 * 1e-3)
    for name in ("latency_ms", "macs", "params"):
        assert energy.derive(known | {name: 2 * known[name]}) > before
    assert energy.derive(known | {"energy_mj": 7.0}) == 7.0
    assert energy.kind == "estimated"


def test_throughput_is_that_of_the_batch() -> None:
    throughput = OBJECTIVES["throughput"]
    assert throughput.derive({"latency_ms": 4.0, "batch": 8}) == 2000
    assert throughput.direction == "max"
