"""The view, the controls and the address: one callback keeps them the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dash import ALL, Dash, Input, Output, State, ctx, no_update

from nas.dashboard.reading.files import mapping, rows_of
from nas.dashboard.state import State as Runs
from nas.dashboard.view import View

_CONTROLS = (
    ("runs", "value"),
    ("x", "value"),
    ("y", "value"),
    ("flags", "value"),
    ("values", "value"),
    ("tab", "value"),
    ("metric", "value"),
    ("gene", "value"),
    ("drawn", "value"),
)
_FIGURE = ("runs", "x", "y", "flags", "values", "tab", "gene", "metric", "drawn")


def register(app: Dash, runs: Runs) -> None:
    """Add the callback."""

    @app.callback(
        Output("url", "search"),
        Output("view", "data"),
        Output("selection", "data"),
        *(Output(name, prop) for name, prop in _CONTROLS),
        Input("url", "search"),
        *(Input(name, prop) for name, prop in _CONTROLS),
        Input("front", "clickData"),
        Input("front", "relayoutData"),
        Input("pin", "n_clicks"),
        Input("unpin", "n_clicks"),
        Input({"type": "choose", "place": ALL}, "n_clicks"),
        Input({"type": "chart", "name": ALL}, "clickData"),
        State("view", "data"),
        State("selection", "data"),
    )
    def synchronise(search: str | None, *rest: Any) -> tuple[Any, ...]:
        controls = dict(zip((name for name, _ in _CONTROLS), rest, strict=False))
        clicked, relayout, *_, data, selection = rest[len(_CONTROLS) :]
        keys = list(runs.runs())
        before = View.of_data({**mapping(data), **mapping(selection)})
        if ctx.triggered_id in (None, "url") or data is None:
            view = View.of_query(search or "", keys)
        else:
            given = {**before.data(), **{k: v for k, v in controls.items() if v is not None}}
            view = _after(View.of_data(given), keys, clicked, relayout)
            view = with_click(view, clicked, selection, keys)
        return _outputs(view, search or "", data, selection, controls, str(_custom(clicked)))


def with_click(view: View, clicked: Any, selection: Any, keys: list[str]) -> View:
    """The view after a click whose own request was overtaken: Dash drops the answer to a request
    when the same callback is asked again, and the later one is told of its own cause alone.
    """
    if str(_custom(clicked)) == mapping(selection).get("clicked", "[]"):
        return view
    return replace(view, point=point_of(clicked, list(view.runs) or keys) or view.point)


def _after(view: View, keys: list[str], clicked: Any, relayout: Any) -> View:
    """The view after whatever the user did."""
    trigger = ctx.triggered_id
    if trigger in ("x", "y", "flags"):
        return replace(view, zoom="")
    if trigger == "front":
        if any("relayoutData" in entry["prop_id"] for entry in ctx.triggered):
            return replace(view, zoom=zoom_of(mapping(relayout), view.zoom))
        shown = list(view.runs) or keys
        return replace(view, point=point_of(clicked, shown) or view.point)
    if trigger == "pin":
        return replace(view, pin=view.point)
    if trigger == "unpin":
        return replace(view, pin="")
    if isinstance(trigger, dict) and trigger.get("type") == "choose":
        pressed = any(entry.get("value") for entry in ctx.triggered)
        return replace(view, point=str(trigger["place"])[:200]) if pressed else view
    if isinstance(trigger, dict) and trigger.get("type") == "chart":
        return _of_chart(view, trigger, ctx.triggered[0].get("value"))
    return view


def _of_chart(view: View, trigger: dict[str, Any], clicked: Any) -> View:
    custom = _custom(clicked)
    if trigger.get("name") == "importance" and custom:
        return replace(view, gene=str(custom[0])[:200])
    if trigger.get("name") == "along" and len(custom) == 2:
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


def _outputs(
    view: View, search: str, data: Any, selection: Any, controls: dict[str, Any], clicked: str
) -> tuple[Any, ...]:
    """Only what changed: an output that stays the same would draw everything again."""
    figure = {name: value for name, value in view.data().items() if name in _FIGURE}
    figure = {k: list(v) if isinstance(v, tuple) else v for k, v in figure.items()}
    chosen = {"point": view.point, "pin": view.pin, "zoom": view.zoom, "clicked": clicked}
    query = view.query()
    made: list[Any] = [
        query if query != search else no_update,
        figure if figure != data else no_update,
        chosen if chosen != selection else no_update,
    ]
    for name, _ in _CONTROLS:
        value = figure[name] or (None if name == "gene" else figure[name])
        made.append(value if value != controls[name] else no_update)
    return tuple(made)
