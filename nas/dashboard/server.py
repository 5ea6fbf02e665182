"""The web application: offline, for this machine, believing nobody."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dash import Dash
from flask import Flask, abort, request

from nas.dashboard import callbacks, exporting, fronts, images, layout, sync
from nas.dashboard.jobs import Jobs
from nas.dashboard.state import State
from nas.dashboard.view import View

LOCAL = ("127.0.0.1", "localhost", "::1")
PLOTLY = "/_dash-component-suites/plotly/package_data/plotly.min.js"
# Dash asks for plotly, by far the largest file, once everything else runs: ask while it loads.
_INDEX = f"""<!DOCTYPE html>
<html lang="en">
<head>
{{%metas%}}<title>{{%title%}}</title>{{%favicon%}}
<link rel="preload" as="script" href="{PLOTLY}">
{{%css%}}
</head>
<body>{{%app_entry%}}<footer>{{%config%}}{{%scripts%}}{{%renderer%}}</footer></body>
</html>
"""
MAX_REQUEST = 64_000_000
"""Bytes: a figure comes back with every callback that has it as its state."""
# Dash starts by inline scripts, and plotly's WebGL compiles functions: both are allowed, every
# other origin is not.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; worker-src 'self' blob:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


def make_app(state: State, jobs: Jobs, hosts: Collection[str] = LOCAL) -> Dash:
    """The application.

    Args:
        state: the runs.
        jobs: where processes are started.
        hosts: names under which a browser may ask for the page; empty: any.
    """
    app = Dash(
        "formfinder",
        assets_folder=str(Path(__file__).parent / "assets"),
        serve_locally=True,
        title="Formfinder",
        update_title="",
        suppress_callback_exceptions=True,
        index_string=_INDEX,
    )

    def page() -> Any:
        metrics = fronts.metric_options(state, View())
        return layout.page(list(state.runs()), metrics, state.version())

    app.layout = page
    sync.register(app, state)
    fronts.register(app, state)
    callbacks.register(app, state)
    exporting.register(app, state, jobs)
    images.register(app, state, jobs)
    _guard(app, frozenset(hosts))
    return app


def _guard(app: Dash, hosts: frozenset[str]) -> None:
    server: Flask = app.server
    server.config["MAX_CONTENT_LENGTH"] = MAX_REQUEST

    @server.before_request
    def known_host() -> None:
        """Pages of others can neither ask by a name of their own (DNS rebinding) nor post here."""
        host = urlsplit(f"//{request.host}").hostname
        if hosts and host not in hosts:
            abort(403)
        origin = request.headers.get("Origin")
        if origin and urlsplit(origin).netloc != request.host:
            abort(403)

    @server.after_request
    def headers(response: Any) -> Any:
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        return response
