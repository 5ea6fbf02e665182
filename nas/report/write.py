"""One self-contained page about a finished run."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from nas.report.commands import next_commands
from nas.report.content import Content, read_content
from nas.report.headline import headline
from nas.report.markup import Html, joined, tag, trusted
from nas.report.members import MAX_MEMBERS, members_table
from nas.report.provenance import provenance
from nas.report.sections import (
    front_section,
    notes_section,
    predictors_section,
    search_section,
    section,
    training_section,
    winner_section,
)
from nas.run_folder import RunFolder

_LINKS = (
    ("front", "Trade-off"),
    ("members", "Members"),
    ("winner", "Winner"),
    ("predictors", "Predictors"),
    ("search", "Search"),
    ("training", "Training"),
    ("next", "Next"),
    ("provenance", "Provenance"),
)


def write_report(folder: RunFolder, baselines: Sequence[Mapping[str, Any]] = ()) -> Path:
    """Write ``report.html``: it opens offline, asks no server for anything, runs nothing foreign.

    Args:
        folder: of a run with a verified front; every other file may be missing or damaged.
        baselines: nets to compare with, each ``{"name": …, "accuracy": …, "latency_ms": …,
            metric: …}``; a metric is a number or ``{"value": number}``.

    Returns:
        The file's path.

    Raises:
        UserError: ``front.json`` is missing or damaged.
        OSError: the page cannot be written; an older one is still there.
    """
    save_page(render(read_content(folder), baselines), folder.report)
    return folder.report


def save_page(page: str, path: Path) -> None:
    """Write a page whole, or leave the older one."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def render(content: Content, baselines: Sequence[Mapping[str, Any]] = ()) -> str:
    """The whole page as HTML."""
    return page(f"{content.front.run} · Formfinder", _body(content, baselines))


def page(title: str, body: Html) -> str:
    """A self-contained page around ``body``, which may hold figures."""
    from plotly.offline import get_plotlyjs

    scripts = [get_plotlyjs(), _asset("page.js")]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(scripts)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        tag("style", trusted(_asset("page.css"))),
    )
    made = [tag("script", trusted(script)) for script in scripts]
    return joined(
        trusted("<!doctype html>\n"), tag("html", head, tag("body", body, *made), lang="en")
    )


def _policy(scripts: Sequence[str]) -> str:
    """Only our own scripts run and nothing is fetched, whatever a run folder holds."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _asset(name: str) -> str:
    return resources.files("nas.report").joinpath(name).read_text(encoding="utf-8")


def _body(content: Content, baselines: Sequence[Mapping[str, Any]]) -> Html:
    parts = {
        "front": front_section(content, baselines),
        "members": _members(content),
        "winner": winner_section(content),
        "predictors": predictors_section(content),
        "search": search_section(content),
        "training": training_section(content),
        "next": _next(content),
        "provenance": section("provenance", "Where the numbers come from", "", provenance(content)),
    }
    links = [tag("a", label, href=f"#{name}") for name, label in _LINKS if parts[name]]
    without = tag("noscript", tag("p", "The figures need JavaScript; the tables do not."))
    return tag(
        "main",
        tag("header", headline(content)),
        tag("nav", *links),
        notes_section(content),
        without,
        *parts.values(),
    )


def _members(content: Content) -> Html:
    count = len(content.front.members)
    cut = f" The first {MAX_MEMBERS} of {count:,} are shown." if count > MAX_MEMBERS else ""
    tied = "on the same images not significantly worse than the most accurate member"
    if any(member.origin for member in content.front.members):
        tied = "its 95 % interval reaches that of the most accurate member"
    how = (
        f"A click on a heading sorts. Tied means: {tied}. Dominated means: after measuring, "
        "another member is better in everything. Letters are the attention of each block, ▾ a "
        f"token reduction.{cut}"
    )
    return section("members", "All members of the front", how, members_table(content.front))


def _next(content: Content) -> Html:
    items = [
        tag("li", tag("p", command.why), tag("pre", tag("code", command.line)))
        for command in next_commands(content.folder, content.front)
    ]
    return section("next", "What to do next", "", tag("ul", *items, class_="commands"))
