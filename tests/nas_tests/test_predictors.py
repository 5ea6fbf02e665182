"""Predictors on machines whose true prices are known."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

from nas.measurement.records import Measurement
from nas.measurement.scaling import LogScale
from nas.measurement.slot import Slot, summarise
from nas.predictors.blend import MOST, Blend, label, parsed, stacked, together
from nas.predictors.conformal import half_width, upper
from nas.predictors.crossval import Choice, CrossValidation, cross_validate, folds
from nas.predictors.family import FAMILIES, Family
from nas.predictors.fit import fit_predictor
from nas.predictors.predictor import LatencyPredictor
from nas.predictors.residual import corrected
from nas.predictors.trend import additive_trend, trust
from nas.runtimes.base import FloatArray
from search_spaces.architecture import Architecture, Stage
from search_spaces.errors import UserError
from supernet.features import BALANCES, ROOFLINE

NAMES = (
    *ROOFLINE,
    *("kernels.linear", "kernels.attention", "kernels.sort", "macs", "bytes", "embed"),
    "weights",
)
COARSE = {"roofline": 0.15, "roofline_gp": 0.08}
"""Families that tell no operators apart may err more on a machine that does."""


@dataclass(frozen=True)
class World:
    """Networks with features and the latencies a machine would show."""

    features_BF: FloatArray
    true_ms_B: FloatArray

    def part(self, rows: slice) -> World:
        return World(self.features_BF[rows], self.true_ms_B[rows])


def world(count: int, seed: int = 0, *, bend: float = 0.0, noise: float = 0.0) -> World:
    """Launch overhead per kernel + macs / speed; ``bend`` makes attention dearer in big nets."""
    rng = np.random.default_rng(seed)
    layers = rng.integers(3, 9, count)
    attention = rng.binomial(layers, 0.7)
    tokens = rng.choice([16, 36, 64], count)
    width = rng.choice([32, 48, 64, 96], count)
    macs = layers * tokens * width**2 * 4.0
    columns = [4 * attention + 2 * layers, attention, rng.binomial(layers, 0.3), macs]
    work = np.stack([*columns, tokens * width * layers * 8.0, np.ones(count)], axis=1)
    additive = work @ np.array([0.006, 0.03, 0.02, 4e-8, 1e-7, 0.05])
    kernels, moved = work[:, :3].sum(axis=1), work[:, 4]
    roofline = [kernels, *(np.maximum(macs, balance * moved) for balance in BALANCES)]
    features = np.column_stack([*roofline, work, layers * width**2 * 4.0])
    curved = additive * (1.0 + bend * np.tanh(macs / 4e6) * attention / layers)
    return World(features, curved * np.exp(noise * rng.standard_normal(count)))


def measured(latency_ms: float, index: int, wobble: float = 0.0) -> Measurement:
    stage = Stage(width=index + 1, blocks=())
    architecture = Architecture(image_size=(8, 8), channels=1, patch_size=4, stages=(stage,))
    rounds = [latency_ms * (1 + wobble * sign) for sign in (-1, 1, -1, 1)]
    return Measurement.of(
        architecture,
        [summarise([value] * 5, attempts=1) for value in rounds],
        [1.0] * 4,
        1.0,
        0.1,
        profile="cpu_fake",
        reference_ms=1.0,
        reference_level_ms=1.0,
        clock="fake",
        date="2026-01-01T00:00:00+00:00",
        machine={},
    )


def measurements(of: World, wobble: float = 0.0) -> list[Measurement]:
    return [measured(value, index, wobble) for index, value in enumerate(of.true_ms_B)]


@pytest.fixture(params=FAMILIES.names())
def family(request: pytest.FixtureRequest) -> Family:
    return FAMILIES[request.param]


def mape(found_B: FloatArray, true_B: FloatArray) -> float:
    return float(np.mean(np.abs(found_B - true_B) / true_B))


# -- the contract of a family -----------------------------------------------------------------


def test_a_family_learns_prices_from_sixty_networks(family: Family) -> None:
    seen, new = world(60, seed=1, noise=0.01), world(200, seed=2)
    fitted = family.fit(seen.features_BF, seen.true_ms_B, family.grid()[0], 0)
    assert mape(fitted(new.features_BF), new.true_ms_B) < COARSE.get(family.name, 0.04)


def test_fitting_twice_gives_the_same_predictions(family: Family) -> None:
    seen = world(40, bend=0.3)
    for hyper in family.grid():
        fits = [family.fit(seen.features_BF, seen.true_ms_B, hyper, 7) for _ in range(2)]
        np.testing.assert_array_equal(*[fit(seen.features_BF) for fit in fits])


def test_a_family_predicts_each_row_for_itself(family: Family) -> None:
    seen, new = world(30), world(10, seed=5)
    fitted = family.fit(seen.features_BF, seen.true_ms_B, family.grid()[0], 0)
    together = fitted(new.features_BF)
    alone = np.concatenate([fitted(row[None]) for row in new.features_BF])
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    assert (together > 0).all()


def test_a_family_bears_features_that_nobody_varied(family: Family) -> None:
    seen = world(20)
    ends = np.split(seen.features_BF, [-1], axis=1)
    padded = np.concatenate([ends[0], np.zeros((20, 3)), np.full((20, 2), 9.0), ends[1]], axis=1)
    fitted = family.fit(padded, seen.true_ms_B, family.grid()[0], 0)
    assert mape(fitted(padded), seen.true_ms_B) < COARSE.get(family.name, 0.1)


def test_far_from_what_was_measured_the_trend_decides(family: Family) -> None:
    seen = world(60, bend=0.3)
    fitted = family.fit(seen.features_BF, seen.true_ms_B, family.grid()[0], 0)
    far = 30 * seen.features_BF[:5]
    ratio = fitted(far) / additive_trend(seen.features_BF, seen.true_ms_B, 1e-3)(far)
    assert (np.abs(np.log(ratio)) < 0.3 + COARSE.get(family.name, 0)).all()


# -- the trend --------------------------------------------------------------------------------


def test_more_work_never_costs_less() -> None:
    seen = world(40, noise=0.2)
    trend = additive_trend(seen.features_BF, seen.true_ms_B, 1e-4)
    for column in range(len(NAMES)):
        more = seen.features_BF.copy()
        more[:, column] *= 2
        assert (trend(more) >= trend(seen.features_BF) - 1e-12).all()


def test_a_fast_network_matters_as_much_as_a_slow_one() -> None:
    """Two groups that contradict each other: least relative error sides with neither."""
    features = np.ones((2, 1))
    latency = np.array([1.0, 100.0])
    constant = additive_trend(features, latency, 1e-9)(features)[0]
    assert constant == pytest.approx((1 + 1 / 100) / (1 + 1 / 100**2), rel=1e-3)


# -- cross-validation -------------------------------------------------------------------------


def test_folds_are_balanced_and_seeded() -> None:
    fold_B = folds(23, seed=1, parts=5)
    assert sorted(np.bincount(fold_B)) == [4, 4, 5, 5, 5]
    np.testing.assert_array_equal(fold_B, folds(23, seed=1, parts=5))
    assert (fold_B != folds(23, seed=2, parts=5)).any()
    assert len(set(folds(10, seed=0))) == 10  # fewer networks than folds: one by one


class Memory(Family):
    """Knows every network it was shown, and nothing else."""

    name = "memory"
    summary = "cheats"

    def grid(self) -> list[dict[str, float]]:
        return [{}]

    def fit(self, features_BF, latency_ms_B, hyper, seed):  # type: ignore[no-untyped-def]
        known = {tuple(row): value for row, value in zip(features_BF, latency_ms_B, strict=True)}
        return lambda features: np.array([known.get(tuple(row), 1e3) for row in features])


def test_held_out_networks_were_not_seen() -> None:
    seen = world(20)
    distinct = seen.features_BF + np.arange(20)[:, None] * 1e-6
    tried = cross_validate([Memory()], distinct, seen.true_ms_B, seed=0)
    np.testing.assert_allclose(tried.held_out_ms(), 1e3)


class Guess(Family):
    """Answers at random, each of its hyper-parameters otherwise."""

    name = "guess"
    summary = "throws dice"

    def grid(self) -> list[dict[str, float]]:
        return [{"seed": seed} for seed in range(40)]

    def fit(self, features_BF, latency_ms_B, hyper, seed):  # type: ignore[no-untyped-def]
        def predict(features):  # type: ignore[no-untyped-def]
            keys = (features[:, 0] * 1e6).astype(int)
            rngs = [np.random.default_rng([int(hyper["seed"]), key]) for key in keys]
            return np.array([rng.choice([1.0, 1.2]) for rng in rngs])

        return predict


def test_being_chosen_among_many_makes_no_family_look_better() -> None:
    """Forty coins: the best of them seem to know something, until others judge them."""
    chosen, honest = [], []
    for seed in range(8):
        features = np.random.default_rng(seed).uniform(1, 2, (40, 1))
        tried = cross_validate([Guess()], features, np.ones(40), seed)
        chosen.append(mape(together(tried.found_CB, tried.weights()), np.ones(40)))
        honest.append(mape(tried.held_out_ms(), np.ones(40)))
    assert np.mean(chosen) < 0.075
    assert 0.09 < np.mean(honest) < 0.12  # 0.1 without knowing anything


def test_the_family_that_errs_least_is_chosen() -> None:
    straight, bent = world(60, noise=0.002), world(60, bend=0.5, noise=0.002)
    first = fit_predictor(measurements(straight), straight.features_BF, NAMES)
    second = fit_predictor(measurements(bent), bent.features_BF, NAMES)
    assert second.data.family != "linear"
    assert first.held_out.mape < 0.01
    assert second.held_out.mape < 0.03
    only = fit_predictor(measurements(bent), bent.features_BF, NAMES, families=[FAMILIES["linear"]])
    assert {written.split()[0] for written in (only.data.family, *only.data.hyper)} <= {
        *("linear", "blend", "penalty"),
    }
    assert only.held_out.mape > second.held_out.mape


# -- several families together ----------------------------------------------------------------


def test_two_that_err_oppositely_are_weighed_alike_and_a_worse_one_is_left_out() -> None:
    truth, error = np.full(40, 2.0), np.random.default_rng(0).normal(0, 0.1, 40)
    noise = np.random.default_rng(1).normal(0, 0.01, 40)
    found = truth * np.exp(np.stack([error + noise, noise - error, np.full(40, 0.7)]))
    weights = stacked(found, truth)
    np.testing.assert_allclose(weights, [0.5, 0.5, 0], atol=0.02)
    assert mape(together(found, weights), truth) < 0.02


def test_weights_sum_to_one_and_few_are_not_zero() -> None:
    rng = np.random.default_rng(2)
    found = np.exp(rng.normal(0, 0.1, (12, 30)))
    weights = stacked(found, np.ones(30))
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    assert 1 <= np.count_nonzero(weights) <= MOST
    exact = stacked(np.stack([np.ones(30), found[0]]), np.ones(30))
    assert exact[0] > 0.85


def test_a_blend_is_the_geometric_mean_of_its_members_by_weight() -> None:
    seen = world(40, bend=0.5)
    own = {"linear": {"penalty": 1e-3}, "gp": {"length": 3.0, "noise": 0.1}}
    hyper = {label("linear", own["linear"]): 0.25, label("gp", own["gp"]): 0.75}
    blend = Blend(FAMILIES.__getitem__).fit(seen.features_BF, seen.true_ms_B, hyper, 0)
    alone = [
        FAMILIES[name].fit(seen.features_BF, seen.true_ms_B, own[name], 0)(seen.features_BF)
        for name in ("linear", "gp")
    ]
    wanted = alone[0] ** 0.25 * alone[1] ** 0.75
    np.testing.assert_allclose(blend(seen.features_BF), wanted, rtol=1e-12)


@pytest.mark.parametrize(("share", "takes_part"), [(0.98, False), (0.5, True)])
def test_what_predicts_slowly_takes_part_only_where_that_shows(share, takes_part) -> None:
    """``boosted`` is slow; its held-out errors are so much of the quick family's."""
    error = np.random.default_rng(0).normal(0, 0.1, 40)
    truth = np.full(40, 2.0)
    families = (FAMILIES["linear"], FAMILIES["boosted"])
    choices = tuple(Choice(family, family.grid()[0]) for family in families)
    found = truth * np.exp(np.stack([error, share * error]))

    weights = CrossValidation(choices, found, truth, folds(40, 0)).weights()

    assert (weights[1] > 0) == takes_part


