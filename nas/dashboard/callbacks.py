"""From the view and the runs to the page."""

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
from nas.dashboard.panels.markup import guarded, note
from nas.dashboard.panels.predictors import predictors_tab
from nas.dashboard.panels.status import strip
from nas.dashboard.panels.study import genes_tab, layers_tab, search_tab
from nas.dashboard.panels.trade_off import HEIGHT, trade_off
from nas.dashboard.reading.files import mapping
from nas.dashboard.reading.run import Snapshot
from nas.dashboard.state import State as Runs
from nas.dashboard.state import home_of, metrics_of
from nas.dashboard.view import View
from nas.figures.axes import axis_of

SHOWN_AT_FIRST = 8


def shown_runs(runs: Runs, view: View) -> list[Snapshot]:
    """The runs of a view; the first ones where it names none."""
    known = runs.runs()
    keys = [key for key in view.runs if key in known] or list(known)[:SHOWN_AT_FIRST]
    return [known[key] for key in keys]


def register(app: Dash, runs: Runs) -> None:
    """Add the callbacks that draw."""
    _register_tick(app, runs)
    _register_front(app, runs)
    _register_details(app, runs)
    _register_tabs(app, runs)
    _register_csv(app, runs)


def file_of(text: str, name: str) -> dict[str, Any]:
    """What ``dcc.Download`` saves."""
    return {"content": text, "filename": name, "type": "text/plain", "base64": False}


def metric_options(runs: Runs, view: View) -> list[dict[str, str]]:
    """Every metric of any run, and those of the view."""
    known = list(runs.runs().values())
    objectives = [objective for run in known for objective in run.front.objectives]
    names = dict.fromkeys([*metrics_of(known), view.x, view.y, view.metric])
    return [{"label": axis_of(name, objectives).label, "value": name} for name in names]


def _register_tick(app: Dash, runs: Runs) -> None:
    @app.callback(
        Output("version", "data"),
        Output("status", "children"),
        Output("runs", "options"),
        Output("x", "options"),
        Output("y", "options"),
        Output("metric", "options"),
        Input("tick", "n_intervals"),
        Input("view", "data"),
        State("version", "data"),
        State("runs", "options"),
        State("x", "options"),
    )
    def tick(_: Any, data: Any, version: Any, keys: Any, metrics: Any) -> tuple[Any, ...]:
        known = runs.runs()
        view = View.of_data(data)
        shown = shown_runs(runs, view)
        now = runs.version()
        options = [{"label": key, "value": key} for key in known]
        choices = metric_options(runs, view)
        changed = choices if choices != metrics else no_update
        return (
            now if now != version else no_update,
            strip(known, [run.key for run in shown]),
            options if options != keys else no_update,
            changed,
            changed,
            changed,
        )


def _register_front(app: Dash, runs: Runs) -> None:
    @app.callback(
        Output("front", "figure"),
        Output("drawn-key", "data"),
        Input("view", "data"),
        Input("selection", "data"),
        Input("version", "data"),
        State("drawn-key", "data"),
        prevent_initial_call=True,
    )
    def front(data: Any, selection: Any, _: Any, drawn: Any) -> tuple[Any, Any]:
        if data is None:
            return no_update, no_update
        view = View.of_data({**mapping(data), **mapping(selection)})
        # Neither the tab below nor a zoom, which plotly keeps itself, draws it again.
        key = f"{runs.version(view.runs)} {replace(view, tab='', zoom='', gene='', metric='')}"
        if key == drawn:
            return no_update, no_update
        return front_of(runs, view), key


def warm_up(runs: Runs) -> None:
    """Draw what the first page shows: what is slow the first time is then behind us."""
    view = View()
    front_of(runs, view).to_json()
    _guarded(lambda: search_tab(shown_runs(runs, view)), [])
    metric_options(runs, view)


def front_of(runs: Runs, view: View) -> go.Figure:
    """The trade-off of a view."""
    shown = shown_runs(runs, view)
    chosen, pinned = runs.find(view.point), runs.find(view.pin)
    return guarded(lambda: trade_off(runs, view, shown, chosen, pinned, view.span), HEIGHT)


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
        Input("version", "data"),
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
