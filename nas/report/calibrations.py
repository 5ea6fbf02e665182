"""The predictors of a run, as figures want them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nas.figures.axes import axis_of
from nas.figures.calibration import Calibration, Pair
from nas.figures.front_points import believed_value
from nas.figures.text import finite
from nas.front import Front
from nas.measurement.memory_file import memory_of
from nas.report.content import Content


def latency_calibration(content: Content) -> Calibration:
    """Held-out predictions of the profile's predictor, and the front's."""
    stored, report = content.predictor, _mapping(content.predictor.get("report"))
    guesses, truths = _list(stored.get("held_out_ms")), _list(stored.get("latency_ms"))
    both = zip(guesses, truths, strict=False)  # a damaged file may hold more of one
    pairs = [(g, t, f"measured network {i}") for i, (g, t) in enumerate(both, start=1)]
    return Calibration(
        axis=axis_of("latency_ms", content.front.objectives, log=True),
        held_out=pairs,
        front=_front_pairs(content.front, "latency_ms"),
        error=_mapping(report.get("held_out")),
        front_error=_mapping(content.front.front_error),
        repeat=_mapping(stored.get("repeat")),
        interval=finite(report.get("interval")),
        confidence=finite(report.get("confidence")),
    )


def memory_calibration(content: Content) -> Calibration:
    """The closed form beside what was measured for the front's profile."""
    stored = memory_of(content.memory, str(content.front.profile.get("key")))
    rows = [row for row in _list(stored.get("rows")) if isinstance(row, Mapping)]
    return Calibration(
        axis=axis_of("peak_memory_mb", content.front.objectives, log=True),
        held_out=[
            (row.get("predicted_mb"), row.get("measured_mb"), str(row.get("digest", "")))
            for row in rows
        ],
        front=_front_pairs(content.front, "peak_memory_mb"),
        error=_mapping(stored.get("report")),
        held_out_label="sampled networks",
    )


def _front_pairs(front: Front, name: str) -> list[Pair]:
    pairs: list[Pair] = []
    for member in front.members:
        metric = member.metrics.get(name)
        if metric is not None and metric.kind == "measured" and believed_value(metric) is not None:
            pairs.append((believed_value(metric), metric.value, member.digest))
    return pairs


def agreement_rows(calibration: Calibration) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Who was compared with the measurement, and how well they agree."""
    rows = (
        (f"prediction, {calibration.held_out_label}", calibration.error),
        ("prediction, front members", calibration.front_error),
        ("measurement against itself", calibration.repeat),
    )
    return [(label, agreement) for label, agreement in rows if agreement]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else []
