"""Front members whose tokens depend on the image: latency and MACs over the validation images.

Latency grows with the tokens of a call. So the call whose tokens are nearest to the mean is what a
call usually takes, and that at the 95th percentile of tokens takes the 95th percentile of latency:
both are measured on such images. The mean over all calls is predicted. C calls of the profile's
batch, in the order of the images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor, nn

from nas.front import Metric
from nas.hardware.described import as_described
from nas.hardware.profile import HardwareProfile
from nas.measurement.block import Item
from nas.measurement.records import Measurement
from nas.predictors.predictor import LatencyPredictor
from nas.run import Run
from nas.runtimes.base import RUNTIMES, FloatArray
from nas.steps.profiling import load_predictor
from search_spaces.architecture import Architecture
from search_spaces.automaton import IntArray
from supernet.extract import VisionTransformer
from supernet.forward import Features
from supernet.ragged import in_batches, is_ragged, token_counts

SLOW = 0.95


class Shown(nn.Module):
    """A model that looks at some images of its own, whatever it is given."""

    def __init__(self, model: VisionTransformer, images_BCHW: Tensor) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("images", images_BCHW, persistent=False)

    def forward(self, ignored_BCHW: Tensor) -> Tensor:
        """Logits of its images."""
        logits_BK: Tensor = self.model(self.images)
        return logits_BK

    def forward_features(self, ignored_BCHW: Tensor) -> Features:
        """Their tokens."""
        return self.model.forward_features(self.get_buffer("images"))


@dataclass(frozen=True)
class Calls:
    """What the validation images make of one member.

    Attributes:
        architecture: of the member.
        model: with its weights.
        images_NCHW: normalised.
        tokens_N: patch tokens of each image.
        tokens_C: of each call.
        batch: images of a call.
    """

    architecture: Architecture
    model: VisionTransformer
    images_NCHW: Tensor
    tokens_N: IntArray
    tokens_C: IntArray
    batch: int

    @property
    def typical(self) -> int:
        """The call whose tokens are nearest to the mean."""
        return int(np.argmin(abs(self.tokens_C - self.tokens_C.mean())))

    @property
    def slow(self) -> int:
        """The call at the 95th percentile of tokens."""
        order_C = np.argsort(self.tokens_C, kind="stable")
        return int(order_C[int(np.ceil(SLOW * len(order_C))) - 1])

    def item(self, call: int) -> Item:
        """What is measured of a call."""
        images = self.images_NCHW[call * self.batch :][: self.batch]
        return self.architecture, partial(Shown, self.model, images)


def calls_of(run: Run, profile: HardwareProfile, model: VisionTransformer) -> Calls | None:
    """What validation images make of a member; None where every image takes the same."""
    runtime = RUNTIMES[profile.runtime]
    if not runtime.adaptive or not is_ragged(model.architecture):
        return None
    val = run.dataset.val
    images_NCHW = run.dataset.transform.normalise(val.images_NCHW)
    tokens_N = token_counts(model, images_NCHW)
    tokens_C = in_batches(tokens_N, profile.batch)
    return Calls(model.architecture, model, images_NCHW, tokens_N, tokens_C, profile.batch)


def predicted_by_image(run: Run, model: VisionTransformer) -> dict[str, Metric]:
    """The same metrics for weights that changed behind the front; {} where images decide nothing.

    Nothing is measured: on the 95th percentile of tokens of these weights nothing was run.
    """
    calls = calls_of(run, run.profile, model)
    if calls is None:
        return {}
    return metrics_by_image(run, load_predictor(run, run.profile), calls, None)


def metrics_by_image(
    run: Run, predictor: LatencyPredictor, calls: Calls, slow: Measurement | None
) -> dict[str, Metric]:
    """Means and 95th percentiles over images: ``tokens``, ``macs``, ``latency``.

    Args:
        run: knows the costs.
        predictor: of the profile.
        calls: of the member.
        slow: the call at the 95th percentile of tokens, measured; None where nothing is measured.
    """
    macs_N, _ = run.costs.traced(calls.architecture, calls.tokens_N)
    _, features_CF = run.costs.traced(calls.architecture, calls.tokens_C)
    latency_ms_C = predictor.mean_ms(features_CF)
    kind = "predicted" if as_described(run.profile) is None else "estimated"
    source = {"split": "val", "images": len(calls.tokens_N)}
    return {
        **_mean_and_slow("tokens", "", calls.tokens_N, "counted", source),
        **_mean_and_slow("macs", "", macs_N, "counted", source),
        **_mean_and_slow("latency", "_ms", latency_ms_C, kind, source),
        **({} if slow is None else {"latency_p95_ms": _measured(slow, latency_ms_C[calls.slow])}),
    }


def _mean_and_slow(
    name: str, unit: str, values: FloatArray | IntArray, kind: str, source: Mapping[str, Any]
) -> dict[str, Metric]:
    mean = Metric(value=float(np.mean(values)), kind=kind, n=len(values), source=source)
    slow = float(np.quantile(values, SLOW, method="inverted_cdf"))
    return {f"{name}_mean{unit}": mean, f"{name}_p95{unit}": replace(mean, value=slow)}


def _measured(row: Measurement, predicted_ms: float) -> Metric:
    return Metric(
        value=row.latency_ms,
        kind="measured",
        low=row.latency_ms - row.iqr_ms / 2,
        high=row.latency_ms + row.iqr_ms / 2,
        n=row.n,
        predicted={"value": float(predicted_ms)},
        source=row.provenance(),
    )
