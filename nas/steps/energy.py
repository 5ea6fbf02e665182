"""Energy of a front member where the machine has a counter for it."""

from __future__ import annotations

from nas.front import Metric
from nas.hardware.counters import counter_for, mj_per_call
from nas.hardware.machine import now
from nas.hardware.profile import HardwareProfile
from nas.run import Run
from nas.runtimes.base import RUNTIMES
from supernet.extract import VisionTransformer


def measured_energy(
    run: Run, profile: HardwareProfile, model: VisionTransformer
) -> dict[str, Metric]:
    """``energy_mj`` of one image in the profile's runtime; nothing where no counter can be read."""
    counter = counter_for(profile.device)
    if counter is None:
        return {}
    example = run.example(profile)
    with RUNTIMES[profile.runtime].prepare(model, example, profile) as prepared:
        prepared.run()
        call_mj, calls = mj_per_call(counter, prepared.run)
    source = {"counter": counter.name, "runtime": profile.runtime, "date": now()}
    value = call_mj / profile.batch
    return {"energy_mj": Metric(value=value, kind="measured", n=calls, source=source)}
