"""Limits: what may be stated, and whether anything can meet it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nas.config import RunConfig, SearchConfig, diff_identity
from nas.limits import check_reachable
from nas.objectives import OBJECTIVES, Limit, describe_limits, read_limits, unmet, violations
from search_spaces.errors import UserError
from search_spaces.space import SearchSpace
from supernet.operators import all_cards
from tests.nas_tests.study_toy import SPACE

LATENCY, ACCURACY, PARAMS = (OBJECTIVES[n] for n in ("latency_ms", "accuracy", "params"))


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return SearchSpace(SPACE, all_cards())


def price(genes_BG: Any) -> dict[str, Any]:
    """Latency grows with the genes' sum, parameters fall with it."""
    size_B = genes_BG.sum(axis=1).astype(float)
    return {"latency_ms": 1 + size_B, "params": 100.0 / (1 + size_B), "latency_ms@0.9": 2 + size_B}


# -- what may be stated -----------------------------------------------------------------------


def test_a_number_bounds_the_end_that_less_good_values_reach() -> None:
    assert read_limits(LATENCY, 2) == (Limit(LATENCY, 2.0, "max"),)
    assert read_limits(ACCURACY, 0.9) == (Limit(ACCURACY, 0.9, "min"),)
    assert read_limits(LATENCY, None) == ()


def test_both_ends_and_a_confidence_are_stated_by_name() -> None:
    upper, lower = read_limits(LATENCY, {"max": 20, "min": 5, "confidence": 0.9})
    assert (upper.side, upper.bound, upper.metric) == ("max", 20.0, "latency_ms@0.9")
    assert (lower.side, lower.bound, lower.metric) == ("min", 5.0, "latency_ms@0.1")
    assert str(upper) == "latency_ms ≤ 20 ms with 0.9 confidence"
    assert read_limits(LATENCY, {"max": 20, "min": None}) == (Limit(LATENCY, 20.0),)


def test_each_end_is_held_against_its_own_quantile() -> None:
    limits = read_limits(LATENCY, {"max": 20, "min": 5, "confidence": 0.9})
    values = {"latency_ms": 10.0, "latency_ms@0.9": 21.0, "latency_ms@0.1": 8.0}
    assert unmet(limits, values) == [limits[0]]
    assert violations(limits, values) == {"latency_ms": pytest.approx(1 / 20)}
    assert unmet(limits, {"latency_ms": 100.0}) == [], "its quantiles are not known"


@pytest.mark.parametrize(
    "stated",
    [
        {},
        {"latency_ms": 2.0},
        {"accuracy": 0.5, "latency_ms": {"max": 2.0, "min": 1.0}},
        {"latency_ms": {"max": 2.0, "confidence": 0.8}},
        {"accuracy": {"max": 0.9}},
    ],
)
def test_limits_survive_being_written_down(stated: dict[str, Any]) -> None:
    read = [limit for name, v in stated.items() for limit in read_limits(OBJECTIVES[name], v)]
    assert describe_limits(read) == stated


@pytest.mark.parametrize(
    ("metric", "value", "parts"),
    [
        (LATENCY, {"max": 1, "min": 2}, ["latency_ms.min=2", "latency_ms.max=1", "contradict"]),
        (LATENCY, {"mx": 1}, ["constraints.latency_ms='mx'", "did you mean 'max'?"]),
        (LATENCY, {}, ["constraints.latency_ms={}", "max"]),
        (LATENCY, {"max": 0}, ["constraints.latency_ms.max=0", "above 0"]),
        (LATENCY, {"max": 2, "confidence": 1}, ["latency_ms.confidence=1", "below 1"]),
        (LATENCY, {"max": 2, "confidence": "high"}, ["latency_ms.confidence='high'"]),
        (LATENCY, "fast", ["constraints.latency_ms='fast'", "a number or null"]),
        (LATENCY, True, ["constraints.latency_ms=True"]),
        (ACCURACY, 1.5, ["constraints.accuracy=1.5", "0 to 1"]),
        (PARAMS, {"max": 2, "confidence": 0.9}, ["constraints.params.confidence=0.9", "interval"]),
    ],
)
def test_a_limit_that_cannot_be_used(metric: Any, value: Any, parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        read_limits(metric, value)
    for part in parts:
        assert part in str(caught.value)


def test_what_is_null_is_no_part_of_a_run() -> None:
    search = SearchConfig(reference={"latency_ms": None})
    assert diff_identity(RunConfig(), RunConfig(search=search, constraints={"params": None})) == []
    search = SearchConfig(reference={"latency_ms": 5.0})
    [line] = diff_identity(RunConfig(), RunConfig(search=search))
    assert line == "search.reference.latency_ms: (not set) → 5.0"


# -- what can be met --------------------------------------------------------------------------


def test_limits_that_something_meets_pass(space: SearchSpace) -> None:
    everything = price(space.sample_genes(np.random.default_rng(0), 1000))
    middle = float(np.sort(everything["latency_ms"])[500])
    params = 100.0 / middle
    check_reachable((Limit(LATENCY, middle), Limit(PARAMS, params, "max")), space, price, 0)
    check_reachable(read_limits(LATENCY, {"max": middle, "min": middle}), space, price, 0)
    check_reachable((Limit(ACCURACY, 0.99),), space, price, 0)  # nothing says what it will be


def test_a_limit_that_nothing_meets_is_told_with_the_best_there_is(space: SearchSpace) -> None:
    with pytest.raises(UserError, match=r"latency_ms=0.5: no arch.*about 1 ms; or so"):
        check_reachable((Limit(LATENCY, 0.5),), space, price, 0, "; or so")


def test_limits_that_contradict_are_named_together_with_a_compromise(space: SearchSpace) -> None:
    limits = (Limit(LATENCY, 5.0), Limit(PARAMS, 15.0))
    with pytest.raises(UserError) as caught:
        check_reachable(limits, space, price, 0)
    line = str(caught.value)
    assert "constraints.latency_ms=5 and constraints.params=15: no architecture" in line
    assert "meets both; the best compromise found has latency_ms " in line
    check_reachable((limits[0], Limit(PARAMS, 25.0)), space, price, 0)


def test_a_quantile_is_judged_like_a_metric(space: SearchSpace) -> None:
    sure = read_limits(LATENCY, {"max": 1.5, "confidence": 0.9})
    check_reachable(read_limits(LATENCY, 1.5), space, price, 0)
    with pytest.raises(UserError, match=r"max: 1.5, confidence: 0.9.*about 2 ms at the 0.9"):
        check_reachable(sure, space, price, 0)
