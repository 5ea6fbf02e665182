"""Which networks are measured."""

from __future__ import annotations

import numpy as np
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern

from nas.measurement.design import measuring_order
from nas.measurement.scaling import LogScale
from nas.steps.subnets import Enough


def candidates(count: int = 80, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.lognormal(size=(count, 4)), np.full(count, 7.0)])


def test_an_order_begins_as_told_and_repeats_nobody() -> None:
    order = measuring_order(candidates(), [5, 9, 5], 60)
    assert order[:2] == [5, 9]
    assert len(set(order)) == len(order) == 60
    assert measuring_order(candidates(), [5, 9], 200) != []
    assert sorted(measuring_order(candidates(), [], 200)) == list(range(80))


def test_a_longer_order_continues_a_shorter_one() -> None:
    features = candidates()
    assert measuring_order(features, [0], 50)[:20] == measuring_order(features, [0], 20)


def test_every_second_one_is_where_a_gaussian_process_is_least_sure() -> None:
    features = candidates()
    points = LogScale(features)(features)
    assert points.shape == (80, 4)
    order = measuring_order(features, [3], 31)
    kernel = Matern(3.0 * np.sqrt(4), nu=2.5)
    for place in range(1, 31, 2):
        process = GaussianProcessRegressor(kernel, alpha=1e-2, optimizer=None)
        process.fit(points[order[:place]], np.zeros(place))
        _, deviation = process.predict(points, return_std=True)
        deviation[order[:place]] = 0
        assert order[place] == int(deviation.argmax())


def test_the_others_come_as_they_were_drawn() -> None:
    order = measuring_order(candidates(), [0], 41)
    drawn = order[2::2]
    assert drawn == sorted(drawn)


def test_measuring_ends_when_the_error_stops_falling() -> None:
    falling, idle = Enough(), Enough()
    assert not any(falling(error) for error in (0.10, 0.08, 0.06, 0.05, 0.04))
    assert [idle(error) for error in (0.10, 0.05, 0.049, 0.048)] == [False, False, False, True]
    recovered = Enough()
    assert not any(recovered(error) for error in (0.10, 0.11, 0.05, 0.06, 0.04))
