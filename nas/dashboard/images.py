"""The tab on images: filled by a process of its own, because it needs torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dash import Dash, Input, Output, State, ctx, html, no_update

from nas.dashboard.jobs import Jobs
from nas.dashboard.panels.markup import note
from nas.dashboard.reading.files import inside, json_object, mapping, rows_of, stamp
from nas.dashboard.reading.run import Snapshot
from nas.dashboard.state import State as Runs
from nas.figures.text import cleaned, finite, percent
from search_spaces.errors import UserError

WORKER = "nas.dashboard.explaining.worker"
MAX_MODELS = 60
MAX_RESULT = 20_000_000
_DIGEST = re.compile(r"^[0-9a-f]{16}$")
_PICTURE = re.compile(r"^data:image/png;base64,[A-Za-z0-9+/=]{1,400000}$")
HOW = (
    "Left the image, then where the model looks for the class it predicts (LeGrad: gradients of "
    "attention, summed over blocks; yellow is most), then what became of the patches behind each "
    "block that reduces tokens: merged patches share one colour and no line, pruned ones are "
    "crossed out."
)


def models_of(runs: dict[str, Snapshot]) -> dict[str, Path]:
    """Exported models of all runs, by a name: the winner and what was picked."""
    made: dict[str, Path] = {}
    for key, run in runs.items():
        if run.folder.best.is_file():
            made[f"{key}: best.json"] = run.folder.best
        picks = run.folder.found / "picks"
        try:
            names = sorted(entry.name for entry in picks.iterdir() if _DIGEST.match(entry.name))
        except OSError:
            names = []
        for name in names:
            if run.folder.pick(name).is_file():
                made[f"{key}: {name}"] = run.folder.pick(name)
        if len(made) >= MAX_MODELS:
            break
    return {
        name: path
        for name, path in made.items()
        if inside(path, runs[name.rpartition(": ")[0]].folder.path)
    }


def images_of(run: Snapshot, runs: Mapping[str, Snapshot]) -> Path | None:
    """The validation images of a run: its own, or those of the run whose supernet it searches, if
    that is on the page too: a file may name any folder.
    """
    folders = [run.folder]
    source = run.config.get("supernet")
    if isinstance(source, str):
        path = Path(source).resolve()
        folders += [one.folder for one in runs.values() if one.folder.path.resolve() == path]
    for folder in folders:
        if folder.val_images.is_file() and inside(folder.val_images, folder.path):
            return folder.val_images
    return None


def register(app: Dash, runs: Runs, jobs: Jobs) -> None:
    """Add the callbacks."""
    done: dict[str, str] = {}

    @app.callback(
        Output("job-tick", "disabled"), Input("export-job", "data"), Input("image-job", "data")
    )
    def idle(export: Any, image: Any) -> bool:
        return not export and not image

    @app.callback(
        Output("model", "options"),
        Output("model", "value", allow_duplicate=True),
        Output("explain", "disabled"),
        Input("view", "data"),
        Input("version", "data"),
        Input("export-job", "data"),
        State("model", "options"),
        State("model", "value"),
        prevent_initial_call="initial_duplicate",
    )
    def models(data: Any, _: Any, __: Any, known: Any, value: Any) -> tuple[Any, Any, Any]:
        if mapping(data).get("tab") != "images":
            return no_update, no_update, no_update
        names = list(models_of(runs.runs()))
        asked = (mapping(data).get("model"), value, *names)
        chosen = next((name for name in asked if name in names), None)
        return (
            names if names != known else no_update,
            chosen if chosen != value else no_update,
            not names,
        )

    @app.callback(
        Output("image-job", "data"),
        Output("image-status", "children"),
        Output("samples", "children"),
        Input("explain", "n_clicks"),
        Input("job-tick", "n_intervals"),
        State("model", "value"),
        State("image-job", "data"),
        prevent_initial_call=True,
    )
    def images(clicks: Any, _: Any, name: Any, key: Any) -> tuple[Any, Any, Any]:
        if ctx.triggered_id == "explain" and clicks:
            return _start(runs, jobs, done, str(name))
        job = jobs.get(key)
        if job is None:
            return no_update, no_update, no_update
        if job.state == "running":
            return no_update, note(f"{job.what} is explained in a process of its own …"), no_update
        if job.state == "failed":
            return None, html.P(f"it failed: {job.said()}", className="warn"), no_update
        return None, note(job.what), shown(job.target)


def _start(runs: Runs, jobs: Jobs, done: dict[str, str], name: str) -> tuple[Any, Any, Any]:
    path = models_of(runs.runs()).get(name)
    if path is None:
        return no_update, no_update, no_update
    known = runs.runs()
    images = images_of(known[name.rpartition(": ")[0]], known)
    if images is None:
        words = "no validation images: they are written before a search, into the supernet's run"
        return None, html.P(words, className="warn"), []
    # The same model is explained once.
    seen = f"{path} {stamp(path)}"
    before = jobs.get(done.get(seen))
    if before is not None and before.state == "done":
        return None, note(name), shown(before.target)
    out = jobs.folder / f"{len(done)}.json"
    try:
        files = [str(part.resolve()) for part in (path, images)]
        job = jobs.start_module(name, WORKER, [*files, str(out)], out)
    except UserError as error:
        return no_update, html.P(str(error), className="warn"), no_update
    done[seen] = job.key
    return job.key, note(f"{name}: loading torch …"), []


def shown(out: Path) -> list[Any]:
    """The worker's result as cards."""
    try:
        if out.stat().st_size > MAX_RESULT:
            raise UserError("too large")
        found = json_object(out)
    except (OSError, UserError) as error:
        return [note(f"The result cannot be read: {error}")]
    right, total = finite(found.get("right")), finite(found.get("images"))
    counts = f"{right:,.0f} of {total:,.0f} validation images right. " if right and total else ""
    how = ", ".join(f"{i} {cleaned(h, 20)}" for i, h in enumerate(rows_of(found.get("how")), 1))
    cards = [_card(mapping(sample)) for sample in rows_of(found.get("samples"))[:24]]
    return [note(f"{counts}{HOW}"), note(f"By block: {how}."), html.Div(cards, className="samples")]


def _card(sample: Any) -> Any:
    label, guess = cleaned(sample.get("label"), 40), cleaned(sample.get("predicted"), 40)
    confidence = finite(sample.get("confidence"))
    wrong = label != guess
    words = f"{guess}, but it is {label}" if wrong else guess
    sure = "" if confidence is None else f" ({percent(confidence, 0)} sure)"
    figures = [_figure(sample.get("image"), f"image {sample.get('index')}", f"image of {label}")]
    figures.append(_figure(sample.get("heat"), "where it looks", f"heat map for {guess}"))
    for fate in map(mapping, rows_of(sample.get("fates"))[:12]):
        counts = ", ".join(
            f"{int(count)} {name}"
            for name in ("kept", "merged", "pruned")
            if (count := finite(fate.get(name)))
        )
        block = cleaned(fate.get("block"), 6)
        figures.append(
            _figure(fate.get("image"), f"behind block {block}: {counts}", f"patches: {counts}")
        )
    mark = "✗ wrong: " if wrong else "✓ right: "
    return html.Div(
        [
            html.P([html.B(mark), f"{words}{sure}"], className="warn" if wrong else ""),
            html.Div(figures, className="row"),
        ],
        className="sample",
    )


def _figure(source: Any, caption: str, alt: str) -> Any:
    safe = source if isinstance(source, str) and _PICTURE.match(source) else ""
    return html.Figure([html.Img(src=safe, alt=alt), html.Figcaption(caption)])
