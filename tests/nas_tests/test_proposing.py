"""What samplers share: expected improvement, the Gaussian process, operators, ranking."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.stats import multivariate_normal

from nas.objectives import OBJECTIVES, Limit
from nas.pareto import Box, hypervolume
from nas.proposing.drawing import cross, mutate, parts
from nas.proposing.features import Features, Groups
from nas.proposing.gaussian_process import (
    WEAKNESS,
    GaussianProcess,
    _Known,
    _line,
    _squared,
)
from nas.proposing.guide import Guide, _strata
from nas.proposing.history import History
from nas.proposing.improvement import Landscape
from nas.proposing.inner import InnerEvolution, _batch
from nas.proposing.models import checkpoint, checkpoints
from nas.proposing.question import Question
from nas.proposing.ranking import best_first, crowding, fronts
from tests.nas_tests.study_toy import ToyProblem
from tests.search_spaces_tests.spaces import default_space

TOY = ToyProblem()


def question(**changes: object) -> Question:
    fields = {
        "space": TOY.space,
        "columns": TOY.columns,
        "objectives": (OBJECTIVES["accuracy"], OBJECTIVES["latency_ms"]),
        "limits": (),
        "box": Box((1.0, 0.1), (0.0, 2.0)),
        "batch_size": 5,
    }
    return Question(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("known", [0, 1, 2, 3])
def test_the_improvement_is_what_the_hypervolume_gains(known: int) -> None:
    rng = np.random.default_rng(known)
    front = rng.random((12, 1 + known)) * 1.1  # some beyond the reference point
    candidates = rng.random((30, 1 + known)) * 1.1 - 0.05
    kinds, box = ["min"] * (1 + known), Box((0.0,) * (1 + known), (1.0,) * (1 + known))
    landscape = Landscape(front[:, 0], front[:, 1:])
    found = landscape.improvement(candidates[:, :1], np.ones(1), candidates[:, 1:])
    before = hypervolume(front, kinds, box)
    for gain, candidate in zip(found, candidates, strict=True):
        after = hypervolume(np.concatenate([front, candidate[None]]), kinds, box)
        assert gain == pytest.approx(after - before, abs=1e-12)
        joined = landscape.joined(float(candidate[0]), candidate[1:])
        assert joined.improvement(candidate[None, :1], np.ones(1), candidate[None, 1:]) <= 1e-12


def test_hyper_parameters_are_fitted_whenever_a_quarter_more_is_known() -> None:
    reached = [checkpoint(count) for count in range(2, 500)]
    assert reached == sorted(reached)
    for count, first in enumerate(reached, start=2):
        assert first <= count <= max(4, 1.25 * first + 1)


def test_a_resumed_study_comes_past_the_same_checkpoints() -> None:
    for count in range(48, 300):
        assert checkpoints(48, count)[-1] == checkpoint(count)
        assert set(checkpoints(48, count)) <= set(checkpoints(48, count + 1))


def test_a_thousand_outputs_are_predicted_as_one_by_one() -> None:
    rng = np.random.default_rng(0)
    groups, other = ((rng.random((n, 3)), rng.random((n, 2))) for n in (40, 60))
    values = np.stack([np.sin(a * groups[0].sum(axis=1)) for a in rng.uniform(1, 4, 9)], axis=1)
    process = GaussianProcess.fit(groups, values)
    mean, std = process.predict_all(other)
    for output in range(9):
        alone = process.told(groups, values[:, [output]])
        mine, spread = alone.predict(other)
        np.testing.assert_allclose(mean[:, output], mine, atol=1e-4)
        np.testing.assert_allclose(std * process.scale_R[output], spread, rtol=1e-3)


def test_a_process_told_the_same_points_predicts_the_same() -> None:
    rng = np.random.default_rng(0)
    groups = (rng.random((30, 3)), rng.random((30, 2)))
    values = (groups[0].sum(axis=1) + 0.1 * rng.random(30))[:, None]
    fitted = GaussianProcess.fit(groups, values)
    for mine, theirs in zip(
        fitted.told(groups, values).predict(groups), fitted.predict(groups), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9)


def test_a_point_left_out_is_predicted_from_the_others() -> None:
    rng = np.random.default_rng(0)
    groups = (rng.random((12, 3)), rng.random((12, 2)))
    values = np.stack([groups[0].sum(axis=1), np.sin(5 * groups[1][:, 0])], axis=1)
    process = GaussianProcess.fit(groups, values)
    mean, std, error = process.left_out()
    others = np.arange(1, 12)
    # The same standardised values: means and scales are those of all points.
    z = (values - process.mean_R) / process.scale_R
    squares = [_squared(g, g) for g in groups]
    theta = np.exp(process.theta)
    r = np.sqrt(5 * (theta[0] * squares[0] + theta[1] * squares[1]))
    kernel = theta[2] * (1 + r + r**2 / 3) * np.exp(-r) + theta[3] * _line(groups, groups)
    noisy = kernel + theta[4] * np.eye(12)
    told = np.linalg.solve(noisy[np.ix_(others, others)], np.c_[z[1:], kernel[1:, 0]])
    expected = process.mean_R + process.scale_R * (kernel[0, 1:] @ told[:, :2])
    np.testing.assert_allclose(mean[0], expected, rtol=1e-6)
    own = noisy[0, 0] - kernel[0, 1:] @ told[:, 2]
    np.testing.assert_allclose(std[0], np.sqrt(own), rtol=1e-6)
    missed = (values - mean) / process.scale_R / std[:, None]
    np.testing.assert_allclose(error, np.sqrt((missed**2).mean(axis=0)), rtol=1e-6)


def test_genes_without_effect_are_those_that_repair_takes_back() -> None:
    space = default_space()
    rows = space.sample_genes(np.random.default_rng(0), 40)
    active = space.codec.active_rows(rows)
    for column, gene in enumerate(space.genes):
        if len(gene.choices) > 1:
            changed = rows.copy()
            changed[:, column] = (rows[:, column] + 1) % len(gene.choices)
            same = (space.repair(changed)[0] == rows).all(axis=1)
            assert same[~active[:, column]].all()
    assert (active == [space.codec.active(row) for row in rows]).all()


def test_strata_are_a_standard_normal_variable() -> None:
    means, weights = _strata()
    assert weights.sum() == pytest.approx(1)
    assert means @ weights == pytest.approx(0, abs=1e-12)
    assert (np.diff(means) > 0).all()
    best = 1.5  # expected improvement below -1.5, closed form: φ(1.5) - 1.5 Φ(-1.5)
    improvement = np.maximum(-best - means, 0) @ weights
    assert improvement == pytest.approx(0.02931, rel=0.05)


def test_the_process_is_the_textbooks() -> None:
    rng = np.random.default_rng(0)
    groups = (rng.random((20, 3)), rng.random((20, 2)))
    other = (rng.random((4, 3)), rng.random((4, 2)))
    y = np.sin(3 * groups[0].sum(axis=1)) + groups[1][:, 0]
    process = GaussianProcess.fit(groups, y[:, None])
    theta = np.exp(process.theta)

    def kernel(a: Groups, b: Groups) -> np.ndarray:
        r = np.sqrt(5 * (theta[0] * _squared(a[0], b[0]) + theta[1] * _squared(a[1], b[1])))
        return theta[2] * (1 + r + r**2 / 3) * np.exp(-r) + theta[3] * _line(a, b)

    noisy = kernel(groups, groups) + theta[4] * np.eye(20)
    z = (y - y.mean()) / y.std()
    mean, std = process.predict(other)
    cross_ = kernel(other, groups)
    np.testing.assert_allclose(mean, y.mean() + y.std() * cross_ @ np.linalg.solve(noisy, z))
    own = np.diag(kernel(other, other)) - np.diag(cross_ @ np.linalg.solve(noisy, cross_.T))
    np.testing.assert_allclose(std, y.std() * np.sqrt(own + theta[4]), rtol=1e-6)


@pytest.mark.parametrize("outputs", [1, 3])
def test_its_likelihood_and_the_gradient(outputs: int) -> None:
    rng = np.random.default_rng(1)
    groups = (rng.random((15, 3)), rng.random((15, 2)))
    values = rng.standard_normal((15, outputs))
    known = _Known.of(groups, (values - values.mean(axis=0)) / values.std(axis=0))
    prior, line = np.zeros(5), _line(groups, groups)
    squares = np.stack([_squared(group, group) for group in groups])
    for _ in range(5):
        theta = rng.normal(0, 0.7, 5)
        loss, gradient = known.loss(theta, prior)
        r = np.sqrt(5 * np.einsum("k,knm->nm", np.exp(theta[:2]), squares))
        smooth = np.exp(theta[2] - r) * (1 + r + r**2 / 3)
        kernel = smooth + np.exp(theta[3]) * line + np.exp(theta[4]) * np.eye(15)
        likelihood = multivariate_normal.logpdf(known.z_NR.T, cov=kernel).sum()
        pull = 0.5 * ((theta / WEAKNESS) ** 2).sum()
        assert -loss == pytest.approx(likelihood - pull + 7.5 * outputs * np.log(2 * np.pi))
        error = check_grad(
            lambda t: known.loss(t, prior)[0], lambda t: known.loss(t, prior)[1], theta
        )
        assert error < 1e-4 * max(1, np.abs(gradient).max())


def test_kinds_of_genes_are_weighed_apart() -> None:
    """Where only the heads matter, the process finds that out and all else to be alike."""
    asked, rng = question(), np.random.default_rng(0)
    rows = TOY.space.sample_genes(rng, 60)
    groups = Features(asked)(rows, asked.columns(rows))
    kinds = {g.name.rpartition(".")[2] for g in TOY.space.genes if len(g.choices) > 1}
    assert len(groups) == len(kinds) + 2  # sums over the layers, free metrics
    names = list(dict.fromkeys(g.name.rpartition(".")[2] for g in TOY.space.genes))
    heads = [name for name in names if name in kinds].index("heads")
    values = np.sin(20 * groups[heads][:, 0])
    theta = GaussianProcess.fit(groups, values[:, None]).theta[: len(kinds)]
    assert theta.argmax() == heads


def test_a_batch_is_the_best_one_by_one() -> None:
    history, rng = History(question()), np.random.default_rng(3)
    rows = np.unique(TOY.space.sample_genes(rng, 200), axis=0)
    known, rows = rows[:25], rows[25:]
    history.genes_NG, history.violation_N = known, np.zeros(25)
    latency = TOY.columns(known)["latency_ms"]
    history.costs_NM = np.stack([-rng.random(25), latency], axis=1)
    history.paid_N, history.numbers = np.ones(25, dtype=bool), list(range(25))
    guide = Guide(history)
    outlook = guide.outlook(rows)
    order = np.argsort(-guide.value(outlook, guide.landscape), kind="stable")
    outlook = outlook.take(order)
    expected, landscape = list[int](), guide.landscape
    for _ in range(6):
        value = guide.value(outlook, landscape)
        value[expected] = -1
        best = int(np.argmax(value))
        expected.append(best)
        landscape = landscape.joined(guide.expected(outlook, best), outlook.known_BD[best])
    assert _batch(guide, outlook, 6).tolist() == expected


def test_features_see_no_gene_without_effect_and_are_about_one_apart() -> None:
    asked, features = question(), Features(question())
    rng = np.random.default_rng(0)
    rows = TOY.space.sample_genes(rng, 300)
    for group in features(rows, asked.columns(rows)):
        apart = np.sqrt(((group[:150] - group[150:]) ** 2).sum(axis=1).mean())
        assert 0.7 < apart < 2
    deeper = rows.copy()
    column = TOY.space.layout.layer_start(0, 2)
    shallow = rows[:, TOY.space.layout.stage_start[0] + 2] < 2
    deeper[shallow, column : column + 2] = 1  # of a layer that is not there
    for left, right in zip(
        features(rows, asked.columns(rows)), features(deeper, asked.columns(rows)), strict=True
    ):
        np.testing.assert_array_equal(left, right)


def test_children_are_legal_and_take_after_their_parents() -> None:
    rng, space = np.random.default_rng(0), TOY.space
    rows = space.sample_genes(rng, 200)
    a, b = rows[:100], rows[100:]
    for child in (cross(space, a, b, rng), mutate(space, a, rng, 0.1)):
        np.testing.assert_array_equal(space.repair(child)[0], child)
    assert (cross(space, a, a, rng) == a).all()
    changed = (mutate(space, a, rng, 0.0) != a).any(axis=1)
    assert changed.mean() > 0.5, "a mutation of a gene without effect is none"
    layer = parts(space)[space.layout.layer_start(0, 1)]
    assert (parts(space) == layer).sum() == 4


def test_ranks_are_constrained_domination() -> None:
    costs = np.array([[1, 3], [2, 2], [3, 1], [3, 3], [4, 4], [0, 0], [0, 0]], dtype=float)
    violation = np.array([0, 0, 0, 0, 0, 0.5, 0.1])
    assert fronts(costs, violation).tolist() == [0, 0, 0, 1, 2, 4, 3]
    order = best_first(costs, violation).tolist()
    assert set(order[:2]) == {0, 2}, "ends are lonelier than what lies between"
    assert order[2:] == [1, 3, 4, 6, 5]
    assert np.isinf(crowding(costs, fronts(costs, violation))[[0, 2]]).all()


@pytest.mark.parametrize("limit", [None, 0.5])
def test_what_is_guided_beats_what_is_random(limit: float | None) -> None:
    limits = () if limit is None else (Limit(OBJECTIVES["latency_ms"], limit),)
    asked = question(limits=limits, batch_size=10)
    rule = InnerEvolution(n_startup=10, population=50, generations=5)
    wins = 0
    for seed in range(5):
        volumes = [search(asked, rule, seed), search(asked, None, seed)]
        wins += volumes[0] > volumes[1]
    assert wins >= 4


def test_the_first_batch_keeps_limits_that_one_in_a_thousand_keeps() -> None:
    space = default_space()
    price_G = np.random.default_rng(2).normal(0, 1, len(space.genes))

    def columns(genes_BG: np.ndarray) -> dict[str, np.ndarray]:
        return {"latency_ms": 100 + genes_BG @ price_G}

    drawn = columns(space.sample_genes(np.random.default_rng(1), 20_000))["latency_ms"]
    limit = Limit(OBJECTIVES["latency_ms"], float(np.quantile(drawn, 0.001)))
    asked = question(space=space, columns=columns, limits=(limit,), batch_size=10)
    rows = InnerEvolution(20, 50, 2)(History(asked), 10, np.random.default_rng(0))
    assert len(np.unique(rows, axis=0)) == 10
    assert (columns(rows)["latency_ms"] <= limit.bound).all()


def search(asked: Question, rule: InnerEvolution | None, seed: int) -> float:
    """Feasible hypervolume after 40 of 465 architectures."""
    from tests.nas_tests.study_toy import accuracy_of

    history, rng = History(asked), np.random.default_rng(seed)
    for _ in range(4):
        rows = asked.space.sample_genes(rng, 10) if rule is None else rule(history, 10, rng)
        columns = asked.columns(rows)
        accuracy = np.array([accuracy_of(asked.space.decode(row)) for row in rows])
        history.genes_NG = np.concatenate([history.genes_NG, rows])
        costs = np.stack([-accuracy, columns["latency_ms"]], axis=1)
        history.costs_NM = np.concatenate([history.costs_NM, costs])
        history.violation_N = np.append(history.violation_N, asked.free_violation(columns))
        history.paid_N = np.ones(len(history), dtype=bool)
        history._seen.update(row.astype(np.int16).tobytes() for row in rows)
    feasible = history.costs_NM[history.violation_N <= 0] * [-1, 1]
    assert asked.box is not None
    return hypervolume(feasible, asked.directions, asked.box)
