"""The first screen: what was searched, where, and what was found, in words and five numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from nas.figures.axes import Axis, axis_of, bounds_of
from nas.figures.front_points import believed_value
from nas.figures.text import finite, significant
from nas.front import Front, Member
from nas.report.content import Content
from nas.report.markup import Html, joined, tag

_TILES = ("accuracy", "latency_ms", "peak_memory_mb", "params", "macs")
_RULES = {
    "knee": "the knee of the front: the member nearest to the ideal point",
    "accuracy": "the most accurate member",
}


def headline(content: Content) -> Html:
    """Title, summary and the winner's numbers."""
    front = content.front
    data, profile = words(front.data.get("name"), "images"), front.profile
    device = words(profile.get("name", profile.get("device")), "this device")
    return joined(
        tag("p", f"Formfinder · {front.run} · {date_words(front.created)}", class_="kicker"),
        tag("h1", f"Vision transformers for {data} on {device}"),
        tag("p", profile_words(profile), class_="profile"),
        tag("p", *_summary(content), class_="lead"),
        _tiles(content),
    )


def winner_of(front: Front) -> Member | None:
    """The exported member."""
    return next((member for member in front.members if member.digest == front.winner), None)


def words(value: object, otherwise: str) -> str:
    """``value`` as text, or ``otherwise`` where there is none."""
    return otherwise if value in (None, "") else str(value)


def date_words(date: object) -> str:
    """``20 November 2026, 10:12 UTC``; the text itself where it is no date."""
    try:
        moment = datetime.fromisoformat(str(date))
    except ValueError:
        return str(date)
    return f"{moment.day} {moment:%B %Y, %H:%M} {moment.tzname() or ''}".rstrip()


def profile_words(profile: Mapping[str, Any]) -> str:
    """``cpu · onnxruntime fp32 · 1 thread · batch 1 · 16×16 px``."""
    parts = [words(profile.get("device"), "")] if profile.get("device") else []
    runtime = f"{words(profile.get('runtime'), '')} {words(profile.get('precision'), '')}".strip()
    threads, batch = profile.get("threads"), profile.get("batch")
    size = profile.get("image_size")
    parts += [runtime] if runtime else []
    parts += [f"{threads} thread{'' if threads == 1 else 's'}"] if threads is not None else []
    parts += [f"batch {batch}"] if batch is not None else []
    if isinstance(size, Sequence) and len(size) == 2:
        parts.append(f"{size[0]}×{size[1]} px")
    return " · ".join(parts)


def _summary(content: Content) -> list[Html | str]:
    front, winner = content.front, winner_of(content.front)
    parts: list[Html | str] = [_searched(content)]
    if winner is not None:
        rule = _RULES.get(str(front.winner_rule), str(front.winner_rule))
        parts += [
            "The winner, ",
            tag("a", winner.digest[:8], href="#winner"),
            f", is {rule}: ",
            tag("strong", f"{_value(front, winner, 'accuracy')} of the validation images right"),
            f"{_interval_words(winner)}, ",
            tag("strong", f"{_value(front, winner, 'latency_ms')} {winner.latency_kind}"),
            f" per call{_batch_words(front)}.",
        ]
    parts += [f" {_span_words(front)}"]
    limits = [
        _limit_words(front, name, sign, bound)
        for name in front.limits
        for sign, bound in bounds_of(front.limits, axis_of(name, front.objectives))
    ]
    if limits:
        parts.append(f" Hard limits: {', '.join(limits)}.")
    return parts


def _searched(content: Content) -> str:
    cardinality = finite(content.space.get("cardinality"))
    if cardinality is None:
        try:
            cardinality = float(str(content.space.get("cardinality")))
        except (ValueError, OverflowError):
            cardinality = None
    tried = len(content.study.trials) if content.study else 0
    among = f" among {_power(cardinality)} architectures" if cardinality else ""
    trials = f" in {tried:,} trials" if tried else ""
    wanted = [
        axis_of(str(o.get("name")), content.front.objectives) for o in content.front.objectives
    ]
    aims = ", ".join(f"{'high' if a.direction == 'max' else 'low'} {a.label}" for a in wanted)
    return f"Searched{among} for {aims or 'a good trade-off'}{trials}. "


