"""Devices, and the profile that names everything a latency depends on. One file per device."""

from __future__ import annotations

from typing import Any

__all__ = ["Estimate", "estimate", "trace"]


def __getattr__(name: str) -> Any:
    # Found when asked for, so that listing devices loads neither numpy nor the cost model.
    if name == "trace":
        from nas.roofline.tracing import trace

        return trace
    if name in __all__:
        from nas.roofline import estimating

        return getattr(estimating, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
