"""The page's fixed parts; everything else is filled in by callbacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import dcc, html

from nas.dashboard.panels.drawn import LABELS
from nas.dashboard.panels.markup import GRAPH_CONFIG
from nas.dashboard.view import View

REFRESH_MS = 2000
JOB_MS = 700
"""How often a process that was started is asked about."""
TAB_LABELS = {
    "search": "Search",
    "layers": "Layers",
    "genes": "Genes",
    "predictors": "Predictors",
    "images": "Images",
    "table": "Table",
}
FLAG_LABELS = {
    "logx": "log x",
    "logy": "log y",
    "feasible": "feasible only",
    "trials": "dominated and trials",
    "stars": "baselines",
}
VALUE_LABELS = {"measured": "measured", "predicted": "predicted", "both": "predicted → measured"}


def page(runs: Sequence[str] = (), metrics: Sequence[Any] = (), version: str = "") -> Any:
    """The whole page, empty but for what can be chosen: a choice that is not offered is dropped
    by the browser, and with it what the address says.

    Args:
        runs: keys of the runs.
        metrics: options of the axes.
        version: of what the runs hold, so that nothing is drawn twice at the beginning.
    """
    view = View()
    return html.Div(
        [
            dcc.Location(id="url", refresh=False),
            dcc.Interval(id="tick", interval=REFRESH_MS),
            dcc.Interval(id="job-tick", interval=JOB_MS, disabled=True),
            dcc.Store(id="view"),
            dcc.Store(id="selection"),
            dcc.Store(id="events"),
            dcc.Store(id="heard"),
            dcc.Store(id="version", data=version),
            dcc.Store(id="drawn-key"),
            dcc.Store(id="trials-due"),
            dcc.Store(id="content-key"),
            dcc.Store(id="export-job"),
            dcc.Store(id="image-job"),
            dcc.Download(id="download"),
            html.A("Skip to the trade-off", href="#front-card", className="skip"),
            html.Header(
                [
                    html.H1("Formfinder"),
                    html.Div(
                        [
                            html.Label("Runs", htmlFor="runs"),
                            dcc.Dropdown(
                                id="runs",
                                multi=True,
                                value=[],
                                placeholder="all runs",
                                options=_options({key: key for key in runs}),
                            ),
                        ],
                        className="runs",
                    ),
                ],
                className="top",
            ),
            html.Div(id="status", className="status", role="status"),
            html.Main(
                [
                    html.Div([_front_card(view, metrics), _architecture_card()], className="grid"),
                    _tabs_card(view, metrics),
                ]
            ),
        ],
        id="page",
    )


def _labelled(label: str, control: Any, name: str = "") -> Any:
    return html.Div([html.Label(label, htmlFor=name or None), control], className="control")


def _choice(name: str, value: str, label: str, options: Sequence[Any] = ()) -> Any:
    return _labelled(
        label,
        dcc.Dropdown(
            id=name,
            value=value or None,
            options=list(options) or ([value] if value else []),
            clearable=False,
            searchable=False,
            placeholder="choose",
        ),
        name,
    )


def _front_card(view: View, metrics: Sequence[Any]) -> Any:
    controls = [
        _choice("y", view.y, "Up", metrics),
        _choice("x", view.x, "Right", metrics),
        dcc.RadioItems(id="values", value=view.values, options=_options(VALUE_LABELS)),
        dcc.Checklist(id="flags", value=list(view.flags), options=_options(FLAG_LABELS)),
    ]
    return html.Section(
        [
            html.H2("Trade-off"),
            html.Div(controls, className="controls"),
            html.Div(
                dcc.Graph(id="front", config=GRAPH_CONFIG, style={"height": "100%"}),
                className="front",
            ),
        ],
        id="front-card",
        className="card",
    )


def _options(labels: dict[str, str]) -> list[dict[str, str]]:
    return [{"label": label, "value": value} for value, label in labels.items()]


def _architecture_card() -> Any:
    buttons = [
        html.Button("Architecture JSON", id="json", disabled=True),
        html.Button("Exported model", id="export", disabled=True),
        html.Button("Pin", id="pin", disabled=True, title="compare others with this one"),
        html.Button("Unpin", id="unpin", disabled=True),
    ]
    return html.Section(
        [
            html.H2("Architecture", id="title"),
            html.Div(buttons, className="buttons"),
            html.Div(id="export-status", role="status"),
            html.Div(id="details"),
        ],
        id="architecture-card",
        className="card",
    )


def _tabs_card(view: View, metrics: Sequence[Any]) -> Any:
    genes = [
        _choice("metric", view.metric, "Metric", metrics),
        _choice("gene", "", "Gene, or click a bar"),
    ]
    images = [
        _choice("model", "", "Exported model"),
        html.Button("Show images", id="explain", disabled=True),
    ]
    tables = [
        _choice("drawn", view.drawn, "Table of", _options(LABELS)),
        html.Button("CSV", id="csv", title="all numbers as a file"),
    ]
    return html.Section(
        [
            # Radio buttons that look like tabs: Dash's own cannot be reached by keys.
            dcc.RadioItems(id="tab", value=view.tab, options=_options(TAB_LABELS)),
            html.Div(genes, id="genes-controls", className="controls", hidden=True),
            html.Div(images, id="images-controls", className="controls", hidden=True),
            html.Div(tables, id="table-controls", className="controls", hidden=True),
            html.Div(
                [html.Div(id="image-status", role="status"), html.Div(id="samples")],
                id="images-part",
                hidden=True,
            ),
            html.Div(id="content"),
        ],
        id="tabs-card",
        className="card",
    )
