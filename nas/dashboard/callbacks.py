"""What is beside and below the trade-off: the chosen architecture, the tabs, files to save."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import plotly.graph_objects as go
from dash import Dash, Input, Output, State, no_update

from nas.dashboard.layout import TAB_LABELS
from nas.dashboard.panels import drawn as drawn_figures
from nas.dashboard.panels import tables
from nas.dashboard.panels.architecture import details, title
from nas.dashboard.panels.markup import note
from nas.dashboard.panels.predictors import predictors_tab
from nas.dashboard.panels.study import genes_tab, layers_tab, search_tab
from nas.dashboard.reading.files import mapping
from nas.dashboard.state import State as Runs
from nas.dashboard.state import home_of, metrics_of, shown_runs
from nas.dashboard.view import View


def register(app: Dash, runs: Runs) -> None:
    """Add the callbacks that draw."""
    _register_details(app, runs)
    _register_tabs(app, runs)
    _register_csv(app, runs)


def file_of(text: str, name: str) -> dict[str, Any]:
    """What ``dcc.Download`` saves."""
    return {"content": text, "filename": name, "type": "text/plain", "base64": False}


def _register_details(app: Dash, runs: Runs) -> None:
    @app.callback(
        Output("title", "children"),
        Output("details", "children"),
        Output("json", "disabled"),
        Output("export", "disabled"),
        Output("pin", "disabled"),
        Output("unpin", "disabled"),
        Output("details", "data-of"),
        Input("selection", "data"),
        Input("version", "data"),
        State("details", "data-of"),
        prevent_initial_call=True,
    )
    def chosen(selection: Any, _: Any, of: Any) -> tuple[Any, ...]:
        view = View.of_data(selection)
        one, other = runs.find(view.point), runs.find(view.pin)
        # The same architecture of the same front is not drawn again.
        front = 0 if one is None else id(one.run.content.predictor) + id(one.member)
        now = f"{view.point} {view.pin} {front} {one is None}"
        if now == of:
            return (no_update,) * 7
        home = None if one is None else home_of(one, runs.runs())
        nothing = one is None
        return (
            title(one),
            details(runs, one, other),
            nothing,
            home is None,
            nothing,
            other is None,
            now,
        )

    @app.callback(
        Output("download", "data", allow_duplicate=True),
        Input("json", "n_clicks"),
        State("selection", "data"),
        prevent_initial_call=True,
    )
    def as_json(clicks: Any, selection: Any) -> Any:
        one = runs.find(View.of_data(selection).point)
        if not clicks or one is None:
            return no_update
        text = json.dumps(one.architecture.to_dict(), indent=1) + "\n"
        return file_of(text, f"{one.architecture.digest()}.json")


def _register_tabs(app: Dash, runs: Runs) -> None:
    @app.callback(
        Output("content", "children"),
        Output("gene", "options"),
        Output("drawn", "options"),
        Output("genes-controls", "hidden"),
        Output("images-controls", "hidden"),
        Output("images-part", "hidden"),
        Output("content-key", "data"),
        Output("table-controls", "hidden"),
        Input("view", "data"),
        Input("drawn-key", "data"),  # the trade-off comes first
        Input("drawn", "value"),
        State("selection", "data"),
        State("gene", "options"),
        State("content-key", "data"),
        prevent_initial_call=True,
    )
    def content(
        data: Any, _: Any, drawn: Any, selection: Any, genes: Any, before: Any
    ) -> tuple[Any, ...]:
        if data is None:
            return (no_update,) * 8
        view = View.of_data({**mapping(data), **mapping(selection)})
        key = f"{runs.version(view.runs)} {replace(view, zoom='', point='', pin='')} {drawn}"
        if key == before:
            return (no_update,) * 8
        return (*made_of(view, drawn, genes), key)

    def made_of(view: View, drawn: Any, genes: Any) -> tuple[Any, ...]:
        shown = shown_runs(runs, view)
        hidden = tuple(view.tab != name for name in ("genes", "images", "images", "table"))
        if view.tab == "images":
            return ([], no_update, no_update, *hidden)
        if view.tab == "genes":
            made, names = _guarded(lambda: genes_tab(shown, view), ([], []))
            options = list(dict.fromkeys([*names, view.gene])) if view.gene else names
            return (made, options if options != genes else no_update, no_update, *hidden)
        if view.tab == "table":
            return (_table(runs, view, str(drawn)), no_update, list(_DRAWN), *hidden)
        build: Any = {
            "search": lambda: search_tab(shown),
            "layers": lambda: layers_tab(shown, view),
            "predictors": lambda: predictors_tab(shown),
        }[view.tab if view.tab in TAB_LABELS else "search"]
        return (_guarded(build, []), no_update, no_update, *hidden)


def _guarded(build: Any, nothing: Any) -> Any:
    try:
        return build()
    except Exception as error:  # hostile data costs one tab, not the page
        told = [note(f"This cannot be shown: {str(error)[:200]}")]
        return (told, []) if isinstance(nothing, tuple) else told


def figure_named(runs: Runs, view: View, name: str) -> tuple[go.Figure, str, str] | None:
    """A drawn figure and the titles of its axes."""
    build = drawn_figures.FIGURES.get(name)
    return None if build is None else build(runs, view, shown_runs(runs, view))


_DRAWN = ("members", *drawn_figures.FIGURES)


def _table(runs: Runs, view: View, name: str) -> Any:
    shown = shown_runs(runs, view)
    if name == "members":
        return tables.members_table(shown, metrics_of(shown)[:8], view.point)
    made = _guarded(lambda: figure_named(runs, view, name), None)
    if not isinstance(made, tuple):
        return note("There is nothing drawn.")
    return tables.drawn_table(*made)


def _register_csv(app: Dash, runs: Runs) -> None:
    @app.callback(
        Output("download", "data", allow_duplicate=True),
        Input("csv", "n_clicks"),
        State("view", "data"),
        State("drawn", "value"),
        prevent_initial_call=True,
    )
    def as_csv(clicks: Any, data: Any, name: Any) -> Any:
        if not clicks:
            return no_update
        view = View.of_data(data)
        wanted = "trade-off" if name == "members" else str(name)
        made = _guarded(lambda: figure_named(runs, view, wanted), None)
        if not isinstance(made, tuple):
            return no_update
        return file_of(tables.as_csv(*made), f"{name}.csv")
