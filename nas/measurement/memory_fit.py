"""From measured peak memory to a form of it: which numbers, chosen by cross-validation.

A limit is broken by the one network that was told worst, so the largest held-out error decides.
Four ways are tried:

- *as it is*: the peak of torch eager or of ONNX Runtime, nothing fitted: no way does worse in vain;
- *scaled*: the peak of torch eager or of ONNX Runtime times a share, with an offset and weights
  weighed anew: for devices that tell one figure for everything;
- *max-times*: the largest of many peaks, one a kind of kernel, each times a share of its own. The
  shares have a closed form: the largest that lie nowhere above the measurements, all times the
  square root of what is then missing most; no others have a smaller largest relative error
  (Cuninghame-Green, Minimax Algebra, 1979, chapter 14);
- *shrunk*: the same with a smooth maximum, fourth powers of errors, and shares drawn to one value
  for all: those of kernels that are never at the peak say nothing, and few measurements suffice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from nas.measurement.fitted_liveness import FP32, INT8, STORED, MemoryForm
from nas.measurement.memory import PeakMemory
from nas.measurement.onnx_int8 import stored_bytes
from nas.measurement.sites import ANY, EAGER, ONNX, site, site_elements
from nas.predictors.crossval import folds
from nas.runtimes.base import FloatArray
from search_spaces.architecture import Architecture
from supernet.workload import BYTES_FP32, MB, workload

KNOWN = 2
"""Columns in front of the sites: weights and inputs."""
_SHARPNESS = 30.0
"""Of the smooth maximum: two kernels that hold as much add 2 %."""
_TYPICAL_ERROR = 0.1


@dataclass(frozen=True, slots=True)
class FittedMemory:
    """A form, and how it does.

    Attributes:
        form: fitted to all networks.
        held_out_mb: (B,) each network by a form that has not seen it.
    """

    form: MemoryForm
    held_out_mb: FloatArray


@dataclass(frozen=True, slots=True)
class _Shares:
    """What a family finds: the numbers of ``MemoryForm``, by column."""

    offset_mb: float
    shares_F: FloatArray  # weights, inputs, sites

    def __call__(self, features_BF: FloatArray) -> FloatArray:
        parts_BF = features_BF * self.shares_F
        found: FloatArray = self.offset_mb + parts_BF[:, :KNOWN].sum(1)
        found += parts_BF[:, KNOWN:].max(1)
        return found


Family = Callable[[FloatArray, FloatArray], _Shares]
"""Features (B, F) and measured memory (B,), both in 10^6 bytes."""


def _as_it_is(column: int, features_BF: FloatArray, wanted_B: FloatArray) -> _Shares:
    """One runtime's peak."""
    shares_F = np.zeros(features_BF.shape[1])
    shares_F[:KNOWN] = shares_F[column] = 1
    return _Shares(0.0, shares_F)


def _scaled(column: int, features_BF: FloatArray, wanted_B: FloatArray) -> _Shares:
    """One runtime's peak times a share, an offset, and weights weighed anew."""
    from scipy.optimize import nnls

    activation_B = features_BF[:, 1] + features_BF[:, column]
    columns_B3 = np.stack([np.ones_like(activation_B), features_BF[:, 0], activation_B], axis=1)
    relative_B3 = columns_B3 / wanted_B[:, None]  # so that relative errors are least
    (offset_mb, weights, activation), _ = nnls(relative_B3, np.ones_like(wanted_B))
    shares_F = np.zeros(features_BF.shape[1])
    shares_F[0], shares_F[1], shares_F[column] = weights, activation, activation
    return _Shares(float(offset_mb), shares_F)


