"""Metrics of a front member on a device that is described: estimates, and marked so."""

from __future__ import annotations

from nas.front import Metric
from nas.hardware.profile import HardwareProfile
from nas.roofline.columns import DescribedCosts


def estimated_metrics(costs: DescribedCosts, profile: HardwareProfile) -> dict[str, Metric]:
    """Latency, memory, energy, and what else the device has limits for, of the first candidate."""
    spec = costs.setting.spec
    columns = {
        "latency_ms": costs.latency_ms_B,
        "peak_memory_mb": costs.peak_memory_mb(profile.batch),
        **costs.columns,
    }
    source = {"profile": profile.key(), "device": spec.model, "spec": spec.source}
    return {
        name: Metric(value=float(values[0]), kind="estimated", source=source)
        for name, values in columns.items()
    }
