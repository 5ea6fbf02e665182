"""What the user did, as ``assets/events.js`` keeps it, and what the view is after it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from nas.dashboard.reading.files import mapping, rows_of
from nas.dashboard.view import View

Event = dict[str, Any]
"""n: its number; id and prop: of the part it happened on; value: what Dash tells of it."""


def since(happened: Any, heard: Any) -> tuple[list[Event], int]:
    """The events after number ``heard``, and the number of the last one."""
    seen = heard if isinstance(heard, int) else 0
    known = [dict(mapping(event)) for event in rows_of(happened)]
    numbered = [event for event in known if isinstance(event.get("n"), int)]
    news = [event for event in numbered if event["n"] > seen]
    return news, max((event["n"] for event in news), default=seen)


def applied(view: View, news: Sequence[Event], keys: Sequence[str]) -> View:
    """The view after events, in their order.

    Args:
        view: before them.
        news: the events.
        keys: of all runs.
    """
    for event in news:
        view = _after(view, event, list(view.runs) or list(keys))
    return view


def _after(view: View, event: Event, shown: list[str]) -> View:
    part, value = _part(event.get("id")), event.get("value")
    if part == "front":
        if event.get("prop") == "relayoutData":
            return replace(view, zoom=zoom_of(mapping(value), view.zoom))
        return replace(view, point=point_of(value, shown) or view.point)
    if part == "pin":
        return replace(view, pin=view.point)
    if part == "unpin":
        return replace(view, pin="")
    if isinstance(part, Mapping) and part.get("type") == "choose":
        return replace(view, point=str(part.get("place"))[:200]) if value else view
    if isinstance(part, Mapping) and part.get("type") == "chart":
        return _of_chart(view, part, value)
    return view


def _part(name: Any) -> Any:
    """An id; those with several fields come as JSON."""
    if not isinstance(name, str) or not name.startswith("{"):
        return name
    try:
        return mapping(json.loads(name))
    except ValueError:
        return None


def _of_chart(view: View, part: Mapping[str, Any], clicked: Any) -> View:
    custom = _custom(clicked)
    if part.get("name") == "importance" and custom:
        return replace(view, gene=str(custom[0])[:200])
    if part.get("name") == "along" and len(custom) == 2:
        return replace(view, point=f"{custom[0]}|{custom[1]}"[:200])
    return view


def _custom(clicked: Any) -> list[Any]:
    points = rows_of(mapping(clicked).get("points"))
    custom = mapping(points[0]).get("customdata") if points else None
    # Typed arrays come back as {"0": ..., "1": ...}.
    return list(custom.values()) if isinstance(custom, dict) else rows_of(custom)


def point_of(clicked: Any, shown: list[str]) -> str:
    """What a click on the front means: "run|digest", "run|#trial", "" where it means nothing."""
    custom = _custom(clicked)
    if len(custom) != 2:
        return ""
    if isinstance(custom[0], str):
        return f"{custom[0]}|{custom[1]}" if custom[0] in shown else ""
    try:
        place, trial = int(custom[0]), int(custom[1])
    except (TypeError, ValueError):
        return ""
    return f"{shown[place]}|#{trial}" if 0 <= place < len(shown) else ""


def zoom_of(relayout: Any, before: str) -> str:
    """The range that plotly reports, "" once the user asked for the whole again."""
    if relayout.get("xaxis.autorange") or relayout.get("yaxis.autorange"):
        return ""
    old = before.split(",") if before.count(",") == 3 else [""] * 4
    ends = ("xaxis.range[0]", "xaxis.range[1]", "yaxis.range[0]", "yaxis.range[1]")
    new = []
    for place, end in enumerate(ends):
        axis, index = end.split(".")[0], int(end[-2])
        whole = relayout.get(f"{axis}.range")
        value = whole[index] if isinstance(whole, list) and len(whole) == 2 else relayout.get(end)
        new.append(f"{value:.6g}" if isinstance(value, int | float) else old[place])
    return ",".join(new) if all(new) else before
