"""The page over the fronts of several profiles: side by side, never on one axis."""

from __future__ import annotations

from collections.abc import Sequence

from nas.figures.axes import axis_of
from nas.front import Member
from nas.report.content import Content, read_content
from nas.report.headline import date_words, profile_words, winner_of, words
from nas.report.markup import Html, tag
from nas.report.sections import front_section, section
from nas.report.write import page, save_page
from nas.run_folder import RunFolder

_SHOWN = ("accuracy", "latency_ms", "peak_memory_mb", "params", "macs")


def write_overview(folder: RunFolder, parts: Sequence[RunFolder]) -> None:
    """Write the ``report.html`` of a run for several profiles; each has a page of its own, too.

    Args:
        folder: of the run.
        parts: its searches, each with a verified front.

    Raises:
        UserError: a front is missing or damaged.
        OSError: the page cannot be written; an older one is still there.
    """
    contents = [read_content(part) for part in parts]
    save_page(page(f"{folder.title} · Formfinder", _body(folder, contents)), folder.report)


def _body(folder: RunFolder, contents: Sequence[Content]) -> Html:
    first = contents[0].front
    data = words(first.data.get("name"), "images")
    links = [tag("a", _name(content), href=f"#front-{_name(content)}") for content in contents]
    return tag(
        "main",
        tag(
            "header",
            tag("p", f"Formfinder · {folder.title} · {date_words(first.created)}", class_="kicker"),
            tag("h1", f"Vision transformers for {data} on {len(contents)} profiles"),
            tag(
                "p",
                "One set of weights and accuracies, one search and one front for each profile. "
                "Latencies of different profiles are never drawn on one axis.",
                class_="lead",
            ),
        ),
        tag("nav", *links),
        _winners(contents),
        *(_front(content) for content in contents),
    )


def _name(content: Content) -> str:
    return str(content.folder.device or content.front.profile.get("name", ""))


def _winners(contents: Sequence[Content]) -> Html:
    head = [tag("th", label) for label in ("profile", "winner", *map(_label, _SHOWN), "")]
    rows = [_row(content, winner_of(content.front)) for content in contents]
    table = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows), class_="members")
    return section("winners", "The winners", "", tag("div", table, class_="wide"))


def _label(name: str) -> str:
    return axis_of(name).label


def _row(content: Content, winner: Member | None) -> Html:
    link = f"devices/{_name(content)}/report.html"
    cells = [
        tag("td", _name(content), tag("span", profile_words(content.front.profile), class_="sub"))
    ]
    cells.append(tag("td", tag("code", "–" if winner is None else winner.digest)))
    for name in _SHOWN:
        metric = None if winner is None else winner.metrics.get(name)
        shown = axis_of(name, content.front.objectives).show(
            None if metric is None else metric.value
        )
        cells.append(tag("td", shown, class_="number"))
    return tag("tr", *cells, tag("td", tag("a", "its report", href=link)))


def _front(content: Content) -> Html:
    return front_section(
        content, (), f"front-{_name(content)}", f"The trade-off on {_name(content)}"
    )
