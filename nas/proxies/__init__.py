"""Proxies: how good an architecture looks before anything is trained; one file per member."""

from nas.proxies.proxy import PROXIES, Combination, Proxy, Score, warning

__all__ = ["PROXIES", "Combination", "Proxy", "Score", "warning"]
