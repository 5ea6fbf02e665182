"""Closed forms, and brute force against the fast path."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas import pareto
from nas.pareto import Box, hypervolume, knee, non_dominated, to_costs

UNIT = Box(ideal=(0.0, 0.0), worst=(1.0, 1.0))
MIN2 = ("min", "min")


def brute_force(values: np.ndarray, directions: tuple[str, ...]) -> list[bool]:
    def dominates(a: np.ndarray, b: np.ndarray) -> bool:
        pairs = [(x, y) if d == "min" else (y, x) for x, y, d in zip(a, b, directions, strict=True)]
        return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)

    clean = [not np.isnan(row).any() for row in values]
    return [
        ok and not any(dominates(other, row) for other, k in zip(values, clean, strict=True) if k)
        for row, ok in zip(values, clean, strict=True)
    ]


@given(st.data())
def test_the_fast_front_is_the_brute_force_front(data: st.DataObject) -> None:
    columns = data.draw(st.integers(1, 4))
    directions = tuple(data.draw(st.sampled_from(["min", "max"])) for _ in range(columns))
    number = st.sampled_from([0.0, 1.0, 2.0, 3.0, math.inf, -math.inf, math.nan])
    rows = data.draw(st.lists(st.tuples(*[number] * columns), max_size=12))
    values = np.array(rows, dtype=float).reshape(-1, columns)
    expected = brute_force(values, directions)
    assert non_dominated(values, directions).tolist() == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pareto, "PAIRWISE", 0)  # one row after the other, as where there are many
        assert non_dominated(values, directions).tolist() == expected


def test_a_staircase_is_its_own_front_and_what_lies_behind_it_is_not() -> None:
    stairs = [(i, 9 - i) for i in range(10)]
    behind = [(i + 1, 10 - i) for i in range(10)]
    assert non_dominated(stairs + behind, MIN2).tolist() == [True] * 10 + [False] * 10


def test_equal_rows_all_stay_and_a_tie_in_one_column_does_not() -> None:
    assert non_dominated([(1, 1), (1, 1), (1, 2)], MIN2).tolist() == [True, True, False]


def test_directions_decide() -> None:
    assert non_dominated([(0.9, 5), (0.8, 6)], ("max", "min")).tolist() == [True, False]
    assert non_dominated([(0.9, 5), (0.8, 6)], ("min", "min")).tolist() == [True, True]


@pytest.mark.parametrize("values", [[], np.empty((0, 2))])
def test_nothing_has_no_front_no_volume_and_no_knee(values: object) -> None:
    assert non_dominated(values, MIN2).shape == (0,)  # type: ignore[arg-type]
    assert hypervolume(values, MIN2, UNIT) == 0  # type: ignore[arg-type]
    assert knee(values, MIN2) is None  # type: ignore[arg-type]


def test_columns_must_match_directions() -> None:
    with pytest.raises(ValueError, match="3 columns for 2 directions"):
        to_costs([(1, 2, 3)], MIN2)


def test_hypervolume_of_one_point_and_of_a_staircase() -> None:
    assert hypervolume([(0.25, 0.5)], MIN2, UNIT) == pytest.approx(0.75 * 0.5)
    stairs = [(i / 4, (3 - i) / 4) for i in range(4)]
    assert hypervolume(stairs, MIN2, UNIT) == pytest.approx((4 + 3 + 2 + 1) / 16)


def test_hypervolume_in_units_and_directions_of_its_own() -> None:
    box = Box(ideal=(1.0, 2.0), worst=(0.5, 10.0))
    assert hypervolume([(0.75, 6.0)], ("max", "min"), box) == pytest.approx(0.25)


def test_hypervolume_with_three_objectives_counts_lattice_cells() -> None:
    points = [(0, 2, 1), (1, 0, 2), (2, 1, 0)]
    covered = sum(
        any(all(p[m] <= cell[m] for m in range(3)) for p in points)
        for cell in product(range(3), repeat=3)
    )
    box = Box(ideal=(0, 0, 0), worst=(3, 3, 3))
    assert hypervolume(points, ("min",) * 3, box) == pytest.approx(covered / 27)


def test_what_adds_nothing_to_a_hypervolume() -> None:
    base = [(0.5, 0.5)]
    for extra in [(0.5, 0.5), (0.6, 0.6), (1.0, 0.0), (2.0, -1.0), (math.nan, 0), (math.inf, 0)]:
        assert hypervolume([*base, extra], MIN2, UNIT) == pytest.approx(0.25), extra


def test_hypervolume_with_one_objective_is_a_length() -> None:
    box = Box(ideal=(1.0,), worst=(0.0,))
    assert hypervolume([[0.25], [0.75]], ("max",), box) == pytest.approx(0.75)


def test_a_box_around_values() -> None:
    values = [(0.5, 4.0), (0.9, 2.0), (math.inf, 0.0)]
    box = Box.around(values, ("max", "min"))
    assert box == Box(ideal=(0.9, 2.0), worst=(0.5, 4.0))
    assert Box.around([(math.nan, 1.0)], ("max", "min")) is None
    flat = Box.around([(0.5, 4.0)], ("max", "min"))
    assert flat is not None
    assert hypervolume([(0.6, 3.0)], ("max", "min"), flat) == pytest.approx(1.1 * 2.0)


def test_knee_is_the_member_nearest_to_the_ideal() -> None:
    front = [(0.5, 1.0), (0.9, 2.0), (1.0, 100.0)]
    assert knee(front, ("max", "min")) == 1
    dominated = (0.89, 2.1)
    assert knee([dominated, *front], ("max", "min")) == 2


def test_knee_scales_costs_by_their_logarithm() -> None:
    # Linearly 10 ms would be nearly as good as 1 ms, and the second row the knee.
    front = [(0.50, 1.0), (0.60, 10.0), (0.62, 99.0), (0.70, 100.0)]
    assert knee(front, ("max", "min")) == 1
    front = [(0.0, 1.0), (0.7, 10.0), (1.0, 100.0)]
    assert knee(front, ("max", "min")) == 1
    front = [(0.0, 0.0), (0.9, 10.0), (1.0, 100.0)]  # zero has no logarithm: linear
    assert knee(front, ("max", "min")) == 1


def test_knee_of_one_point_of_equal_points_and_of_a_flat_objective() -> None:
    assert knee([(0.3, 7.0)], ("max", "min")) == 0
    assert knee([(0.3, 7.0), (0.3, 7.0)], ("max", "min")) == 0
    assert knee([(0.3, 7.0, 1.0), (0.4, 8.0, 1.0)], ("max", "min", "min")) in (0, 1)
    assert knee([(math.nan, 1.0), (0.3, math.inf), (0.1, 5.0)], ("max", "min")) == 2


def test_knee_does_not_depend_on_the_order_of_the_rows() -> None:
    rows = [(1.0, 4.0), (2.0, 2.0), (4.0, 1.0), (1.0, 4.0)]
    mirrored = [(1.0, 4.0), (4.0, 1.0)]
    for values in (rows, mirrored):
        chosen = knee(values, MIN2)
        backwards = knee(values[::-1], MIN2)
        assert chosen is not None
        assert backwards is not None
        assert values[chosen] == values[::-1][backwards]
