"""A fitted latency predictor, with its own account of how good it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.measurement.records import Measurement
from nas.measurement.repeatability import agreement, steady_ms
from nas.predictors.blend import NAME as BLEND
from nas.predictors.blend import Blend
from nas.predictors.conformal import half_width, upper
from nas.predictors.family import FAMILIES, Family, Regression
from nas.predictors.stored import PredictorData
from nas.predictors.transfer import NAME as TRANSFER
from nas.predictors.transfer import Transfer
from nas.runtimes.base import FloatArray
from search_spaces.errors import UserError

MIN_TAU = 0.8
CONFIDENCE = 0.9


@dataclass(frozen=True, slots=True)
class Prediction:
    """Latencies of B networks in ms, each with an interval.

    Attributes:
        mean_ms_B: (B,) expected latency.
        low_ms_B: (B,) lower end of the interval.
        high_ms_B: (B,) upper end.
        confidence: share of networks whose latency lies inside.
    """

    mean_ms_B: FloatArray
    low_ms_B: FloatArray
    high_ms_B: FloatArray
    confidence: float


class LatencyPredictor:
    """Predicts latencies on one profile.

    Args:
        data: what to fit; use ``fit_predictor`` or ``from_dict``.

    Attributes:
        data: as given.
        held_out: agreement of held-out predictions with the measurements (pooled, cross-validated).
    """

    def __init__(self, data: PredictorData) -> None:
        self.data = data
        features_BF = np.array(data.features, dtype=np.float64)
        latency_ms_B = np.array(data.latency_ms, dtype=np.float64)
        held_out_ms_B = np.array(data.held_out_ms, dtype=np.float64)
        self.held_out = agreement(held_out_ms_B, latency_ms_B)
        self._log_error_B: FloatArray = np.log(latency_ms_B / held_out_ms_B)
        self._regression: Regression = _family(data).fit(
            features_BF, latency_ms_B, data.hyper, data.seed
        )

    @property
    def good_enough(self) -> bool:
        """Whether it ranks networks well enough to drive a search."""
        return self.held_out.kendall_tau >= MIN_TAU

    def mean_ms(self, features_BF: FloatArray) -> FloatArray:
        """Expected latencies (B,) in ms: the fast path of a search."""
        return self._regression(np.asarray(features_BF, dtype=np.float64))

    def predict(self, features_BF: FloatArray, confidence: float = CONFIDENCE) -> Prediction:
        """Expected latencies with intervals.

        Args:
            features_BF: (B, F), columns as in ``data.feature_names``.
            confidence: share of networks whose latency lies inside the interval.

        Raises:
            UserError: too few measurements for this confidence.
        """
        mean_ms_B = self.mean_ms(features_BF)
        factor = float(np.exp(half_width(self._log_error_B, confidence)))
        return Prediction(mean_ms_B, mean_ms_B / factor, mean_ms_B * factor, confidence)

    def upper_ms(self, features_BF: FloatArray, confidence: float) -> FloatArray:
        """Latencies (B,) that are exceeded only with probability 1 - ``confidence``.

        Raises:
            UserError: too few measurements for this confidence.
        """
        return self.mean_ms(features_BF) * self.quantile_factor(confidence)

    def quantile_factor(self, quantile: float) -> float:
        """What an expected latency is multiplied by for its quantile: one for all networks.

        Raises:
            UserError: too few measurements for this quantile.
        """
        if quantile < 0.5:
            return float(np.exp(-upper(-self._log_error_B, 1 - quantile)))
        return float(np.exp(upper(self._log_error_B, quantile)))

    def comparable_ms(self, measurement: Measurement) -> float:
        """A later measurement in the terms of the predictions, to tell errors from noise.

        On a busy machine the median of a new measurement holds noise that predictions, learned
        from minima, do not; its minimum, scaled as for learning, does not either.
        """
        return steady_ms(measurement, self.data.statistic, self.data.scale)

    def require_good_enough(self, force: bool = False, override: str = "force=true") -> None:
        """Refuse to drive a search with a predictor that ranks badly.

        Args:
            force: search anyway.
            override: the setting that forces it, as the user would type it.

        Raises:
            UserError: the held-out Kendall tau is below ``MIN_TAU``; says what to do.
        """
        if self.good_enough or force:
            return
        repeat = self.data.repeat
        remedy = "measure more subnets"
        if repeat.kendall_tau < MIN_TAU:
            remedy = "close other programs and measure again"
        raise UserError(
            f"latency predictor of {self.data.profile}: held-out Kendall tau "
            f"{self.held_out.kendall_tau:.2f} is below {MIN_TAU} (the measurement itself repeats "
            f"with {repeat.kendall_tau:.2f}); {remedy}, or search anyway with {override}"
        )

    def report(self) -> dict[str, Any]:
        """What is shown: held-out error beside the measurement's own repeatability."""
        return {
            "profile": self.data.profile,
            "family": self.data.family,
            "hyper": dict(self.data.hyper),
            "statistic": self.data.statistic,
            "scale": self.data.scale,
            "held_out": self.held_out.to_dict(),
            "repeat": self.data.repeat.to_dict(),
            "interval": float(np.expm1(half_width(self._log_error_B, CONFIDENCE))),
            "confidence": CONFIDENCE,
            "good_enough": self.good_enough,
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain data: everything needed to fit it again, and its report for readers."""
        return {**self.data.to_dict(), "report": self.report()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LatencyPredictor:
        """Fit a stored predictor again.

        Raises:
            UserError: the data is of another version, incomplete, or of an unknown family.
        """
        return cls(PredictorData.from_dict(data))


def _family(data: PredictorData) -> Family:
    def member(name: str) -> Family:
        if name == TRANSFER and data.base is not None:
            return Transfer(LatencyPredictor(data.base).mean_ms)
        return FAMILIES[name]

    return Blend(member) if data.family == BLEND else member(data.family)
