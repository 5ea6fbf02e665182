"""Energy of a batch where no counter can be read: power of standing still, work and traffic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nas.roofline.kernels import KernelTime
from nas.roofline.setting import Setting


def energy_j(times: Sequence[KernelTime], latency_s: Any, setting: Setting) -> Any:
    """Joules of one batch: static power × time + pJ per MAC + pJ per byte.

    No more than the board's power allows. Ints' floats, or columns ``(B,)``.
    """
    macs: Any = sum(time.macs for time in times)
    moved: Any = sum(time.bytes for time in times)
    return joules(macs, moved, latency_s, setting)


def joules(macs: Any, moved_bytes: Any, latency_s: Any, setting: Setting) -> Any:
    """The same from sums over kernels."""
    spec = setting.spec
    work = (macs * spec.pj_per_mac(setting.precision) + moved_bytes * spec.pj_per_byte) * 1e-12
    return np.minimum(spec.static_w * latency_s + work, spec.power_w * latency_s)
