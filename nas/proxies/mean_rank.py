"""Mean rank of three proxies that look at different things."""

from __future__ import annotations

from nas.proxies.proxy import PROXIES, Combination


@PROXIES.register
class MeanRank(Combination):
    """Flow through the weights, switching units, and diversity of attention."""

    name = "mean_rank"
    label = "mean rank"
    summary = "mean rank of log_synflow, naswot and dss"
    source = "rank sums as in FreeREA and AZ-NAS"
    members = ("log_synflow", "naswot", "dss")