def _power(count: float) -> str:
    if count < 1e6:
        return f"{count:,.0f}"
    exponent = len(f"{count:.0f}") - 1
    digits = str(exponent).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{count / 10**exponent:.1f}×10{digits}"


def _value(front: Front, member: Member, name: str) -> str:
    metric = member.metrics.get(name)
    return axis_of(name, front.objectives).show(None if metric is None else metric.value)


def interval(axis: Axis, member: Member) -> str:
    """``95.1–98.3 %`` or ""."""
    metric = member.metrics.get(axis.name)
    return "" if metric is None else axis.show_range(metric.low, metric.high)


def _interval_words(member: Member) -> str:
    between = interval(axis_of("accuracy"), member)
    metric = member.metrics.get("accuracy")
    images = finite(metric.n) if metric else None
    count = f", {images:,.0f} images" if images else ""
    return f" (95 % interval {between}{count})" if between else ""


def _batch_words(front: Front) -> str:
    batch = front.profile.get("batch")
    return "" if batch is None else f" of {batch} image{'' if batch == 1 else 's'}"


def _span_words(front: Front) -> str:
    standing = front.standing()
    latency, accuracy = _all(standing, "latency_ms"), _all(standing, "accuracy")
    if len(standing) < 2 or not latency or not accuracy:
        return f"The front has {len(standing)} member{'' if len(standing) == 1 else 's'}."
    low, high = min(latency), max(latency)
    times = f" ({significant(high / low)}×)" if low > 0 else ""
    percent = axis_of("accuracy")
    return (
        f"The front has {len(standing)} members, from {significant(low)} to {significant(high)} ms"
        f"{times} and from {percent.show(min(accuracy))} to {percent.show(max(accuracy))}."
    )


def _all(members: Sequence[Member], name: str) -> list[float]:
    found = [finite(m.metrics[name].value) for m in members if name in m.metrics]
    return [value for value in found if value is not None]


def _limit_words(front: Front, name: str, sign: str, bound: float) -> str:
    axis, stated = axis_of(name, front.objectives), front.limits[name]
    sure = finite(stated.get("confidence")) if isinstance(stated, Mapping) else None
    confident = "" if sure is None else f" with {100 * sure:g} % confidence"
    return f"{axis.label} {sign} {axis.show(bound)}{confident}"


def _tiles(content: Content) -> Html:
    winner = winner_of(content.front)
    if winner is None:
        return tag("p", "The winner is not among the stored members.", class_="note")
    made = []
    for name in _TILES:
        metric = winner.metrics.get(name)
        if metric is None:
            continue
        axis = axis_of(name, content.front.objectives)
        note = interval(axis, winner) or str(metric.kind)
        if believed_value(metric) is not None and name != "accuracy":
            note = f"predicted {axis.show(believed_value(metric))}"
        made.append(_tile(axis.label, axis.show(metric.value), note))
    test = test_accuracy(content)
    if test is not None:
        made.insert(1, _tile("test accuracy", axis_of("accuracy").show(test), "looked at once"))
    return tag("div", *made, class_="tiles")


def test_accuracy(content: Content) -> float | None:
    """The exported model's one test evaluation, if best.json is the winner's."""
    best, winner = content.best, winner_of(content.front)
    stored = best.get("architecture")
    if winner is not None and isinstance(stored, Mapping):
        plain_data = json.loads(winner.architecture.canonical_json())
        if stored != plain_data:
            return None  # what lies there was exported from another front
    for place in (best, best.get("metrics")):
        value = place.get("test_accuracy") if isinstance(place, Mapping) else None
        value = value.get("value") if isinstance(value, Mapping) else value
        if finite(value) is not None:
            return finite(value)
    return None


def _tile(label: str, value: str, note: str) -> Html:
    return tag(
        "div",
        tag("div", label, class_="tile-label"),
        tag("div", value, class_="tile-value"),
        tag("div", note, class_="tile-note"),
        class_="tile",
    )