def test_a_label_is_read_as_it_was_written() -> None:
    for family in FAMILIES:
        for hyper in family.grid():
            assert parsed(label(family.name, hyper)) == (family.name, dict(hyper))


def test_a_few_disturbed_measurements_do_not_move_the_prices() -> None:
    seen, new = world(80, seed=1, noise=0.005), world(100, seed=2)
    disturbed = seen.true_ms_B.copy()
    disturbed[::16] *= 1.5
    found = [additive_trend(seen.features_BF, each, 1e-3) for each in (seen.true_ms_B, disturbed)]
    errors = [mape(trend(new.features_BF), new.true_ms_B) for trend in found]
    assert errors[1] < errors[0] + 0.01


def test_the_correction_is_the_gaussian_process_of_the_textbook() -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern

    seen, new = world(30, bend=1.0), world(10, seed=3, bend=1.0)
    flat = float(np.exp(np.log(seen.true_ms_B).mean()))

    def trend(features: FloatArray) -> FloatArray:
        return np.full(len(features), flat)

    hyper = {"length": 2.0, "noise": 0.05}
    found = corrected(trend, seen.features_BF, seen.true_ms_B, hyper)(new.features_BF)
    scale, residual = LogScale(seen.features_BF), np.log(seen.true_ms_B / flat)
    noise, spread = 0.05 / trust(residual), residual.std()
    process = GaussianProcessRegressor(
        Matern(scale.length(2.0), nu=2.5), alpha=noise, optimizer=None
    )
    process.fit(scale(seen.features_BF), residual / spread)
    wanted = flat * np.exp(spread * process.predict(scale(new.features_BF)))
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_a_blend_is_the_weighted_mean_of_its_members_logarithms() -> None:
    """Though processes over the same networks share their similarities."""
    seen, new = world(40, bend=1.0), world(15, seed=4, bend=1.0)
    choices = {
        "gp": {"length": 1.0, "noise": 0.1},
        "roofline_gp": {"length": 1.0, "noise": 0.1},
        "linear": {"penalty": 1e-3},
    }
    weights = {
        label(name, hyper): weight
        for (name, hyper), weight in zip(choices.items(), (0.5, 0.2, 0.3), strict=True)
    }
    seen_BF, true_ms_B = seen.features_BF, seen.true_ms_B
    found = Blend(FAMILIES.__getitem__).fit(seen_BF, true_ms_B, weights, 0)(new.features_BF)
    logs = [
        weight * np.log(FAMILIES[name].fit(seen_BF, true_ms_B, hyper, 0)(new.features_BF))
        for (name, hyper), weight in zip(choices.items(), weights.values(), strict=True)
    ]
    np.testing.assert_allclose(found, np.exp(sum(logs)), rtol=1e-9)


