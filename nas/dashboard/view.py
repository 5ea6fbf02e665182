"""What the user looks at, and how the address says it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode

TABS = ("search", "layers", "genes", "predictors", "images", "table")
VALUES = ("measured", "predicted", "both")
FLAGS = ("logx", "logy", "feasible", "trials", "stars")
DRAWN = (
    *("members", "trade-off", "architecture", "costs", "hypervolume", "training", "layers"),
    *("along", "genes", "choices", "latency", "memory", "noise", "fidelity"),
)
_NAME = re.compile(r"^[A-Za-z0-9_]{1,60}$")
_TEXTS = ("values", "tab", "gene", "model", "point", "pin", "zoom", "drawn")
_ALLOWED = {"values": VALUES, "tab": TABS, "drawn": DRAWN}
_MAX_RUNS = 40
_MAX_TEXT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A view that can be shared.

    Attributes:
        runs: keys of the runs; () means all.
        x, y: metrics.
        flags: of ``FLAGS``, what is switched on.
        values: ``measured``, ``predicted`` or ``both``.
        point, pin: the chosen and the pinned architecture: "run|digest", or "".
        tab: of ``TABS``.
        gene: whose marginals are shown, "" for the most important.
        model: the exported model that images are explained with, "" for the first.
        metric: what importance is of.
        drawn: what the table shows, of ``DRAWN``.
        zoom: x0, x1, y0, y1 in the axes' coordinates, or "".
    """

    runs: tuple[str, ...] = ()
    x: str = "latency_ms"
    y: str = "accuracy"
    flags: tuple[str, ...] = ("logx", "trials", "stars")
    values: str = "both"
    point: str = ""
    pin: str = ""
    tab: str = "search"
    gene: str = ""
    model: str = ""
    metric: str = "accuracy"
    drawn: str = "members"
    zoom: str = ""

    @property
    def span(self) -> tuple[float, float, float, float] | None:
        """``zoom`` as numbers; None where there is none."""
        try:
            numbers = tuple(float(part) for part in self.zoom.split(","))
        except ValueError:
            return None
        if len(numbers) != 4 or not all(abs(number) < 1e12 for number in numbers):
            return None
        return (numbers[0], numbers[1], numbers[2], numbers[3])

    def query(self) -> str:
        """As the address has it, defaults left out: ``?x=params&runs=a&runs=b``."""
        pairs: list[tuple[str, str]] = []
        default = View()
        for field in fields(self):
            value = getattr(self, field.name)
            if value == getattr(default, field.name):
                continue
            if field.name == "flags":
                pairs.append(("flags", " ".join(value)))
            elif field.name == "runs":
                pairs += [("runs", run) for run in value]
            else:
                pairs.append((field.name, value))
        return f"?{urlencode(pairs)}" if pairs else ""

    @classmethod
    def of_query(cls, query: str, runs: Iterable[str] = ()) -> Self:
        """The inverse of ``query``; what nobody could have chosen is left out."""
        there = set(runs)
        given: dict[str, Any] = {}
        pairs = parse_qsl(query.lstrip("?")[:8000], keep_blank_values=True)
        chosen = tuple(dict.fromkeys(v for k, v in pairs if k == "runs" and v in there))
        if chosen:
            given["runs"] = chosen[:_MAX_RUNS]
        for key, value in pairs:
            text = value[:_MAX_TEXT]
            if key in ("x", "y", "metric") and _NAME.match(text):
                given[key] = text
            elif key == "flags":
                given[key] = tuple(flag for flag in FLAGS if flag in text.split())
            elif key in _TEXTS and text in _ALLOWED.get(key, (text,)):
                given[key] = text
        return cls(**given)

    def data(self) -> dict[str, Any]:
        """For a store in the page."""
        return asdict(self)

    @classmethod
    def of_data(cls, data: Mapping[str, Any] | None) -> Self:
        """The inverse of ``data``; it comes from the page, so it is checked like an address."""
        if not data:
            return cls()
        known = {field.name for field in fields(cls)}
        clean: dict[str, Any] = {}
        for name, value in data.items():
            if name == "runs" and isinstance(value, list | tuple):
                clean[name] = tuple(str(v)[:_MAX_TEXT] for v in value[:_MAX_RUNS])
            elif name == "flags" and isinstance(value, list | tuple):
                clean[name] = tuple(flag for flag in FLAGS if flag in value)
            elif name in known and isinstance(value, str):
                clean[name] = value[:_MAX_TEXT]
        return cls(**clean)


def place_of(text: str) -> tuple[str, str]:
    """Run and digest (or ``#number`` of a trial) of ``point`` or ``pin``."""
    run, _, digest = text.rpartition("|")
    return run, digest
