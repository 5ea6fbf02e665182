"""The table of all front members."""

from __future__ import annotations

from nas.figures.axes import Axis, axis_of
from nas.figures.front_points import believed_value
from nas.figures.palette import on_colour, op_code, op_colour
from nas.figures.text import finite
from nas.front import Front, Member
from nas.report.headline import interval
from nas.report.markup import Html, tag

MAX_MEMBERS = 500
_COUNTS = ("peak_memory_mb", "params", "macs")


def members_table(front: Front) -> Html:
    """One row a member, most accurate first; a click on a heading sorts."""
    axes = {name: axis_of(name, front.objectives) for name in ("accuracy", "latency_ms", *_COUNTS)}
    extra = [axis_of(str(o["name"]), front.objectives) for o in front.objectives if "name" in o]
    extra = [axis for axis in extra if axis.name not in axes]
    headings = ["member", "accuracy", f"latency, {front.latency_kind}", "predicted"]
    headings += [axes[name].label for name in _COUNTS] + [axis.label for axis in extra]
    rows = sorted(front.members, key=lambda m: -(finite(_value(m, "accuracy")) or 0.0))
    body = [_row(member, front, axes, extra) for member in rows[:MAX_MEMBERS]]
    head = [_heading(label, index) for index, label in enumerate(headings)]
    table = tag(
        "table",
        tag("thead", tag("tr", *head, tag("th", "blocks"), tag("th", "marks"))),
        tag("tbody", *body),
        class_="members sortable",
    )
    return tag("div", table, class_="wide", tabindex="0", role="region", aria_label="front members")


def _heading(label: str, index: int) -> Html:
    sort = "descending" if index == 1 else "none"
    return tag("th", tag("button", label, type="button"), aria_sort=sort)


def _row(member: Member, front: Front, axes: dict[str, Axis], extra: list[Axis]) -> Html:
    latency = axes["latency_ms"]
    believed = believed_value(member.metrics.get("latency_ms"))
    error = ""
    truth, guess = finite(_value(member, "latency_ms")), finite(believed)
    if truth and guess is not None:
        error = f"{100 * (guess / truth - 1):+.1f} %"
    cells = [
        tag("td", tag("code", member.digest), data_value=member.digest),
        _cell(axes["accuracy"], member, interval(axes["accuracy"], member)),
        _cell(latency, member, interval(latency, member)),
        _number(latency.show(believed), finite(believed), error),
        *(_cell(axes[name], member) for name in _COUNTS),
        *(_cell(axis, member) for axis in extra),
        tag("td", glyphs(member), class_="glyphs"),
        tag("td", *_marks(member, front)),
    ]
    if member.digest == front.winner:
        return tag("tr", *cells, class_="winner")
    return tag("tr", *cells, class_="dominated" if member.dominated is True else "standing")


def _value(member: Member, name: str) -> object:
    metric = member.metrics.get(name)
    return None if metric is None else metric.value


def _cell(axis: Axis, member: Member, note: str = "") -> Html:
    value = _value(member, axis.name)
    return _number(axis.show(value), finite(value), note)


def _number(shown: str, value: float | None, note: str = "") -> Html:
    children: list[Html | str] = [shown]
    if note:
        children.append(tag("span", note, class_="sub"))
    return tag("td", *children, class_="number", data_value="" if value is None else repr(value))


def glyphs(member: Member) -> Html:
    """The attention of each block as coloured letters; a reduction as a small triangle."""
    made = []
    for _, block in list(member.architecture.blocks())[:64]:
        colour = op_colour(block.attention.op)
        made.append(
            tag(
                "span",
                op_code(block.attention.op),
                class_="op",
                style=f"background:{colour};color:{on_colour(colour)}",
                title=str(block.attention),
            )
        )
        if block.reduction.op != "none":
            made.append(tag("span", "▾", class_="drop", title=str(block.reduction)))
    return tag("span", *made)


def _marks(member: Member, front: Front) -> list[Html]:
    marks = []
    if member.digest == front.winner:
        marks.append(tag("span", "winner", class_="mark win"))
    if member.origin:
        run = str(member.origin.get("run", ""))
        marks.append(tag("span", run, class_="mark", title=f"seed {member.origin.get('seed')}"))
    if member.tied is True:
        marks.append(tag("span", "tied", class_="mark", title="with the most accurate member"))
    if member.dominated is True:
        marks.append(tag("span", "dominated", class_="mark", title="shown by measuring"))
    return marks
