"""Energy of one image, millijoules: estimated in the search, from a counter where there is one.

A described device states its own power, and estimates kernel by kernel. Of a measured device only
the latency is known: what a core draws while it stands still, times that, and what arithmetic and
reading the weights cost. The sizes are those of a server core (Xeon 8380, see its spec sheet) and
right to a factor, not to a percent; they rank networks of one device. In verification a counter
(RAPL, NVML) takes its place where one can be read: ``nas/hardware/counters.py``.
"""

from collections.abc import Mapping
from typing import Any

from nas.objectives.objective import OBJECTIVES, Objective

CORE_W = 1.5
PJ_PER_MAC, PJ_PER_BYTE = 64.0, 150.0


def energy_mj(known: Mapping[str, Any]) -> Any:
    """mJ an image; numbers or columns ``(B,)``."""
    if "energy_mj" in known:
        return known["energy_mj"]
    batch = known["batch"]
    standing = CORE_W * known["latency_ms"] / batch
    weights = 4 * known["params"] * PJ_PER_BYTE / batch
    return standing + (known["macs"] * PJ_PER_MAC + weights) * 1e-9


OBJECTIVES.add(
    Objective(
        name="energy_mj",
        label="energy per image",
        unit="mJ",
        direction="min",
        cost="free",
        derive=energy_mj,
        kind="estimated",
    )
)