def _sites(
    shares: Callable[[FloatArray, FloatArray], FloatArray],
    features_BF: FloatArray,
    wanted_B: FloatArray,
) -> _Shares:
    """The largest of several peaks, each with a share of its own; weights and inputs are known."""
    shares_F = np.zeros(features_BF.shape[1])
    shares_F[:KNOWN] = 1
    alive_B = wanted_B - features_BF[:, :KNOWN].sum(1)
    if (alive_B > 0).all():
        shares_F[KNOWN:] = shares(features_BF[:, KNOWN:], alive_B)
    return _Shares(0.0, shares_F)


def max_times(columns_BS: FloatArray, wanted_B: FloatArray) -> FloatArray:
    """Shares (S,) whose ``max(shares * columns, axis=1)`` has the least largest relative error.

    Args:
        columns_BS: (B, S), not negative.
        wanted_B: (B,), positive.
    """
    there_BS = columns_BS > 0
    ratio_BS = np.divide(
        wanted_B[:, None], columns_BS, where=there_BS, out=np.full_like(columns_BS, np.inf)
    )
    highest_S: FloatArray = ratio_BS.min(axis=0)
    highest_S[~np.isfinite(highest_S)] = 0.0
    below_B = (columns_BS * highest_S).max(axis=1)
    if not (below_B > 0).all():
        return highest_S
    shares_S: FloatArray = highest_S * np.sqrt((wanted_B / below_B).max())
    return shares_S


def shrunk(columns_BS: FloatArray, wanted_B: FloatArray) -> FloatArray:
    """Shares (S,) of a smooth maximum; arguments as of ``max_times``."""
    from scipy.optimize import minimize

    log_BS = np.log(np.maximum(columns_BS, columns_BS.max() * 1e-9))
    common = float(np.median(np.log(wanted_B) - log_BS.max(axis=1)))

    def loss(log_share_S: FloatArray) -> tuple[float, FloatArray]:
        powers_BS = _SHARPNESS * (log_BS + log_share_S)
        highest_B1 = powers_BS.max(axis=1, keepdims=True)
        parts_BS = np.exp(powers_BS - highest_B1)
        sum_B1 = parts_BS.sum(axis=1, keepdims=True)
        found_B1 = (highest_B1 + np.log(sum_B1)) / _SHARPNESS
        error_B1 = (found_B1 - np.log(wanted_B)[:, None]) / _TYPICAL_ERROR
        drawn_S = log_share_S - common
        slope_S = (4 / _TYPICAL_ERROR * error_B1**3 * parts_BS / sum_B1).sum(axis=0)
        return float((error_B1**4).sum() + (drawn_S**2).sum()), slope_S + 2 * drawn_S

    start_S = np.full(columns_BS.shape[1], common)
    best = minimize(loss, start_S, jac=True, method="L-BFGS-B")
    found_S: FloatArray = np.exp(best.x)
    return found_S


def fit_memory(
    networks: Sequence[Architecture],
    measured: Sequence[PeakMemory],
    num_classes: int,
    input_bytes: int = BYTES_FP32,
    seed: int = 0,
) -> FittedMemory:
    """Choose a family by cross-validation and fit it; the same arguments give the same form.

    Args:
        networks: B that were measured, of one space.
        measured: their memory, all at one batch.
        num_classes: outputs of the head.
        input_bytes: of a number of the images.
        seed: of the folds.
    """
    weights, weights_share, weights_mb_B = _weights(networks, measured, num_classes)
    names, sites_mb_BS = _alive(networks, measured[0].batch, num_classes)
    inputs_mb_B = _inputs_mb(networks, measured[0].batch) * input_bytes / BYTES_FP32
    features_BF = np.column_stack([weights_mb_B, inputs_mb_B, sites_mb_BS])
    wanted_mb_B = np.array([memory.peak_memory_mb for memory in measured])
    families = _families(names)
    best, held_out_mb_B = _chosen(families, features_BF, wanted_mb_B, seed)
    found = families[best](features_BF, wanted_mb_B)
    shares = dict(zip(names, found.shares_F[KNOWN:].tolist(), strict=True))
    form = MemoryForm(
        batch=measured[0].batch,
        offset_mb=found.offset_mb,
        weights=weights,
        weights_share=float(found.shares_F[0] * weights_share),
        inputs_share=float(found.shares_F[1] * input_bytes / BYTES_FP32),
        sites={name: share for name, share in shares.items() if share > 0},
    )
    return FittedMemory(form, held_out_mb_B)