# -- intervals --------------------------------------------------------------------------------


def test_the_conformal_rank_by_hand() -> None:
    errors = np.array([-0.09, 0.01, 0.02, 0.03, -0.04, 0.05, 0.06, -0.07, 0.08])
    assert half_width(errors, 0.9) == 0.09  # the 9th of 9: rank ceil(10 * 0.9)
    assert half_width(errors, 0.5) == 0.05
    assert upper(errors, 0.9) == 0.08
    assert upper(errors, 0.4) == 0.01
    assert upper(errors, 0.3) == -0.04
    with pytest.raises(UserError, match=r"between 0 and 0.90 with 9 measured networks"):
        half_width(errors, 0.95)


def test_ninety_percent_intervals_hold_ninety_percent() -> None:
    inside = []
    for seed in range(12):
        seen, new = world(60, seed=seed, noise=0.03), world(100, seed=100 + seed, noise=0.03)
        predictor = fit_predictor(
            measurements(seen), seen.features_BF, NAMES, families=[FAMILIES["linear"]]
        )
        found = predictor.predict(new.features_BF)
        inside.append((found.low_ms_B <= new.true_ms_B) & (new.true_ms_B <= found.high_ms_B))
    assert 0.86 < np.mean(inside) < 0.95


def test_an_upper_bound_is_above_the_mean_and_grows_with_confidence() -> None:
    seen = world(60, noise=0.05)
    predictor = fit_predictor(
        measurements(seen), seen.features_BF, NAMES, families=[FAMILIES["linear"]]
    )
    bounds = [predictor.upper_ms(seen.features_BF, share) for share in (0.75, 0.9, 0.97)]
    assert (predictor.mean_ms(seen.features_BF) < bounds[0]).all()
    assert (bounds[0] < bounds[1]).all()
    assert (bounds[1] < bounds[2]).all()


