"""From measurements to a predictor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from nas.measurement.records import MIN_MEASUREMENTS, Measurement
from nas.measurement.repeatability import training_target
from nas.predictors.crossval import QUICK_FOLDS, cross_validate
from nas.predictors.family import FAMILIES, Family
from nas.predictors.predictor import LatencyPredictor
from nas.predictors.stored import PredictorData
from nas.predictors.transfer import NAME as TRANSFER
from nas.predictors.transfer import Transfer
from nas.runtimes.base import FloatArray
from search_spaces.errors import UserError, bad_value


def fit_predictor(
    measurements: Sequence[Measurement],
    features_BF: FloatArray,
    feature_names: Sequence[str],
    *,
    seed: int = 0,
    families: Sequence[Family] | None = None,
    base: LatencyPredictor | None = None,
) -> LatencyPredictor:
    """Choose a family by cross-validation, fit it, and find out how good it is.

    Args:
        measurements: of one profile.
        features_BF: (B, F), not negative: a row per measurement.
        feature_names: of the F columns.
        seed: of folds and trees.
        families: to choose among; by default all that are registered.
        base: a predictor of another device; adapting it is one more way to choose among.

    Raises:
        UserError: fewer than ``MIN_MEASUREMENTS`` measurements, or of several profiles.
        ValueError: the features are no (B, F) matrix of finite numbers >= 0.
    """
    profiles = {row.profile for row in measurements}
    if len(measurements) < MIN_MEASUREMENTS:
        raise bad_value("measured networks", len(measurements), f"at least {MIN_MEASUREMENTS}")
    if len(profiles) != 1:
        raise UserError(f"measurements of several profiles do not mix: {sorted(profiles)}")
    features_BF = np.asarray(features_BF, dtype=np.float64)
    _check_features(features_BF, len(measurements), feature_names)
    target = training_target(measurements)
    members = list(families if families is not None else FAMILIES)
    if base is not None:
        members = [Transfer(base.mean_ms), *members]
    # Matrices of a hundred rows: threads would only wait for each other, worst on a busy machine.
    with threadpool_limits(limits=1):
        tried = cross_validate(members, features_BF, target.latency_ms_B, seed)
    best = tried.best()
    return LatencyPredictor(
        PredictorData(
            profile=profiles.pop(),
            family=best.family.name,
            hyper=dict(best.hyper),
            seed=seed,
            feature_names=tuple(feature_names),
            features=tuple(tuple(row) for row in features_BF.tolist()),
            latency_ms=tuple(target.latency_ms_B.tolist()),
            held_out_ms=tuple(tried.held_out_ms().tolist()),
            statistic=target.statistic,
            scale=target.scale,
            repeat=target.repeat,
            base=base.data if base is not None and best.family.name == TRANSFER else None,
        )
    )


def held_out_error(
    measurements: Sequence[Measurement], features_BF: FloatArray, *, seed: int = 0
) -> float:
    """Relative error of the best family on networks it has not seen, from one cross-validation.

    It is a little too small, as the best of several was taken; from one number of measurements to
    the next it falls as the true one does.
    """
    target = training_target(measurements)
    with threadpool_limits(limits=1):
        tried = cross_validate(list(FAMILIES), features_BF, target.latency_ms_B, seed, QUICK_FOLDS)
    return tried.best().mape


def _check_features(features_BF: FloatArray, count: int, names: Sequence[str]) -> None:
    if features_BF.shape != (count, len(names)):
        raise ValueError(f"features are {features_BF.shape}, wanted ({count}, {len(names)})")
    if not np.all(np.isfinite(features_BF) & (features_BF >= 0)):
        column = int(np.argmin(np.all(np.isfinite(features_BF) & (features_BF >= 0), axis=0)))
        raise ValueError(f"feature {names[column]!r} holds values that are no numbers >= 0")