def _families(names: Sequence[str]) -> list[Family]:
    """The simplest first."""
    place = {name: KNOWN + index for index, name in enumerate(names)}
    return [
        partial(_as_it_is, place[site(EAGER, ANY)]),
        partial(_as_it_is, place[site(ONNX, ANY)]),
        partial(_scaled, place[site(EAGER, ANY)]),
        partial(_scaled, place[site(ONNX, ANY)]),
        partial(_sites, shrunk),
        partial(_sites, max_times),
    ]


def _chosen(
    families: Sequence[Family], features_BF: FloatArray, wanted_B: FloatArray, seed: int
) -> tuple[int, FloatArray]:
    """The family of least largest held-out error, and held-out predictions (B,).

    Who predicts a fold was chosen on the other folds.
    """
    fold_B = folds(len(wanted_B), seed)
    found_CB = np.empty((len(families), len(wanted_B)))
    for fold in np.unique(fold_B):
        out_B = fold_B == fold
        for index, fit in enumerate(families):
            found_CB[index, out_B] = fit(features_BF[~out_B], wanted_B[~out_B])(features_BF[out_B])
    error_CB = np.abs(found_CB / wanted_B - 1)
    held_out_B = np.empty_like(wanted_B)
    for fold in np.unique(fold_B):
        out_B = fold_B == fold
        held_out_B[out_B] = found_CB[_least(error_CB[:, ~out_B]), out_B]
    return _least(error_CB), held_out_B


def _least(error_CB: FloatArray) -> int:
    return int(error_CB.max(axis=1).argmin())


def _weights(
    networks: Sequence[Architecture], measured: Sequence[PeakMemory], num_classes: int
) -> tuple[str, float, FloatArray]:
    """How weights are stored, their share of what that takes, and what they take, (B,)."""
    wanted_B = np.array([memory.weights_mb for memory in measured])
    plain_mb: dict[str, FloatArray] = {
        FP32: np.array([_stored_mb(n, num_classes, FP32) for n in networks]),
        INT8: np.array([_stored_mb(n, num_classes, INT8) for n in networks]),
    }
    ratio = {kind: wanted_B / plain_mb[kind] for kind in STORED}
    kind = min(STORED, key=lambda name: float(ratio[name].std() / ratio[name].mean()))
    share = float(np.median(ratio[kind]))
    return kind, share, share * plain_mb[kind]


def _stored_mb(network: Architecture, num_classes: int, kind: str) -> float:
    parts = workload(network, num_classes).layers
    if kind == FP32:
        return sum(part.params for part in parts) * BYTES_FP32 / MB
    return float(sum(stored_bytes(part.params, part.kernels) for part in parts)) / MB


def _alive(
    networks: Sequence[Architecture], batch: int, num_classes: int
) -> tuple[list[str], FloatArray]:
    """Names of S sites, and the most that is alive there (B, S), 10^6 bytes."""
    found: list[dict[str, float]] = []
    for network in networks:
        most: dict[str, float] = {}
        for name, elements in site_elements(workload(network, num_classes).kernels, batch):
            most[name] = max(most.get(name, 0.0), float(elements))
        found.append(most)
    names = sorted({name for most in found for name in most})
    elements_BS = [[most.get(name, 0.0) for name in names] for most in found]
    return names, np.array(elements_BS) * BYTES_FP32 / MB


def _inputs_mb(networks: Sequence[Architecture], batch: int) -> FloatArray:
    numbers = [batch * n.channels * n.image_size[0] * n.image_size[1] for n in networks]
    return np.array(numbers) * BYTES_FP32 / MB
