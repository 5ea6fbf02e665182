"""The results of a search for its trackers: front, figures, and the architecture with weights."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from nas.front import Front, Member
from nas.run_folder import RunFolder
from nas.tracking.session import Outlet, Session
from nas.tracking.tracker import Rows, Value

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from nas.report.content import Content


def publish(session: Session, folder: RunFolder) -> None:
    """Hand the results in ``folder`` to every tracker of ``session`` that lacks them."""
    session.catch_up(None)
    for outlet in session.outlets:
        with outlet.guard():
            stamp = _stamp(folder)
            if outlet.wants(stamp):
                _hand_over(outlet, folder)
                outlet.told(stamp)


def front_rows(front: Front) -> Rows:
    """The members of a front, the most accurate first."""
    names = list(dict.fromkeys(name for member in front.members for name in member.metrics))
    columns = ("digest", "winner", "dominated", "tied", "trial", *names, "architecture")
    return Rows(columns, tuple(_row(member, front, names) for member in front.members))


def _row(member: Member, front: Front, names: list[str]) -> tuple[Value, ...]:
    values = [member.metrics[name].value if name in member.metrics else None for name in names]
    return (
        member.digest,
        member.digest == front.winner,
        member.dominated,
        member.tied,
        member.trial,
        *values,
        member.architecture.canonical_json(),
    )


def _stamp(folder: RunFolder) -> str:
    read = folder.front.read_bytes() + folder.best.read_bytes()
    return hashlib.sha256(read).hexdigest()[:16]


def _hand_over(outlet: Outlet, folder: RunFolder) -> None:
    from nas.report.content import read_content

    content = read_content(folder)
    outlet.table("front", front_rows(content.front))
    if not outlet.keeps:
        return
    for name, draw in figures(content).items():
        outlet.figure(name, draw())
    files = [folder.best, *folder.best.parent.glob(f"{folder.best.stem}.safetensors")]
    name = re.sub(r"[^\w.-]", "-", folder.title)
    outlet.artifact(f"{name}-best", "architecture", files)


def figures(content: Content) -> dict[str, Callable[[], Figure]]:
    """The report's figures by name, drawn when called."""
    # Plotly is slow to import, and most runs have no tracker that shows figures.
    from nas.figures.drawing import architecture_figure
    from nas.figures.front import front_figure
    from nas.figures.front_points import FrontSeries
    from nas.figures.progress import hypervolume_figure
    from nas.report.headline import winner_of
    from nas.report.sections import chosen_axes

    front, study = content.front, content.study
    trials = study.trials if study else ()
    x, y, colour = chosen_axes(front)
    series = FrontSeries(
        name=str(front.run), trials=trials, members=front.members, winner=front.winner
    )
    made: dict[str, Callable[[], Figure]] = {
        "front": lambda: front_figure([series], x, y, colour=colour, limits=front.limits),
        "hypervolume": lambda: hypervolume_figure([("search", trials)]),
    }
    winner = winner_of(front)
    if winner is not None:
        made["winner"] = lambda: architecture_figure(winner.architecture, winner.layers)
    return made
