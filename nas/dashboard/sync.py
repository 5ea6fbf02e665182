"""The view, the controls and the address: one callback keeps them the same.

It looks at what the page holds and never at what caused the request: Dash drops the answer to a
request when the same callback is asked again, and tells the later one of its own cause alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dash import ALL, ClientsideFunction, Dash, Input, Output, State, no_update

from nas.dashboard import events
from nas.dashboard.reading.files import mapping
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
    ("model", "value"),
    ("drawn", "value"),
)
_FIGURE = ("runs", "x", "y", "flags", "values", "tab", "gene", "model", "metric", "drawn")
_FIRST = ("gene", "model")  # without a choice of the user, the first one is shown


_BUTTONS = {"type": "choose", "place": ALL}


def register(app: Dash, runs: Runs) -> None:
    """Add the callbacks."""
    in_the_page: Any = app.clientside_callback
    in_the_page(
        ClientsideFunction("formfinder", "happened"),
        Output("events", "data"),
        Input("front", "clickData"),
        Input("front", "relayoutData"),
        Input("pin", "n_clicks"),
        Input("unpin", "n_clicks"),
        Input(_BUTTONS, "n_clicks"),
        Input({"type": "chart", "name": ALL}, "clickData"),
        prevent_initial_call=True,
    )
    in_the_page(
        ClientsideFunction("formfinder", "marked"),
        Output(_BUTTONS, "className"),
        Input("selection", "data"),
        Input("content-key", "data"),
        State(_BUTTONS, "id"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output("url", "search"),
        Output("view", "data"),
        Output("selection", "data"),
        Output("heard", "data"),
        *(Output(name, prop) for name, prop in _CONTROLS),
        Input("url", "search"),
        Input("events", "data"),
        *(Input(name, prop) for name, prop in _CONTROLS),
        State("view", "data"),
        State("selection", "data"),
        State("heard", "data"),
    )
    def synchronise(search: str | None, happened: Any, *rest: Any) -> tuple[Any, ...]:
        controls = dict(zip((name for name, _ in _CONTROLS), rest, strict=False))
        data, selection, heard = rest[len(_CONTROLS) :]
        keys = list(runs.runs())
        before = None if data is None else View.of_data({**mapping(data), **mapping(selection)})
        news, last = events.since(happened, heard)
        view = view_after(before, search or "", controls, news, keys)
        seen = last if last != heard else no_update
        return _outputs(view, search or "", data, selection, seen, controls)


def view_after(
    before: View | None,
    search: str,
    controls: dict[str, Any],
    news: list[dict[str, Any]],
    keys: list[str],
) -> View:
    """What is to be shown.

    Args:
        before: what was, None when the page opens.
        search: the address; one that does not say ``before`` was typed, or gone back to.
        controls: their values.
        news: what was clicked since.
        keys: of the runs.
    """
    asked = View.of_query(search, keys)
    if before is None or asked != View.of_query(before.query(), keys):
        return asked
    given = {**before.data(), **{k: v for k, v in controls.items() if v is not None}}
    view = View.of_data(given)
    if (view.x, view.y, view.flags) != (before.x, before.y, before.flags):
        view = replace(view, zoom="")
    return events.applied(view, news, keys)


def _outputs(
    view: View, search: str, data: Any, selection: Any, heard: Any, controls: dict[str, Any]
) -> tuple[Any, ...]:
    """Only what changed: an output that stays the same would draw everything again."""
    figure = {name: value for name, value in view.data().items() if name in _FIGURE}
    figure = {k: list(v) if isinstance(v, tuple) else v for k, v in figure.items()}
    chosen = {"point": view.point, "pin": view.pin, "zoom": view.zoom}
    query = view.query()
    made: list[Any] = [
        query if query != search else no_update,
        figure if figure != data else no_update,
        chosen if chosen != selection else no_update,
        heard,
    ]
    for name, _ in _CONTROLS:
        value = figure[name] or (None if name in _FIRST else figure[name])
        made.append(value if value != controls[name] else no_update)
    return tuple(made)
