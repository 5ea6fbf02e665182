"""The latency protocol on a machine whose speed and noise are scripted."""

from __future__ import annotations

import json
import platform
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from nas.hardware.profile import HardwareConfig, HardwareProfile
from nas.measurement.drift import smooth
from nas.measurement.file import MeasurementFile
from nas.measurement.protocol import Item, measure_models
from nas.measurement.records import Measurement
from nas.measurement.repeatability import agreement, repeatability, training_target
from nas.measurement.slot import MeasurementError, Plan, Slot, summarise, time_slot
from nas.runtimes.base import Prepared, Runtime, UnsupportedModelError
from search_spaces.architecture import Architecture, Stage
from search_spaces.errors import UserError

PROFILE = HardwareProfile.of("cpu", HardwareConfig(), (8, 8), 1)
PLAN = Plan(rounds=4, min_runs=5, max_runs=5, reference_runs=5, block=8)
REFERENCE_MS = 0.5


class FakeMachine:
    """Time passes only by runs; ``slowness`` and ``noise`` are functions of that time."""

    def __init__(self) -> None:
        self.time_ms = 0.0
        self.slowness: Callable[[float], float] = lambda time_ms: 1.0
        self.noise: Callable[[], float] = lambda: 0.0
        self.log: list[float] = []
        self.open = 0

    def run(self, cost_ms: float) -> float:
        spent_ms = cost_ms * self.slowness(self.time_ms) * (1.0 + self.noise())
        self.time_ms += abs(spent_ms) if np.isfinite(spent_ms) else 0.0
        self.log.append(cost_ms)
        return spent_ms


class FakePrepared(Prepared):
    def __init__(self, machine: FakeMachine, cost_ms: float) -> None:
        self.clock = "fake"
        self._machine, self._cost_ms = machine, cost_ms
        machine.open += 1

    def run(self) -> None:
        self._machine.run(self._cost_ms)

    def output(self) -> npt.NDArray[np.float32]:
        return np.zeros((1, 1), dtype=np.float32)

    def durations_ms(self, runs: int) -> list[float]:
        return [self._machine.run(self._cost_ms) for _ in range(runs)]

    def close(self) -> None:
        self._machine.open -= 1


class FakeRuntime(Runtime):
    name = "fake"
    summary = "scripted"
    devices = ("cpu",)
    precisions = ("fp32",)
    needs_onnx = False
    unsupported_ops = frozenset()

    def __init__(self, machine: FakeMachine) -> None:
        self._machine = machine

    def unavailable(self) -> str | None:
        return None

    def prepare(self, model: nn.Module, example: Tensor, profile: HardwareProfile) -> Prepared:
        cost_ms = getattr(model, "cost_ms", REFERENCE_MS)
        if cost_ms < 0:
            raise UnsupportedModelError("no kernel for negative work")
        return FakePrepared(self._machine, cost_ms)


class Costly(nn.Module):
    def __init__(self, cost_ms: float) -> None:
        super().__init__()
        self.cost_ms = cost_ms


def item(width: int, cost_ms: float) -> Item:
    stage = Stage(width=width, blocks=())
    architecture = Architecture(image_size=(8, 8), channels=1, patch_size=4, stages=(stage,))
    return architecture, lambda: Costly(cost_ms)


def items(count: int) -> list[Item]:
    return [item(width + 1, 0.2 + 0.1 * width) for width in range(count)]


@pytest.fixture
def machine() -> FakeMachine:
    return FakeMachine()


def measure(
    machine: FakeMachine, wanted: list[Item], path: Path, **options: object
) -> list[Measurement]:
    options.setdefault("plan", PLAN)
    return measure_models(wanted, PROFILE, path, runtime=FakeRuntime(machine), **options)  # type: ignore[arg-type]


def costs(rows: list[Measurement]) -> list[float]:
    return [row.latency_ms for row in rows]


# -- one slot ---------------------------------------------------------------------------------