# -- the stored predictor ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def predictor() -> LatencyPredictor:
    seen = world(60, bend=0.3, noise=0.01)
    smooth = [FAMILIES["linear"], FAMILIES["gp"]]
    rows = measurements(seen, wobble=0.01)
    return fit_predictor(rows, seen.features_BF, NAMES, seed=3, families=smooth)


def test_a_stored_predictor_predicts_the_same(predictor: LatencyPredictor) -> None:
    new = world(500, seed=9)
    again = LatencyPredictor.from_dict(json.loads(json.dumps(predictor.to_dict())))
    np.testing.assert_allclose(
        again.mean_ms(new.features_BF), predictor.mean_ms(new.features_BF), rtol=1e-9, atol=0
    )
    assert again.report() == predictor.report()
    assert again.predict(new.features_BF).high_ms_B[0] == pytest.approx(
        predictor.predict(new.features_BF).high_ms_B[0], rel=1e-9
    )


def test_each_family_is_stored(family: Family) -> None:
    seen = world(30, bend=0.2)
    fitted = fit_predictor(measurements(seen), seen.features_BF, NAMES, families=[family])
    again = LatencyPredictor.from_dict(json.loads(json.dumps(fitted.to_dict())))
    difference = again.mean_ms(seen.features_BF) - fitted.mean_ms(seen.features_BF)
    assert np.abs(difference).max() < 1e-9


