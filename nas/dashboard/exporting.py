"""The exported model of a chosen front member, made on demand by ``formfinder pick``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dash import Dash, Input, Output, State, html, no_update
from flask import Flask, abort, send_file

from nas.dashboard.commands import pick_words, shown
from nas.dashboard.jobs import Jobs
from nas.dashboard.reading.files import inside
from nas.dashboard.state import State as Runs
from nas.dashboard.state import home_of
from nas.dashboard.view import View
from search_spaces.errors import UserError

FILES = ("best.json", "best.safetensors", "best.onnx")


def register(app: Dash, runs: Runs, jobs: Jobs) -> None:
    """Add the button's callbacks and the route of the files."""

    @app.callback(
        Output("export-job", "data"),
        Output("export-status", "children", allow_duplicate=True),
        Input("export", "n_clicks"),
        State("selection", "data"),
        prevent_initial_call=True,
    )
    def start(clicks: Any, selection: Any) -> tuple[Any, Any]:
        one = runs.find(View.of_data(selection).point)
        folder = None if one is None else home_of(one, runs.runs())
        if not clicks or one is None or folder is None:
            return no_update, no_update
        digest = one.architecture.digest()
        try:
            job = jobs.start_cli(digest, pick_words(folder, digest), folder.pick(digest).parent)
        except UserError as error:
            return no_update, html.P(str(error), className="warn")
        return job.key, html.P(f"exporting {digest} …", className="note")

    @app.callback(
        Output("export-status", "children"),
        Output("export-job", "data", allow_duplicate=True),
        Input("job-tick", "n_intervals"),
        State("export-job", "data"),
        prevent_initial_call=True,
    )
    def follow(_: Any, key: Any) -> tuple[Any, Any]:
        job = jobs.get(key)
        if job is None:
            return no_update, no_update
        if job.state == "running":
            return html.P(f"exporting {job.what} … {job.said()}", className="note"), no_update
        if job.state == "failed":
            return html.P(f"the export failed: {job.said()}", className="warn"), None
        links = [
            html.A(name, href=f"/files/{job.key}/{name}", download=f"{job.what}.{name}")
            for name in FILES
        ]
        told = [f"exported to {shown(job.target)}: ", *_between(links)]
        return html.P(told, className="note"), None

    server: Flask = app.server

    @server.route("/files/<key>/<name>")
    def files(key: str, name: str) -> Any:
        job = jobs.get(key)
        if job is None or name not in FILES or job.state != "done":
            abort(404)
        path = Path(job.target) / name
        if not path.is_file() or not inside(path, job.target):
            abort(404)
        return send_file(path.resolve(), as_attachment=True, download_name=f"{job.what}.{name}")


def _between(links: list[Any]) -> list[Any]:
    made: list[Any] = []
    for link in links:
        made += [link, " · "]
    return made[:-1]
