"""Objectives are values; limits say by how much they are broken."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from nas.objectives import OBJECTIVES, Limit, Objective, unmet
from search_spaces.errors import UserError

LATENCY, ACCURACY = OBJECTIVES["latency_ms"], OBJECTIVES["accuracy"]


def test_every_file_of_the_folder_that_is_a_member_registers_its_own_name() -> None:
    import nas.objectives

    folder = Path(nas.objectives.__file__).parent
    files = {path.stem for path in folder.glob("*.py")} - {
        "__init__",
        "objective",
        "limit",
        "from_proxies",
    }
    assert set(OBJECTIVES.names()) >= files


@pytest.mark.parametrize("objective", list(OBJECTIVES), ids=lambda o: o.name)
def test_contract_of_an_objective(objective: Objective) -> None:
    assert objective.direction in ("min", "max")
    assert objective.cost in ("free", "cheap", "expensive")
    assert objective.label
    assert not math.isnan(objective.worst)
    assert hash(objective) == hash(objective)
    if objective.unit in ("ms", "MB"):
        assert objective.name.endswith(f"_{objective.unit.lower()}")


def test_title_holds_the_unit() -> None:
    assert LATENCY.title == "latency [ms]"
    assert ACCURACY.title == "accuracy"


def test_an_unknown_objective_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'latency' is unknown; did you mean 'latency_ms'"):
        OBJECTIVES["latency"]


def test_a_limit_bounds_costs_from_above_and_gains_from_below() -> None:
    slow, weak = Limit(LATENCY, 2.0), Limit(ACCURACY, 0.9)
    assert slow.holds(2.0)
    assert slow.violation(3.0) == pytest.approx(0.5)
    assert slow.violation(1.0) == pytest.approx(-0.5)
    assert weak.holds(0.9)
    assert weak.violation(0.45) == pytest.approx(0.5)
    assert str(slow) == "latency_ms ≤ 2 ms"
    assert str(weak) == "accuracy ≥ 0.9"


def test_a_limit_of_zero_and_a_value_that_is_no_number() -> None:
    assert Limit(LATENCY, 0.0).violation(3.0) == 3.0
    assert Limit(LATENCY, 2.0).violation(math.nan) == math.inf
    assert not Limit(ACCURACY, 0.5).holds(math.nan)


@pytest.mark.parametrize("bound", [math.nan, math.inf])
def test_a_bound_must_be_finite(bound: float) -> None:
    with pytest.raises(UserError, match=r"constraints\.latency_ms"):
        Limit(LATENCY, bound)


def test_unknown_metrics_break_no_limit() -> None:
    limits = [Limit(LATENCY, 2.0), Limit(ACCURACY, 0.9)]
    assert unmet(limits, {"latency_ms": 3.0}) == [limits[0]]
    assert unmet(limits, {"latency_ms": 1.0}) == []
    assert unmet(limits, {"latency_ms": 1.0, "accuracy": 0.5}) == [limits[1]]