def test_the_report_stands_beside_the_repeatability(predictor: LatencyPredictor) -> None:
    report = predictor.report()
    assert report["repeat"]["mape"] == pytest.approx(0.02 / 1.01)
    assert 0 < report["held_out"]["mape"] < 0.05
    assert report["held_out"]["n"] == report["repeat"]["n"] == 60
    assert report["held_out"]["kendall_tau"] > 0.9
    assert report["held_out"]["spearman"] > 0.95
    assert report["interval"] > report["held_out"]["mape"]
    assert report["good_enough"] is True


def test_a_new_measurement_is_compared_in_the_same_terms(predictor: LatencyPredictor) -> None:
    """This one learned minima (they repeat better here), scaled to the medians."""
    rng = np.random.default_rng(0)
    seen = world(20)
    rows = [
        replace(row, latency_ms=row.latency_ms * factor * 1.25, slots=jittered(row, factor))
        for row, factor in zip(measurements(seen), rng.uniform(1, 1.2, 20), strict=True)
    ]
    busy = fit_predictor(rows, seen.features_BF, NAMES, families=[FAMILIES["linear"]])
    assert busy.data.statistic == "floor"
    assert [busy.comparable_ms(row) for row in rows] == pytest.approx(busy.data.latency_ms)
    row = measured(1.0, 0)
    assert predictor.data.statistic == "latency"
    assert predictor.comparable_ms(row) == row.latency_ms