def test_a_slot_is_summarised_by_its_quantiles() -> None:
    slot = summarise([float(value) for value in range(1, 12)], attempts=1)
    assert slot == Slot(median_ms=6.0, min_ms=1.0, p90_ms=10.0, iqr_ms=5.0, n=11, attempts=1)
    assert slot.relative_iqr == pytest.approx(5 / 6)


def scripted(machine: FakeMachine, noise: list[float]) -> Prepared:
    script = iter(noise)
    machine.noise = lambda: next(script)
    return FakePrepared(machine, 1.0)


def test_a_noisy_series_is_taken_again(machine: FakeMachine) -> None:
    prepared = scripted(machine, [0.0, *[0.0, 0.5, 0.0, 0.5, 0.5], *[0.01] * 5])
    slot = time_slot(prepared, PLAN, warmup_runs=1, runs=5)
    assert slot.attempts == 2
    assert slot.median_ms == pytest.approx(1.01)


def test_of_noisy_series_only_the_quietest_is_kept(machine: FakeMachine) -> None:
    loud, quieter = [0.0, 0.9, 0.0, 0.9, 0.9], [0.0, 0.2, 0.0, 0.2, 0.2]
    slot = time_slot(scripted(machine, [0.0, *loud, *quieter, *loud]), PLAN, 1, 5)
    assert slot.attempts == 2
    assert slot.iqr_ms == pytest.approx(0.2)
    assert slot.min_ms == 1.0


def test_the_fastest_run_of_all_series_counts(machine: FakeMachine) -> None:
    first, second = [-0.1, 0.5, 0.5, 0.0, 0.0], [0.01] * 5
    slot = time_slot(scripted(machine, [0.0, *first, *second]), PLAN, 1, 5)
    assert slot.median_ms == pytest.approx(1.01)
    assert slot.min_ms == pytest.approx(0.9)


def test_a_clock_that_jumps_is_not_believed(machine: FakeMachine) -> None:
    jump = [-3.0, 0.0, 0.0, 0.0, 0.0]
    slot = time_slot(scripted(machine, [-2.0, *jump, *[0.0] * 5]), PLAN, 1, 5)
    assert slot.median_ms == 1.0
    with pytest.raises(MeasurementError, match="no positive durations"):
        time_slot(scripted(machine, [0.0, *jump * 3]), PLAN, 1, 5)


def test_a_slot_lasts_as_long_as_planned(machine: FakeMachine) -> None:
    plan = Plan(slot_ms=20.0, min_runs=10, max_runs=50)
    assert time_slot(FakePrepared(machine, 1.0), plan, 10).n == 20
    assert time_slot(FakePrepared(machine, 0.01), plan, 10).n == 50
    assert time_slot(FakePrepared(machine, 70.0), plan, 10).n == 10


# -- drift ------------------------------------------------------------------------------------


def test_the_running_median_ignores_a_lone_disturbance_and_follows_a_step() -> None:
    level = np.ones(40)
    disturbed = level.copy()
    disturbed[7] = 5.0
    np.testing.assert_array_equal(smooth(disturbed), level)
    step = np.where(np.arange(40) < 20, 1.0, 2.0)
    np.testing.assert_array_equal(smooth(step), step)


def test_on_a_steady_machine_latency_is_the_cost(machine: FakeMachine, tmp_path: Path) -> None:
    rows = measure(machine, items(5), tmp_path / "m.jsonl")
    assert costs(rows) == pytest.approx([0.2, 0.3, 0.4, 0.5, 0.6])
    assert {drift for row in rows for drift in row.drifts} == {1.0}
    assert all(row.n == PLAN.rounds * 5 and not row.noisy for row in rows)
    assert all(row.reference_ms == REFERENCE_MS for row in rows)
    assert machine.open == 0


