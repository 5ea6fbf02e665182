"""A latency predictor that was never fitted: the roofline of a described device."""

from __future__ import annotations

import math
from typing import Any

from nas.hardware.described import as_described
from nas.hardware.profile import HardwareProfile
from nas.measurement.records import Measurement
from nas.measurement.repeatability import Agreement
from nas.predictors.predictor import CONFIDENCE, LatencyPredictor, Prediction
from nas.predictors.stored import PredictorData
from nas.roofline.columns import FEATURES, latency_ms
from nas.runtimes.base import FloatArray
from search_spaces.errors import UserError

UNKNOWN = Agreement(mape=math.nan, spearman=math.nan, kendall_tau=math.nan, n=0)


class EstimatedPredictor(LatencyPredictor):
    """Estimates in the place of predictions; its features are those of ``DescribedSpaceCosts``.

    How good they are cannot be told without the device: there is no held-out error, and there are
    no intervals.

    Args:
        profile: of a described device.
    """

    def __init__(self, profile: HardwareProfile) -> None:
        device = as_described(profile)
        assert device is not None, "a measured device has measurements to learn from"
        self.setting = device.setting(profile)
        self.held_out = UNKNOWN
        self.data = PredictorData(
            profile=profile.key(),
            family="roofline",
            hyper={},
            seed=0,
            feature_names=FEATURES,
            features=(),
            latency_ms=(),
            held_out_ms=(),
            statistic="estimate",
            scale=1.0,
            repeat=UNKNOWN,
        )

    @property
    def good_enough(self) -> bool:
        """Nothing says that it is not."""
        return True

    def mean_ms(self, features_BF: FloatArray) -> FloatArray:
        """Estimated latencies (B,) of one batch, ms."""
        return latency_ms(features_BF, self.setting)

    def predict(self, features_BF: FloatArray, confidence: float = CONFIDENCE) -> Prediction:
        """Estimates; low and high are the same."""
        mean_ms_B = self.mean_ms(features_BF)
        return Prediction(mean_ms_B, mean_ms_B, mean_ms_B, 0.0)

    def quantile_factor(self, quantile: float) -> float:
        """There is none.

        Raises:
            UserError: always.
        """
        raise UserError(
            "confidence: latencies of a described device are estimates without intervals; limit "
            "the estimate itself"
        )

    def comparable_ms(self, measurement: Measurement) -> float:
        """A later measurement, as it is."""
        return measurement.latency_ms

    def report(self) -> dict[str, Any]:
        """What is shown in place of an error."""
        return {"profile": self.data.profile, "family": "roofline", "provenance": "estimated"}