def jittered(row: Measurement, factor: float) -> tuple[Slot, ...]:
    """The same minima, medians that differ between even and odd rounds."""
    factors = (factor, 1.0, factor, 1.0)
    pairs = zip(row.slots, factors, strict=True)
    return tuple(replace(slot, median_ms=slot.median_ms * by) for slot, by in pairs)


def test_a_damaged_store_is_named(predictor: LatencyPredictor) -> None:
    stored = predictor.to_dict()
    with pytest.raises(UserError, match="did you mean 'linear'"):
        LatencyPredictor.from_dict(stored | {"family": "linar"})
    with pytest.raises(UserError, match="schema=2: allowed is 1"):
        LatencyPredictor.from_dict(stored | {"schema": 2})
    del stored["features"]
    with pytest.raises(UserError, match="features"):
        LatencyPredictor.from_dict(stored)


def test_features_that_tell_nothing_may_not_drive_a_search() -> None:
    seen = world(40)
    blind = np.random.default_rng(0).uniform(size=(40, 3))
    fitted = fit_predictor(
        measurements(seen), blind, ("a", "b", "c"), families=[FAMILIES["linear"]]
    )
    assert not fitted.good_enough
    with pytest.raises(UserError, match=r"below 0\.8 .* measure more subnets, or .* f=1"):
        fitted.require_good_enough(override="f=1")
    fitted.require_good_enough(force=True)


def test_a_measurement_that_does_not_repeat_is_blamed_first() -> None:
    rng = np.random.default_rng(0)
    rows = [measured(1.0, index, wobble=float(rng.uniform(-0.5, 0.5))) for index in range(30)]
    fitted = fit_predictor(
        rows, rng.uniform(size=(30, 2)), ("a", "b"), families=[FAMILIES["linear"]]
    )
    with pytest.raises(UserError, match="close other programs"):
        fitted.require_good_enough()


def test_a_good_predictor_may_drive_a_search(predictor: LatencyPredictor) -> None:
    predictor.require_good_enough()


# -- bad input --------------------------------------------------------------------------------


def test_too_few_networks_or_several_profiles_are_refused() -> None:
    seen = world(12)
    rows = measurements(seen)
    with pytest.raises(UserError, match="measured networks=9: allowed is at least 10"):
        fit_predictor(rows[:9], seen.features_BF[:9], NAMES)
    other = Measurement.from_dict(rows[0].to_dict() | {"profile": "gpu"})
    with pytest.raises(UserError, match="do not mix"):
        fit_predictor([other, *rows[1:]], seen.features_BF, NAMES)


def test_features_that_are_no_matrix_of_amounts_are_refused() -> None:
    seen = world(12)
    rows = measurements(seen)
    with pytest.raises(ValueError, match=r"\(12, 11\), wanted \(12, 5\)"):
        fit_predictor(rows, seen.features_BF, NAMES[:5])
    for bad in (-1.0, np.nan, np.inf):
        broken = seen.features_BF.copy()
        broken[3, 2] = bad
        with pytest.raises(ValueError, match=r"'roofline_16' holds"):
            fit_predictor(rows, broken, NAMES)


def test_few_networks_are_enough_to_begin_with() -> None:
    seen = world(10)
    fitted = fit_predictor(measurements(seen), seen.features_BF, NAMES)
    assert np.isfinite(fitted.predict(seen.features_BF).high_ms_B).all()