def test_a_model_whose_rounds_disagree_gets_further_rounds(
    machine: FakeMachine, tmp_path: Path
) -> None:
    """Its slots are quiet in themselves: something slows it down for longer than a slot."""
    waves = iter(np.random.default_rng(0).uniform(1.0, 1.3, 1000))

    class Wavering(FakePrepared):
        def durations_ms(self, runs: int) -> list[float]:
            wave = next(waves)
            return [wave * duration_ms for duration_ms in super().durations_ms(runs)]

    class Runtime(FakeRuntime):
        def prepare(self, model: nn.Module, example: Tensor, profile: HardwareProfile) -> Prepared:
            if getattr(model, "cost_ms", 0) == 9.0:
                return Wavering(self._machine, 9.0)
            return super().prepare(model, example, profile)

    wanted = [*items(3), item(99, 9.0)]
    rows = measure_models(
        wanted, PROFILE, tmp_path / "m.jsonl", plan=PLAN, runtime=Runtime(machine)
    )
    rounds = [len(row.slots) for row in rows]
    assert rounds == [PLAN.rounds] * 3 + [PLAN.rounds + PLAN.extra_rounds]
    assert not any(row.noisy for row in rows)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_activations_cost_no_page_faults_while_measuring(
    machine: FakeMachine, tmp_path: Path
) -> None:
    """As in a whole run, where training has asked the allocator to keep large blocks."""
    measure(machine, items(1), tmp_path / "rows.jsonl")

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.zeros(2**24)  # 64 MB: 16384 pages, or 32 huge ones
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    assert min(faults() for _ in range(3)) < 16


def test_a_machine_that_becomes_slower_is_corrected(machine: FakeMachine, tmp_path: Path) -> None:
    """It gets 60 % slower while three blocks are measured; medians alone are wrong by that."""
    machine.slowness = lambda time_ms: 1.0 + 0.6 * min(1.0, time_ms / 1500)
    rows = measure(machine, items(24), tmp_path / "m.jsonl")
    assert machine.time_ms > 1500
    raw = np.array([np.median([slot.median_ms for slot in row.slots]) for row in rows])
    true = np.array([0.2 + 0.1 * width for width in range(24)])
    assert np.ptp(raw / true) > 0.3
    np.testing.assert_allclose(costs(rows), true, rtol=0.02)
    floors = [row.floor_ms for row in rows]  # fastest run / fastest reference of the same block
    np.testing.assert_allclose(floors, true, rtol=0.08)
    assert training_target(rows).statistic == "latency"


def test_a_slow_moment_does_not_hit_one_model(machine: FakeMachine, tmp_path: Path) -> None:
    machine.slowness = lambda time_ms: 3.0 if 100 < time_ms < 160 else 1.0
    rows = measure(machine, items(8), tmp_path / "m.jsonl")
    assert costs(rows) == pytest.approx([0.2 + 0.1 * width for width in range(8)], rel=1e-6)


def test_models_are_interleaved_in_seeded_random_order(tmp_path: Path) -> None:
    def order(seed: int) -> list[float]:
        machine = FakeMachine()
        measure(machine, items(6), tmp_path / f"{len(list(tmp_path.iterdir()))}.jsonl", seed=seed)
        runs = [cost for cost in machine.log if cost != REFERENCE_MS]
        return [cost for i, cost in enumerate(runs) if i == 0 or runs[i - 1] != cost]

    assert order(seed=3) == order(seed=3)
    assert order(seed=3) != order(seed=4)
    assert len(order(seed=3)) > 2 * 6  # every model is visited again and again


