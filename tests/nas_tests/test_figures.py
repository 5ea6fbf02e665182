"""Figures hold what they were given, and nothing from a file is read as markup."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nas.figures.axes import axis_of
from nas.figures.calibration import Calibration, calibration_figure
from nas.figures.drawing import architecture_figure
from nas.figures.front import MAX_TRIALS, front_figure
from nas.figures.front_points import FrontSeries
from nas.figures.layers import layers_figure
from nas.figures.palette import on_colour, op_code, op_colour, op_pattern
from nas.figures.progress import hypervolume_figure, training_figure
from nas.figures.text import cleaned, counted, finite, plain, shown, shown_range, significant
from nas.figures.trace import token_steps
from nas.front import Metric
from nas.study.trials import FinishedTrial
from tests.nas_tests.report_toy import (
    NONE,
    architecture,
    member_of,
    metrics_of,
    objectives,
    trace,
)

ROOT = Path(__file__).resolve().parents[2]
X = axis_of("latency_ms", objectives(), log=True)
Y = axis_of("accuracy", objectives())
MEMORY = axis_of("peak_memory_mb", objectives())
DEEP = architecture(64, [(0, 4, 3, 0), (1, 2, 2, 1), (4, 0, 2, 0), (2, 3, 1, 2)], 2)
SMALL = architecture(32, [(3, 1, 1, 0), (0, 1, 1, 0)])
MIDDLE = architecture(48, [(0, 2, 2, 1), (1, 2, 1, 0)])
HOSTILE = "</script><img src=x onerror=alert(1)><a href='http://evil.example/'>"


def members() -> list[Any]:
    return [
        member_of(DEEP, 3, tied=True, dominated=False),
        member_of(MIDDLE, 2, tied=False, dominated=True),
        member_of(SMALL, 1, tied=False, dominated=False),
    ]


def trial(number: int, latency: object = 0.2, accuracy: object = 0.9, **changes: Any) -> Any:
    fields: dict[str, Any] = {
        "number": number,
        "state": "complete",
        "digest": f"{number:016x}",
        "architecture_json": "{}",
        "values": (),
        "metrics": {"latency_ms": latency, "accuracy": accuracy},
        "violations": {},
        "source": "evaluated",
        "reason": None,
        "seconds": 0.1,
        "repairs": (),
        "hypervolume": number / 100,
    }
    return FinishedTrial(**fields | changes)


def named(figure: Any, part: str) -> Any:
    found = [one for one in figure.data if part in (one.name or "")]
    assert found, f"{part}: not among {[one.name for one in figure.data]}"
    return found[0]


def content(figure: Any) -> str:
    """Everything in a figure, as its reader will decode it."""
    return json.dumps(json.loads(figure.to_json()), ensure_ascii=False)


def drawn(members_: Any, **options: Any) -> Any:
    series = FrontSeries(name="run", members=members_, winner=SMALL.digest(), **options)
    return front_figure([series], X, Y, colour=MEMORY)


# -- text and colours -------------------------------------------------------------------------


def test_text_from_files_cannot_be_markup_or_invisible():
    assert plain("<b>&") == "&lt;b&gt;&amp;"
    assert cleaned("a\u202eb\x00c\ud800d\ufeff") == "abcd"
    assert len(cleaned("x" * 10_000)) == 200
    cleaned("\ud800").encode()


@pytest.mark.parametrize("value", ["1", None, True, math.nan, math.inf, 10**400, [], {}])
def test_what_is_no_number_is_not_drawn(value):
    assert finite(value) is None


def test_numbers_read_as_people_write_them():
    assert [significant(v) for v in (0.0834, 0.2, 12.34, 1234.5, 0.0)] == [
        "0.0834",
        "0.200",
        "12.3",
        "1,234",
        "0.00",
    ]
    assert [counted(v) for v in (17_000, 5_717_416, 12, 1.26e9)] == [
        "17.0 k",
        "5.72 M",
        "12",
        "1.26 G",
    ]
    assert shown("latency_ms", 0.2134, "ms") == "0.213 ms"
    assert shown("accuracy", 0.9722) == "97.2 %"
    assert shown("accuracy", "97") == "–"
    assert shown_range("accuracy", 0.871, 0.932) == "87.1–93.2 %"
    assert shown_range("latency_ms", 0.182, 0.2, "ms") == "0.182–0.200 ms"
    assert shown_range("latency_ms", None, 0.2, "ms") == ""


def test_colours_come_from_names():
    assert op_colour("softmax") != op_colour("window")
    code = "from nas.figures.palette import *; print(op_colour('my_op'), op_pattern('my_op'))"
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert other.stdout.split() == [op_colour("my_op"), op_pattern("my_op")]
    assert op_pattern("my_op")
    assert [op_code(op) for op in ("softmax", "linear_angular", "none", "q", "€")] == [
        "So",
        "La",
        "–",
        "Q",
        "?",
    ]
    assert on_colour("#0072B2") == "#ffffff"
    assert on_colour("#F0E442") != "#ffffff"


# -- the front --------------------------------------------------------------------------------


def test_front_holds_measured_and_predicted_values():
    figure = drawn(members(), trials=[trial(0), trial(1, 0.4, 0.95)])
    solid, best, hollow = (
        named(figure, "front, measured"),
        named(figure, "tied with"),
        named(figure, "dominated"),
    )
    deep, middle, small = members()
    assert list(solid.x) == [small.value("latency_ms")]
    assert list(solid.y) == [small.value("accuracy")]
    assert solid.marker.color == (small.value("peak_memory_mb"),)
    assert (best.marker.symbol, list(best.x)) == ("diamond", [deep.value("latency_ms")])
    assert (hollow.marker.symbol, list(hollow.x)) == ("circle-open", [middle.value("latency_ms")])
    assert set(named(figure, "predicted").x) == {
        metrics_of(candidate)["latency_ms"] for candidate in (DEEP, MIDDLE, SMALL)
    }
    assert list(named(figure, "trials").x) == [0.2, 0.4]
    low = small.metrics["accuracy"].low
    assert solid.error_y.arrayminus[0] == pytest.approx(small.value("accuracy") - low)
    assert solid.customdata[0][1] == SMALL.digest()
    assert named(figure, "winner").customdata[0][1] == SMALL.digest()
    assert figure.layout.xaxis.type == "log"


def test_the_staircase_leaves_dominated_members_out():
    figure = drawn(members())
    stairs = next(one for one in figure.data if one.line.shape == "hv")
    assert list(stairs.x) == sorted(m.value("latency_ms") for m in members() if not m.dominated)


def test_limits_baselines_and_broken_limits_are_drawn():
    series = FrontSeries(
        name="run", members=members(), trials=[trial(0, violations={"latency_ms": 0.5})]
    )
    figure = front_figure(
        [series],
        X,
        Y,
        limits={"latency_ms": 0.3, "params": 5.0},
        baselines=[
            {"name": HOSTILE, "accuracy": {"value": 0.95}, "latency_ms": 0.25},
            {"name": "unmeasured", "accuracy": 0.9},
        ],
    )
    assert set(named(figure, "limit: latency ≤ 0.300 ms").x) == {0.3}
    star = named(figure, "baselines")
    assert (list(star.x), list(star.y), star.marker.symbol) == ([0.25], [0.95], "star")
    assert len(named(figure, "break a limit").x) == 1
    assert "<img" not in content(figure)


def test_a_limit_that_not_all_runs_have_says_whose_it_is():
    pair = [FrontSeries(name=f"run {i}", members=members()) for i in range(2)]
    limits = [{"latency_ms": 0.3, "accuracy": {"min": 0.5}}, {"latency_ms": 0.3}]
    drawn = front_figure(pair, X, Y, limits=limits).data
    told = [one.name for one in drawn if (one.name or "").startswith("limit")]
    assert told == ["limit: latency ≤ 0.300 ms", "limit: accuracy ≥ 50.0 % (run 0)"]


def test_trials_looked_at_only_in_part_are_drawn_apart_and_say_so():
    whole = [trial(i) for i in range(3)]
    part = trial(3, images=1024)
    part = replace(part, metrics={"latency_ms": 0.3}, partial={"accuracy": 0.7})
    series = FrontSeries(name="run", trials=[*whole, part], members=members())
    figure = front_figure([series], X, Y)
    drawn_whole, drawn_part = named(figure, "search estimate"), named(figure, "only in part")
    assert len(drawn_whole.x) == 3
    assert (list(drawn_part.x), list(drawn_part.y)) == ([0.3], [0.7])
    assert "estimated from 1,024 images" in drawn_part.hovertext[0]
    assert drawn_part.marker.symbol == "circle-open"


def test_both_ends_of_a_limit_are_drawn():
    series = FrontSeries(name="run", members=members())

    def names(limits: Any) -> list[str]:
        figure = front_figure([series], X, Y, limits=limits)
        return [one.name for one in figure.data if str(one.name).startswith("limit")]

    both = names({"latency_ms": {"max": 0.4, "min": 0.1, "confidence": 0.9}, "accuracy": 0.5})
    wanted = ["latency ≤ 0.4", "latency ≥ 0.1", "accuracy ≥ 50"]
    assert len(both) == 3
    assert all(part in name for part, name in zip(wanted, both, strict=True))
    assert names({"latency_ms": ["?"], "accuracy": {"min": "high"}}) == []


def test_values_that_are_none_cost_their_point_only():
    broken = member_of(MIDDLE, tied=False, dominated=False)
    metrics: Any = dict(broken.metrics) | {"latency_ms": Metric(value="fast", kind="measured")}  # type: ignore[arg-type]
    trials = [trial(0, math.nan), trial(1, 0.0), trial(2, "x"), trial(3, state="failed"), trial(4)]
    figure = drawn([replace(broken, metrics=metrics), *members()], trials=trials)
    assert len(named(figure, "front, measured").x) == 1
    assert len(named(figure, "trials").x) == 1
    assert front_figure([FrontSeries(name="nothing")], X, Y).layout.annotations


def test_several_runs_are_told_apart_by_colour():
    pair = [FrontSeries(name=f"run {i}", members=members()) for i in range(2)]
    solid = [one for one in front_figure(pair, X, Y).data if (one.name or "").startswith("run")]
    assert len({one.marker.color for one in solid if one.marker.symbol == "circle"}) == 2


@pytest.mark.parametrize("tied", [True, False])
def test_each_of_several_runs_is_once_in_the_legend(tied):
    several = [replace(one, tied=tied, dominated=False) for one in members()]
    pair = [FrontSeries(name=f"run {i}", members=several) for i in range(2)]
    traces = front_figure(pair, X, Y).data
    told = [one.name for one in traces if one.mode == "markers" and one.showlegend is not False]
    assert [name for name in told if name.startswith("run")] == ["run 0", "run 1"]


def test_many_trials_stay_drawable():
    trials = [trial(i, 0.1 + i * 1e-5) for i in range(20_000)]
    series = FrontSeries(name="run", trials=trials, members=members())
    assert len(named(front_figure([series], X, Y), "trials").x) == MAX_TRIALS
    fast = front_figure([series], X, Y, webgl=True)
    assert (named(fast, "trials").type, len(named(fast, "trials").x)) == ("scattergl", 20_000)


def test_names_of_runs_are_escaped():
    series = FrontSeries(name=HOSTILE, members=members(), trials=[trial(0, digest=HOSTILE)])
    text = content(front_figure([series, series], X, Y))
    assert "<img" not in text
    assert "<a " not in text


# -- architectures ----------------------------------------------------------------------------


def test_drawing_has_a_segment_a_head_and_the_tokens():
    figure = architecture_figure(DEEP, trace(DEEP))
    bars = {one.legendgroup: one for one in figure.data if one.type == "bar" and one.legendgroup}
    assert {op: len(bars[op].x) for op in ("softmax", "window", "hilo")} == {
        "softmax": 4,
        "window": 2,
        "hilo": 3,
    }
    assert bars["softmax"].marker.color == op_colour("softmax")
    assert list(named(figure, "MLP").y) == [192, 128, 128, 64]
    assert named(figure, "<b>Wi</b> window (size 2)").text == ("Wi",)
    assert max(named(figure, "tokens").y) == 64
    fall = next(one for one in figure.data if "→" in str(one.text))
    assert list(fall.text) == ["tome → 48", "evit → 34"]


def test_token_steps_follow_the_trace():
    corners, drops = token_steps(trace(DEEP))
    assert [tokens for _, tokens in corners][:1] == [64.0]
    assert corners[-1] == (3.5, 34.0)
    assert [(drop.before, drop.after) for drop in drops] == [(64, 48), (48, 34)]
    assert [x for x, _ in corners] == sorted(x for x, _ in corners)


def test_drawing_does_without_a_trace_and_with_unknown_operators():
    stage = DEEP.stages[0]
    strange = replace(stage.blocks[0], attention=SimpleNamespace(op="<i>x", params=()))  # type: ignore[arg-type]
    odd = replace(DEEP, stages=(replace(stage, blocks=(strange,) * 3),))
    text = content(architecture_figure(odd))
    assert "<i>" not in text
    assert architecture_figure(replace(DEEP, stages=())).layout.annotations


def test_layer_bars_add_up_to_the_whole():
    layers = trace(DEEP)
    bars = layers_figure(layers).data
    for axis, field in (("x", "params"), ("x2", "macs")):
        drawn_sum = sum(sum(one.x) for one in bars if one.xaxis == axis)
        assert drawn_sum == sum(getattr(layer, field) for layer in layers)
    assert NONE.op in bars[0].y[4]
    assert layers_figure(()).layout.annotations


# -- predictors, search, training ---------------------------------------------------------------


def test_calibration_states_who_agrees_how_well():
    calibration = Calibration(
        axis=X,
        held_out=[(0.21, 0.2, "a"), (0.4, "?", "b"), (-1, 0.3, "c")],
        front=[(0.3, 0.33, HOSTILE)],
        error={"mape": 0.031, "spearman": 0.991, "kendall_tau": 0.94, "n": 60},
        repeat={"mape": 0.012, "kendall_tau": "high"},
        interval=0.1,
        confidence=0.9,
    )
    figure = calibration_figure(calibration)
    unseen = named(figure, "not seen")
    assert (list(unseen.x), list(unseen.y)) == ([0.2], [0.21])
    assert "MAPE 3.1 %, Spearman 0.991, Kendall τ 0.940" in unseen.name
    assert named(figure, "measurement against itself").name.endswith("MAPE 1.2 %")
    assert named(figure, "holds 90 %")
    assert "<img" not in content(figure)
    assert "MAPE" not in content(calibration_figure(calibration, state=False))
    assert calibration_figure(Calibration(axis=X)).layout.annotations


def test_hypervolume_keeps_steps_and_marks_failures():
    trials = [trial(i, hypervolume=[None, 0.1, 0.1, 0.1, 0.4, 0.4][i]) for i in range(5)]
    trials.append(trial(5, state="failed", hypervolume=0.4))
    figure = hypervolume_figure([("run", trials)])
    assert list(zip(figure.data[0].x, figure.data[0].y, strict=True)) == [
        (2, 0.1),
        (5, 0.4),
        (6, 0.4),
    ]
    assert list(named(figure, "failed trials (1)").x) == [6]
    assert hypervolume_figure([("run", [])]).layout.annotations


def test_training_draws_what_was_logged():
    rows: list[dict[str, Any]] = [{"epoch": e, "teacher_loss": 1 / e} for e in range(1, 4)]
    assert [one.name for one in training_figure(rows).data] == ["loss of the largest member"]
    rows[1] |= {"smallest_accuracy": 0.5, "student_loss": "nan"}
    figure = training_figure(rows)
    assert list(named(figure, "smallest").x) == [2]
    assert training_figure([{"epoch": "x"}]).layout.annotations


def test_log_ticks_are_whole_numbers():
    assert X.ticks(-1.0, 0.5) == pytest.approx([0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50])
    assert X.ticks(0.0, 0.3) is None
    assert Y.ticks(0.0, 1.0) is None


def test_figures_load_nothing_heavy():
    modules = "front, drawing, layers, calibration, progress"
    code = (
        f"from nas.figures import {modules}\nimport sys\n"
        "print(*{'torch', 'ray', 'optuna', 'sklearn', 'hydra'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.split() == []


def test_words_beside_marks_stay_in_the_view():
    """Under a mark at the upper edge, to the right at the left edge; many marks have none."""
    x, y = axis_of("latency_ms"), axis_of("accuracy")
    members = [member_of(SMALL, tied=False, dominated=False)]
    stars = [{"name": "corner", "latency_ms": 0.0, "accuracy": 1.0}]
    stars += [{"name": "far", "latency_ms": 100.0, "accuracy": 0.0}]
    begun = [{"name": f"start {i}", "latency_ms": 50.0, "accuracy": 0.5} for i in range(9)]
    rows = [*stars, *({**row, "start": True} for row in begun)]
    figure = front_figure([FrontSeries(name="a", members=members)], x, y, baselines=rows)
    assert list(named(figure, "baselines").textposition) == ["bottom right", "top left"]
    assert named(figure, "what the search began with").mode == "markers"


def test_a_metric_that_is_no_objective_of_the_run_has_its_own_words():
    axis = axis_of("throughput")
    assert (axis.label, axis.unit, axis.direction) == ("throughput", "images/s", "max")
    assert axis_of("nothing known").label == "nothing known"
