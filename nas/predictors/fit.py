"""From measurements to a predictor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from nas.measurement.records import MIN_MEASUREMENTS, Measurement
from nas.measurement.repeatability import agreement, training_target
from nas.predictors.blend import NAME as BLEND
from nas.predictors.blend import label, parsed
from nas.predictors.crossval import QUICK_FOLDS, CrossValidation, cross_validate
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
    """Weigh the families by cross-validation, fit them, and find out how good they are together.

    Args:
        measurements: of one profile.
        features_BF: (B, F), not negative: a row per measurement.
        feature_names: of the F columns.
        seed: of folds and trees.
        families: to weigh; by default all that are registered.
        base: a predictor of another device; adapting it is one more of them.

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
    family, hyper = _chosen(tried)
    adapts = TRANSFER in (family, *(parsed(written)[0] for written in hyper))
    return LatencyPredictor(
        PredictorData(
            profile=profiles.pop(),
            family=family,
            hyper=hyper,
            seed=seed,
            feature_names=tuple(feature_names),
            features=tuple(tuple(row) for row in features_BF.tolist()),
            latency_ms=tuple(target.latency_ms_B.tolist()),
            held_out_ms=tuple(tried.held_out_ms().tolist()),
            statistic=target.statistic,
            scale=target.scale,
            repeat=target.repeat,
            base=base.data if base is not None and adapts else None,
        )
    )


def held_out_error(
    measurements: Sequence[Measurement], features_BF: FloatArray, *, seed: int = 0
) -> float:
    """Relative error on networks that were not seen, from one cross-validation."""
    target = training_target(measurements)
    with threadpool_limits(limits=1):
        tried = cross_validate(list(FAMILIES), features_BF, target.latency_ms_B, seed, QUICK_FOLDS)
    return agreement(tried.held_out_ms(), target.latency_ms_B).mape


def _chosen(tried: CrossValidation) -> tuple[str, dict[str, float]]:
    """Family and hyper-parameters: a blend, or the only one of weight."""
    weight_C = tried.weights()
    kept = np.flatnonzero(weight_C)
    if len(kept) == 1:
        only = tried.choices[kept[0]]
        return only.family.name, dict(only.hyper)
    chosen = [(tried.choices[index], float(weight_C[index])) for index in kept]
    return BLEND, {label(each.family.name, each.hyper): weight for each, weight in chosen}


def _check_features(features_BF: FloatArray, count: int, names: Sequence[str]) -> None:
    if features_BF.shape != (count, len(names)):
        raise ValueError(f"features are {features_BF.shape}, wanted ({count}, {len(names)})")
    if not np.all(np.isfinite(features_BF) & (features_BF >= 0)):
        column = int(np.argmin(np.all(np.isfinite(features_BF) & (features_BF >= 0), axis=0)))
        raise ValueError(f"feature {names[column]!r} holds values that are no numbers >= 0")
