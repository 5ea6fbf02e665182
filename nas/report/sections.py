"""The page's sections: a heading, a figure, one sentence on how to read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from nas.figures.axes import Axis, axis_of
from nas.figures.calibration import Calibration, calibration_figure
from nas.figures.drawing import architecture_figure
from nas.figures.front import front_figure
from nas.figures.front_points import FrontSeries
from nas.figures.layers import layers_figure
from nas.figures.progress import hypervolume_figure, training_figure
from nas.figures.text import finite, percent
from nas.front import Front
from nas.report.calibrations import agreement_rows, latency_calibration, memory_calibration
from nas.report.content import Content
from nas.report.headline import winner_of
from nas.report.markup import Html, joined, script_json, tag
from search_spaces.architecture import Architecture

MAX_BASELINES = 50


def drawn(
    name: str, build: Callable[[], go.Figure], *, min_width: int = 0, max_width: int = 0
) -> Html:
    """A figure's place on the page and its data; what cannot be drawn says why.

    Args:
        name: of the element.
        build: makes the figure.
        min_width: pixels below which the figure scrolls instead of shrinking.
        max_width: pixels above which it does not grow.
    """
    try:
        figure = build()
    except Exception as error:  # hostile or half-written data costs one figure, not the page
        return tag("p", f"This figure could not be drawn: {error}", class_="note")
    data = tag("script", script_json(figure.to_json()), type="application/json")
    height = int(figure.layout.height or 400)
    style = f"height:{height}px" + (f";min-width:{min_width}px" if min_width else "")
    style += f";max-width:{max_width}px" if max_width else ""
    plot = tag("div", id=f"plot-{name}", class_="plot", style=style)
    return tag("div", plot, data, class_="figure")


def section(anchor: str, title: str, how: str, *body: Html) -> Html:
    """A section; ``how`` is the sentence on how to read it."""
    explained = tag("p", how, class_="how") if how else Html("")
    return tag("section", tag("h2", title), explained, *body, id=anchor)


def front_section(
    content: Content,
    baselines: Sequence[Mapping[str, Any]],
    anchor: str = "front",
    title: str = "The trade-off",
) -> Html:
    """The trade-off; ``anchor`` tells the fronts of one page apart."""
    front, study = content.front, content.study
    x, y, colour = chosen_axes(front)
    series = FrontSeries(
        name=str(front.run),
        trials=study.trials if study else (),
        members=front.members,
        winner=front.winner,
    )
    verified = (
        "measured on the device, and a dotted line leads there from what the search had predicted. "
        "Thin bars are 95 % intervals of the accuracy and quartiles of the latency."
    )
    if front.latency_kind == "estimated":
        verified = (
            "their costs are estimated from the spec sheet of a device that is not at hand. "
            "Thin bars are 95 % intervals of the accuracy."
        )
    how = (
        "Up and to the left is better. Grey dots are the search's estimates; solid points were "
        f"evaluated again on the whole validation split and {verified}"
    )
    figure = drawn(
        anchor,
        lambda: front_figure(
            [series],
            x,
            y,
            colour=colour,
            limits=front.limits,
            baselines=baselines[:MAX_BASELINES],
        ),
    )
    return section(anchor, title, how, figure)


def chosen_axes(front: Front) -> tuple[Axis, Axis, Axis | None]:
    """Accuracy over latency where the run has both; the next objective is the colour."""
    names = [str(o["name"]) for o in front.objectives if "name" in o]
    known = [name for member in front.members[:1] for name in member.metrics]
    everything = list(dict.fromkeys([*names, *known, "accuracy", "latency_ms"]))
    y = next((n for n in ("accuracy", *everything) if n in everything), "accuracy")
    x = next((n for n in ("latency_ms", *everything) if n in everything and n != y), "latency_ms")
    rest = [name for name in (*names, "peak_memory_mb") if name not in (x, y)]
    colour = rest[0] if rest and rest[0] in everything else None
    objectives = front.objectives
    return (
        axis_of(x, objectives, log=axis_of(x, objectives).direction == "min"),
        axis_of(y, objectives),
        None if colour is None else axis_of(colour, objectives),
    )


def winner_section(content: Content) -> Html:
    """The winner, drawn, and where its weights and work are."""
    winner = winner_of(content.front)
    if winner is None:
        return Html("")
    how = (
        "From left to right, block by block. The pale band is the stream, as high as it has "
        "channels; a coloured column is the attention with one segment a head; the grey column is "
        "the MLP. Below, the number of tokens, which falls where a reduction stands."
    )
    blocks = min(winner.architecture.depth, 200)
    drawing = drawn(
        "winner",
        lambda: architecture_figure(winner.architecture, winner.layers),
        min_width=60 * blocks + 40,
        max_width=220 * blocks + 40,
    )
    bars = drawn("layers", lambda: layers_figure(winner.layers), min_width=420)
    return section(
        "winner",
        "The winner, layer by layer",
        how,
        tag("p", _around(winner.architecture), class_="around"),
        drawing,
        tag("h3", "Where its parameters and its work are"),
        bars,
    )


def _around(architecture: Architecture) -> str:
    """What stands before and behind the blocks."""
    a = architecture
    height, width = a.image_size
    special = f", {a.special_tokens} special tokens" if a.special_tokens else ""
    return (
        f"{height} × {width} px, {a.channels} channel{'' if a.channels == 1 else 's'} → patches of "
        f"{a.patch_size} px ({a.embedding}) → position {a.position}{special} → {a.depth} blocks of "
        f"width {' / '.join(str(stage.width) for stage in a.stages)} → {a.pooling} pooling → head"
    )


def predictors_section(content: Content) -> Html:
    """How far the predictions can be believed."""
    if content.front.latency_kind == "estimated":
        how = (
            "Latency, memory and energy are estimated from the spec sheet of a device that is not "
            "at hand. Nothing was measured that they could be held against: believe their ratios "
            "rather than their size."
        )
        return section("predictors", "Estimated, not measured", how)
    latency, memory = latency_calibration(content), memory_calibration(content)
    how = (
        "On the diagonal a prediction is right. Blue networks were unknown to the predictor when "
        "it told them; the front's members show whether the search exploited its errors."
    )
    parts = [_calibration("latency", "Latency", latency)]
    if memory.held_out or memory.front:
        parts.append(_calibration("memory", "Peak memory", memory))
    return section("predictors", "Predicted and measured", how, tag("div", *parts, class_="pair"))


def _calibration(name: str, title: str, calibration: Calibration) -> Html:
    figure = drawn(f"calibration-{name}", lambda: calibration_figure(calibration, state=False))
    return tag("div", tag("h3", title), figure, _agreements(calibration))


def _agreements(calibration: Calibration) -> Html:
    rows = []
    for label, agreement in agreement_rows(calibration):
        mape, count = finite(agreement.get("mape")), finite(agreement.get("n"))
        ranks = [finite(agreement.get(key)) for key in ("spearman", "kendall_tau")]
        cells = ["–" if mape is None else percent(mape)]
        cells += ["–" if rank is None else f"{rank:.3f}" for rank in ranks]
        cells += ["–" if count is None else f"{count:,.0f}"]
        rows.append(
            tag(
                "tr", tag("th", label, scope="row"), *(tag("td", c, class_="number") for c in cells)
            )
        )
    if not rows:
        return Html("")
    head = [tag("th", label) for label in ("", "MAPE", "Spearman", "Kendall τ", "networks")]
    table = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows), class_="agreement")
    return tag("div", table, class_="wide")


def search_section(content: Content) -> Html:
    """The search over time."""
    if content.study is None:
        return section("search", "The search", "", tag("p", "No study is stored.", class_="note"))
    study = content.study
    failed = sum(trial.state == "failed" for trial in study.trials)
    stored = sum(trial.source == "store" for trial in study.trials)
    infeasible = sum(trial.state == "complete" and not trial.feasible for trial in study.trials)
    parts = sum(trial.images > 0 for trial in study.trials)
    counts = (
        f"{len(study.trials):,} trials: {stored:,} known already, {infeasible:,} beyond a limit"
    )
    if parts:
        counts += f", {parts:,} looked at only in part"
    how = (
        "The share of the objectives' range that the front covers, trial by trial; once the line "
        f"is flat, more trials gain little. {counts}, {failed:,} failed."
    )
    figure = drawn("hypervolume", lambda: hypervolume_figure([("search", study.trials)]))
    return section("search", "The search", how, figure)


def training_section(content: Content) -> Html:
    """The supernet's training, where it was logged."""
    if not content.training:
        return Html("")
    how = (
        "One set of weights serves every architecture of the space. The largest member learns "
        "from the labels, the others learn from it; the closer they come, the better ranks hold."
    )
    figure = drawn("training", lambda: training_figure(content.training))
    return section("training", "Training the supernet", how, figure)


def notes_section(content: Content) -> Html:
    """What could not be read."""
    if not content.notes:
        return Html("")
    items = [tag("li", note) for note in content.notes[:20]]
    return tag("aside", joined(tag("strong", "Left out. "), tag("ul", *items)), class_="notes")
