"""What is beside and below the trade-off: the chosen architecture, the tabs, files to save."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from dash import Dash, Input, Output, State, no_update

from nas.dashboard.panels import tables
from nas.dashboard.panels.architecture import details, title
from nas.dashboard.panels.drawn import table_of
from nas.dashboard.panels.markup import note
from nas.dashboard.panels.predictors import predictors_tab
from nas.dashboard.panels.study import genes_tab, layers_tab, search_tab
from nas.dashboard.reading.files import mapping
from nas.dashboard.reading.run import Snapshot
from nas.dashboard.state import State as Runs
from nas.dashboard.state import home_of, metrics_of, shown_runs
from nas.dashboard.view import View
from nas.figures.text import cleaned

_OF_CHOSEN = ("architecture", "costs")  # tables of one architecture


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
        Output("genes-controls", "hidden"),
        Output("images-controls", "hidden"),
        Output("images-part", "hidden"),
        Output("table-controls", "hidden"),
        Output("content-key", "data"),
        Input("view", "data"),
        Input("drawn-key", "data"),  # the trade-off comes first
        Input("selection", "data"),
        State("gene", "options"),
        State("content-key", "data"),
        prevent_initial_call=True,
    )
    def content(data: Any, _: Any, selection: Any, genes: Any, before: Any) -> tuple[Any, ...]:
        if data is None:
            return (no_update,) * 7
        view = View.of_data({**mapping(data), **mapping(selection)})
        # Only two tables say something of the chosen architecture.
        says = view.tab == "table" and view.drawn in _OF_CHOSEN
        point = view.point if says else ""
        key = f"{runs.version(view.runs)} {replace(view, zoom='', point=point, pin='')}"
        if key == before:
            return (no_update,) * 7
        made, names = _guarded(lambda: _tab(runs, view))
        options = list(dict.fromkeys([*names, view.gene])) if view.gene else names
        hidden = (view.tab != name for name in ("genes", "images", "images", "table"))
        changed = view.tab == "genes" and options != genes
        return (made, options if changed else no_update, *hidden, key)


def _tab(runs: Runs, view: View) -> tuple[Any, list[str]]:
    """The chosen tab, and on that of the genes their names."""
    shown = shown_runs(runs, view)
    if view.tab == "images":
        return [], []
    if view.tab == "genes":
        return genes_tab(shown, view)
    if view.tab == "table":
        return _table(runs, view, shown), []
    if view.tab == "layers":
        return layers_tab(shown, view), []
    return predictors_tab(shown) if view.tab == "predictors" else search_tab(shown), []


def _guarded(build: Callable[[], tuple[Any, list[str]]]) -> tuple[Any, list[str]]:
    try:
        return build()
    except Exception as error:  # hostile data costs one tab, not the page
        return [note(f"This cannot be shown: {cleaned(error, 200)}")], []


def _table(runs: Runs, view: View, shown: Sequence[Snapshot]) -> Any:
    if view.drawn == "members":
        return tables.members_table(shown, metrics_of(shown)[:8])
    known = table_of(runs, view, shown, tables.MAX_ROWS + 1)
    if known is None or not known[1]:
        chosen = view.drawn in _OF_CHOSEN
        return note("No architecture is chosen." if chosen else "There is nothing drawn.")
    return tables.as_table(known)


def _register_csv(app: Dash, runs: Runs) -> None:
    @app.callback(
        Output("download", "data", allow_duplicate=True),
        Input("csv", "n_clicks"),
        State("view", "data"),
        State("selection", "data"),
        prevent_initial_call=True,
    )
    def as_csv(clicks: Any, data: Any, selection: Any) -> Any:
        if not clicks:
            return no_update
        view = View.of_data({**mapping(data), **mapping(selection)})
        try:
            known = table_of(runs, view, shown_runs(runs, view), tables.MAX_CSV_ROWS)
        except Exception:  # hostile data: the table says so
            return no_update
        return no_update if known is None else file_of(tables.as_csv(known), f"{view.drawn}.csv")
