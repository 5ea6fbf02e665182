"""Images a second, at the profile's batch: what is asked of a server."""

from collections.abc import Mapping
from typing import Any

from nas.objectives.objective import OBJECTIVES, Objective


def throughput(known: Mapping[str, Any]) -> Any:
    """Images a second from ``latency_ms`` of one ``batch``; numbers or columns ``(B,)``."""
    return known["batch"] * 1e3 / known["latency_ms"]


OBJECTIVES.add(
    Objective(
        name="throughput",
        label="throughput",
        unit="images/s",
        direction="max",
        cost="free",
        derive=throughput,
    )
)
