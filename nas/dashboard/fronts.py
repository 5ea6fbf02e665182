"""The trade-off, and what is asked every two seconds: whether there is anything new to draw."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import plotly.graph_objects as go
from dash import Dash, Input, Output, State, no_update

from nas.dashboard.panels.markup import guarded
from nas.dashboard.panels.status import strip
from nas.dashboard.panels.study import search_tab
from nas.dashboard.panels.trade_off import HEIGHT, trade_off
from nas.dashboard.reading.files import mapping
from nas.dashboard.state import State as Runs
from nas.dashboard.state import metrics_of, shown_runs
from nas.dashboard.view import View
from nas.figures.axes import axis_of
from nas.figures.cloud import SVG_POINTS


def register(app: Dash, runs: Runs) -> None:
    """Add the callbacks."""
    _register_tick(app, runs)
    _register_front(app, runs)


def metric_options(runs: Runs, view: View) -> list[dict[str, str]]:
    """Every metric of any run, and those of the view."""
    known = list(runs.runs().values())
    objectives = [objective for run in known for objective in run.front.objectives]
    names = dict.fromkeys([*metrics_of(known), view.x, view.y, view.metric])
    return [{"label": axis_of(name, objectives).label, "value": name} for name in names]


def _register_tick(app: Dash, runs: Runs) -> None:
    said = (("status", "children"), ("x", "options"), ("y", "options"), ("metric", "options"))

    def told(data: Any, metrics: Any) -> tuple[Any, ...]:
        if data is None:  # the page does not know yet what it shows
            return (no_update,) * 4
        view = View.of_data(data)
        choices = metric_options(runs, view)
        changed = choices if choices != metrics else no_update
        shown = [run.key for run in shown_runs(runs, view)]
        return strip(runs.runs(), shown), changed, changed, changed

    @app.callback(
        Output("version", "data"),
        Output("runs", "options"),
        *(Output(name, prop) for name, prop in said),
        Input("tick", "n_intervals"),
        State("view", "data"),
        State("version", "data"),
        State("runs", "options"),
        State("x", "options"),
        prevent_initial_call=True,
    )
    def tick(_: Any, data: Any, version: Any, keys: Any, metrics: Any) -> tuple[Any, ...]:
        now = runs.version()
        options = [{"label": key, "value": key} for key in runs.runs()]
        return (
            now if now != version else no_update,
            options if options != keys else no_update,
            *told(data, metrics),
        )

    # Apart from the tick: the trade-off waits for the version, and would wait for this, too.
    @app.callback(
        *(Output(name, prop, allow_duplicate=True) for name, prop in said),
        Input("view", "data"),
        State("x", "options"),
        prevent_initial_call=True,
    )
    def looked(data: Any, metrics: Any) -> tuple[Any, ...]:
        return told(data, metrics)


def _register_front(app: Dash, runs: Runs) -> None:
    @app.callback(
        Output("front", "figure"),
        Output("drawn-key", "data"),
        Output("trials-due", "data"),
        Output("status", "children", allow_duplicate=True),
        Input("view", "data"),
        Input("selection", "data"),
        Input("version", "data"),
        State("drawn-key", "data"),
        prevent_initial_call=True,
    )
    def front(data: Any, selection: Any, _: Any, drawn: Any) -> tuple[Any, ...]:
        if data is None:
            return (no_update,) * 4
        view = View.of_data({**mapping(data), **mapping(selection)})
        # Neither the tab below nor a zoom, which plotly keeps itself, draws it again.
        same = replace(view, tab="", zoom="", gene="", model="", metric="", drawn="")
        key = f"{runs.version(view.runs)} {same}"
        if key == drawn:
            return (no_update,) * 4
        if drawn is not None:
            return front_of(runs, view), key, no_update, no_update
        # The strip comes along: later, it would push the figure away from under the pointer.
        status = strip(runs.runs(), [run.key for run in shown_runs(runs, view)])
        if many_trials(runs, view):
            return front_of(runs, without_trials(view)), key, key, status
        return front_of(runs, view), key, no_update, status

    @app.callback(
        Output("front", "figure", allow_duplicate=True),
        Input("trials-due", "data"),
        State("view", "data"),
        State("selection", "data"),
        prevent_initial_call=True,
    )
    def trials(_: Any, data: Any, selection: Any) -> go.Figure:
        return front_of(runs, View.of_data({**mapping(data), **mapping(selection)}))


def many_trials(runs: Runs, view: View) -> bool:
    """Whether a page that opens draws the fronts first and thousands of trials behind them."""
    count = sum(len(run.log.trials) for run in shown_runs(runs, view))
    return "trials" in view.flags and count > SVG_POINTS


def without_trials(view: View) -> View:
    """The view with its fronts alone."""
    return replace(view, flags=tuple(flag for flag in view.flags if flag != "trials"))


def warm_up(runs: Runs) -> None:
    """Draw what the first page shows: what is slow the first time is then behind us."""
    view = View()
    front_of(runs, view).to_json()
    guarded(lambda: search_tab(shown_runs(runs, view)))
    metric_options(runs, view)


def front_of(runs: Runs, view: View) -> go.Figure:
    """The trade-off of a view."""
    shown = shown_runs(runs, view)
    chosen, pinned = runs.find(view.point), runs.find(view.pin)
    return guarded(lambda: trade_off(runs, view, shown, chosen, pinned, view.span), HEIGHT)