def test_noise_that_stays_is_marked(machine: FakeMachine, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    machine.noise = lambda: float(rng.uniform(0, 1))
    assert any(row.noisy for row in measure(machine, items(4), tmp_path / "m.jsonl"))


# -- the file ---------------------------------------------------------------------------------


def test_rows_are_data_that_say_everything(machine: FakeMachine, tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    rows = measure(machine, items(3), path)
    stored = [json.loads(line) for line in path.read_text().splitlines()]
    assert [Measurement.from_dict(row) for row in stored] == rows
    for row, (architecture, _) in zip(rows, items(3), strict=True):
        assert Architecture.from_dict(row.architecture) == architecture
        assert row.digest == architecture.digest()
        assert row.profile == PROFILE.key()
    provenance = rows[0].provenance()
    assert provenance["source"] == "measured"
    assert provenance["machine"]["versions"]["torch"]


def test_what_was_measured_is_not_measured_again(machine: FakeMachine, tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    first = measure(machine, items(5), path)
    runs = len(machine.log)
    assert measure(machine, items(5)[::-1], path) == first[::-1]
    assert len(machine.log) == runs
    assert len(measure(machine, items(7), path)) == 7
    assert len(path.read_text().splitlines()) == 7


def test_a_later_session_is_corrected_to_the_level_of_the_first(
    machine: FakeMachine, tmp_path: Path
) -> None:
    path = tmp_path / "m.jsonl"
    measure(machine, items(4), path)
    machine.slowness = lambda time_ms: 1.5
    rows = measure(machine, items(8), path)
    assert costs(rows) == pytest.approx([0.2 + 0.1 * width for width in range(8)])
    assert rows[-1].drifts == pytest.approx((1.5,) * PLAN.rounds)


def test_another_file_can_be_held_to_the_same_level(machine: FakeMachine, tmp_path: Path) -> None:
    """A front is measured again, in a file of its own, when the machine has become slower."""
    first = measure(machine, items(4), tmp_path / "first.jsonl")
    machine.slowness = lambda time_ms: 1.5
    level_ms = first[0].reference_level_ms
    again = measure(machine, items(4), tmp_path / "second.jsonl", level_ms=level_ms)
    assert costs(again) == pytest.approx(costs(first))


def test_a_line_cut_off_by_a_kill_is_dropped(machine: FakeMachine, tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    measure(machine, items(3), path)
    path.write_bytes(path.read_bytes()[:-20])
    assert len(MeasurementFile(path, PROFILE.key()).measurements()) == 2
    assert len(measure(machine, items(3), path)) == 3
    assert len(path.read_text().splitlines()) == 3


def test_profiles_never_mix(machine: FakeMachine, tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    measure(machine, items(2), path)
    other = replace(PROFILE, threads=2)
    with pytest.raises(UserError, match=r"m\.jsonl:1: measured on profile .*threads1"):
        measure_models(items(3), other, path, runtime=FakeRuntime(machine))
    assert len(path.read_text().splitlines()) == 2


def test_machines_never_mix(machine: FakeMachine, tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    rows = measure(machine, items(2), path)
    foreign = rows[0].to_dict()
    foreign["machine"] = {**foreign["machine"], "processor": "Pentium II"}
    path.write_text(json.dumps(foreign) + "\n")
    with pytest.raises(UserError, match=r"measured on Pentium II .* measure into another file"):
        measure(machine, items(2), path)
    assert len(measure(machine, items(1), path)) == 1  # reading them is allowed


@pytest.mark.parametrize("line", ["rubbish", "[1]", "{}"])
def test_rubbish_in_the_file_is_named(machine: FakeMachine, tmp_path: Path, line: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(UserError, match=r"m\.jsonl:1: no measurement row"):
        measure(machine, items(2), path)


def test_rows_of_another_version_are_refused(machine: FakeMachine, tmp_path: Path) -> None:
    row = measure(machine, items(1), tmp_path / "m.jsonl")[0].to_dict()
    with pytest.raises(UserError, match="schema is not 1"):
        Measurement.from_dict(row | {"schema": 99})
    del row["clock"]
    with pytest.raises(UserError, match="clock"):
        Measurement.from_dict(row)


# -- limits and failures ----------------------------------------------------------------------


def test_a_model_the_runtime_cannot_run_is_recorded(machine: FakeMachine, tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    wanted = [*items(2), item(50, -1.0)]
    assert len(measure(machine, wanted, path)) == 2
    (failure,) = MeasurementFile(path, PROFILE.key()).failures()
    assert failure.reason == "no kernel for negative work"
    assert failure.digest == wanted[-1][0].digest()
    runs = len(machine.log)
    assert len(measure(machine, wanted, path)) == 2  # it is not tried again
    assert len(machine.log) == runs


def test_when_nothing_can_be_measured_the_reason_is_given(
    machine: FakeMachine, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="no model could be measured: no kernel for negative"):
        measure(machine, [item(1, -1.0)], tmp_path / "m.jsonl")
    assert measure(machine, [], tmp_path / "none.jsonl") == []


def test_a_device_lost_in_the_middle_keeps_earlier_blocks(
    machine: FakeMachine, tmp_path: Path
) -> None:
    path = tmp_path / "m.jsonl"

    def lost() -> float:
        if machine.time_ms > 400:
            raise ConnectionError("device lost")
        return 0.0

    machine.noise = lost
    with pytest.raises(ConnectionError):
        measure(machine, items(24), path)
    assert machine.open == 0
    assert 8 <= len(path.read_text().splitlines()) < 24


def test_equal_architectures_count_once(machine: FakeMachine, tmp_path: Path) -> None:
    assert len(measure(machine, [*items(3), *items(3)], tmp_path / "m.jsonl")) == 3


def test_progress_counts_models_and_time_is_kept(machine: FakeMachine, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    options = {"on_progress": lambda *at: seen.append(at), "now_s": lambda: machine.time_ms / 1e3}
    rows = measure(machine, items(30), tmp_path / "m.jsonl", max_seconds=0.6, **options)
    assert 4 < len(rows) < 30
    assert machine.time_ms < 1.3 * 600
    assert seen[0] == (4, 30)  # a small pilot tells what a model costs
    assert seen[-1] == (len(rows), 30)
    rows = measure(machine, items(30), tmp_path / "m.jsonl", **options)
    assert seen[-1] == (30, 30)
    assert len(rows) == 30


# -- repeatability ----------------------------------------------------------------------------


def test_agreement_of_series_by_hand() -> None:
    found, true = np.array([1.1, 2.0, 2.7]), np.array([1.0, 2.0, 3.0])
    result = agreement(found, true)
    assert result.mape == pytest.approx((0.1 + 0.0 + 0.1) / 3)
    assert (result.kendall_tau, result.spearman, result.n) == (1.0, 1.0, 3)
    assert agreement(true[::-1], true).kendall_tau == -1.0
    assert agreement(np.ones(3), true).kendall_tau == 0.0


def test_a_quiet_machine_repeats_perfectly(machine: FakeMachine, tmp_path: Path) -> None:
    rows = measure(machine, items(6), tmp_path / "m.jsonl")
    result = repeatability(rows)
    assert result.mape == pytest.approx(0.0)
    assert result.kendall_tau == pytest.approx(1.0)
    assert training_target(rows).statistic == "latency"


def test_a_busy_machine_is_learned_by_its_floor(machine: FakeMachine, tmp_path: Path) -> None:
    """Interruptions come and go: medians differ from round to round, minima do not."""
    rng = np.random.default_rng(1)
    machine.noise = lambda: float(rng.exponential(0.3)) if rng.random() < 0.7 else 0.0
    plan = replace(PLAN, min_runs=20, max_runs=20, reference_runs=20)
    rows = measure(machine, items(20), tmp_path / "m.jsonl", plan=plan)
    target = training_target(rows)
    assert target.statistic == "floor"
    assert repeatability(rows, "floor").mape < repeatability(rows, "latency").mape
    assert target.scale > 1.05
    true = np.array([0.2 + 0.1 * width for width in range(20)])
    assert np.std(np.log(target.latency_ms_B / true)) < np.std(np.log(np.array(costs(rows)) / true))
