"""A Gaussian process over groups of features."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs, dtrtrs, strtrs
from scipy.optimize import minimize

from nas.proposing.features import Groups
from nas.runtimes.base import FloatArray
from search_spaces.automaton import IntArray

STEPS, STEPS_MORE = 30, 5  # of the search for hyper-parameters; where it was begun before
CLOSE = 1e-6  # the share of the loss that a step has to gain
WEAKNESS = 1.5  # standard deviation of the prior on logarithms of hyper-parameters


Single = npt.NDArray[np.float32]
Real = TypeVar("Real", FloatArray, Single)


@dataclass(frozen=True, eq=False)
class GaussianProcess:
    """Regression with the kernel ``s² M(Σ_k θ_k d_k²) + l² (1 + x·x') + noise``.

    M is the Matérn function with ν = 5/2 of the distances d_k in each group, x the last group. The
    hyper-parameters maximise the likelihood under a weak prior (Rasmussen and Williams 2006,
    eq. 4.17 and 5.8).

    Several outputs share the kernel; each has its own mean and scale.

    Attributes:
        groups: features of the N known points.
        mean_R, scale_R: of the known values.
        z_NR: the known values, standardised.
        theta: logarithms of θ_k, s², l² and the noise.
        evidence: log likelihood of the values that theta was fitted to, less what the prior takes
            away.
    """

    groups: Groups
    mean_R: FloatArray
    scale_R: FloatArray
    z_NR: FloatArray
    theta: FloatArray
    evidence: float

    @classmethod
    def fit(
        cls, groups: Groups, y_NR: FloatArray, start: FloatArray | None = None
    ) -> GaussianProcess:
        """Fit to the values of points with these features.

        Args:
            groups: of N points.
            y_NR: their values, of R outputs.
            start: hyper-parameters to begin with; the prior's centre by default.
        """
        mean_R, scale_R, z_NR = _standardised(y_NR)
        known = _Known.of(groups, z_NR)
        prior = np.log([2.0 / len(groups)] * len(groups) + [1.0, 0.4, 0.1])
        found = minimize(
            known.loss,
            prior if start is None else start,
            args=(prior,),
            jac=True,
            method="L-BFGS-B",
            bounds=[(value - 6.0, value + 6.0) for value in prior],
            options={"maxiter": STEPS if start is None else STEPS_MORE, "ftol": CLOSE},
        )
        evidence = -float(found.fun) - len(y_NR) * float(np.log(scale_R).sum())
        return cls(groups, mean_R, scale_R, z_NR, found.x, evidence)

    def told(self, groups: Groups, y_NR: FloatArray) -> GaussianProcess:
        """With the same hyper-parameters and evidence, from these points and values."""
        return GaussianProcess(groups, *_standardised(y_NR), self.theta, self.evidence)

    def predict(self, groups: Groups) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation of the first output at B points, ``(B,)`` each."""
        mean_BR, std_B = self._double.predict(groups)
        return mean_BR[:, 0], self.scale_R[0] * std_B

    def predict_all(self, groups: Groups) -> tuple[Single, Single]:
        """Means ``(B, R)``, and the standard deviation in each output's scale, ``(B,)``.

        In single precision: what candidates differ by is far above its rounding.
        """
        return self._single.predict(groups)

    def left_out(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """What each known point is predicted to be from the others (Rasmussen and Williams 2006,
        eq. 5.12): means ``(N, R)``, standard deviation in each output's scale ``(N,)``, and the
        root mean square of each output's errors in such deviations, ``(R,)``.
        """
        inverse_NN, _ = dpotri(self._factor_NN, lower=1)
        own_N = np.diag(inverse_NN)
        error_NR = self._weights_NR / own_N[:, None]
        mean_NR = self.mean_R + self.scale_R * (self.z_NR - error_NR)
        return mean_NR, 1 / np.sqrt(own_N), np.sqrt((error_NR**2 * own_N[:, None]).mean(axis=0))

    @cached_property
    def _factor_NN(self) -> FloatArray:
        """Lower Cholesky factor of the known points' kernel matrix."""
        weighted_NF = _weighted(self.groups, self.theta)
        kernel_NN, _ = _matern(_squared(weighted_NF, weighted_NF), self.theta[-3])
        kernel_NN += np.exp(self.theta[-2]) * _line(self.groups, self.groups)
        kernel_NN[np.diag_indices_from(kernel_NN)] += np.exp(self.theta[-1])
        return _cholesky(kernel_NN.T)

    @cached_property
    def _weights_NR(self) -> FloatArray:
        """The inverse kernel matrix times the standardised values."""
        weights_NR: FloatArray = dpotrs(self._factor_NN, self.z_NR, lower=1)[0]
        return weights_NR

    @cached_property
    def _double(self) -> _Posterior:
        return _Posterior(self, self._factor_NN, self._weights_NR[:, :1], np.float64)

    @cached_property
    def _single(self) -> _Posterior:
        return _Posterior(self, self._factor_NN, self._weights_NR, np.float32)


class _Posterior:
    """What predicting needs of the known points, prepared once.

    Args:
        process: with N known points.
        factor_NN, weights_NR: of its kernel matrix.
        kind: of numbers.
    """

    def __init__(
        self, process: GaussianProcess, factor_NN: FloatArray, weights_NR: FloatArray, kind: Any
    ) -> None:
        outputs = weights_NR.shape[1]
        self._kind, self._theta = kind, process.theta
        self._known_NF, self._line_NF = self._places(process.groups)
        self._factor_NN = np.asfortranarray(factor_NN, dtype=kind)
        self._weights_NR = (weights_NR * process.scale_R[:outputs]).astype(kind)
        self._mean_R = process.mean_R[:outputs].astype(kind)
        self._solve = strtrs if kind == np.float32 else dtrtrs

    def predict(self, groups: Groups) -> tuple[Any, Any]:
        """Means ``(B, R)``, and the standard deviation in each output's scale, ``(B,)``."""
        amplitude, line, noise = np.exp(self._theta[-3:])
        asked_BF, line_BF = self._places(groups)
        kernel_BN, _ = _matern(_squared(asked_BF, self._known_NF), self._theta[-3])
        kernel_BN += line_BF @ self._line_NF.T
        kernel_BN += line
        solved_NB, _ = self._solve(self._factor_NN, kernel_BN.T, lower=1)
        own_B = amplitude + line + noise + np.square(line_BF).sum(axis=1)
        variance_B = own_B - np.square(solved_NB).sum(axis=0)
        mean_BR = kernel_BN @ self._weights_NR
        mean_BR += self._mean_R
        return mean_BR, np.sqrt(np.maximum(variance_B, 1e-10))

    def _places(self, groups: Groups) -> tuple[Any, Any]:
        """Features whose distances, and those whose products, the kernel is made of."""
        line_BF = groups[-1] * np.exp(self._theta[-2] / 2)
        return _weighted(groups, self._theta).astype(self._kind), line_BF.astype(self._kind)


@dataclass(frozen=True, eq=False)
class _Known:
    """What the likelihood needs of the known points.

    Symmetric matrices are kept as their lower triangles, ``(T,)`` with T = N (N + 1) / 2: half the
    numbers to be computed and summed.

    Attributes:
        squares_KT: squared distances in each group.
        line_T: the line's part of the kernel.
        z_NR: standardised values, of R outputs.
        place_T: where each pair stands in a matrix of Fortran's order.
        times_T: how often it stands there, 1 on the diagonal and 2 beside it.
    """

    squares_KT: FloatArray
    line_T: FloatArray
    z_NR: FloatArray
    place_T: IntArray
    times_T: FloatArray

    @classmethod
    def of(cls, groups: Groups, z_NR: FloatArray) -> _Known:
        """Of standardised values."""
        row_T, column_T = np.tril_indices(len(z_NR))
        return cls(
            np.stack([_squared(group, group)[row_T, column_T] for group in groups]),
            _line(groups, groups)[row_T, column_T],
            z_NR,
            column_T * len(z_NR) + row_T,
            np.where(row_T == column_T, 1.0, 2.0),
        )

    def loss(self, theta: FloatArray, prior: FloatArray) -> tuple[float, FloatArray]:
        """Negative log posterior and its gradient."""
        kernel_T, smooth_T, slope_T = self._kernel(theta)
        factor_NN = self._factor(kernel_T)
        weights_NR, _ = dpotrs(factor_NN, self.z_NR, lower=1)
        pull = (theta - prior) / WEAKNESS
        outputs = self.z_NR.shape[1]
        loss = 0.5 * np.vdot(self.z_NR, weights_NR) + outputs * np.log(np.diag(factor_NN)).sum()
        inverse_NN, _ = dpotri(factor_NN, lower=1, overwrite_c=1)
        inner_NN = dsyrk(-1.0, weights_NR, outputs, inverse_NN, lower=1, overwrite_c=1)
        inner_T = inner_NN.ravel(order="F")[self.place_T] * self.times_T
        gradient = list(np.exp(theta[:-3]) * (self.squares_KT @ (inner_T * slope_T)))
        gradient.append(inner_T @ smooth_T)
        gradient.append(np.exp(theta[-2]) * (inner_T @ self.line_T))
        gradient.append(np.exp(theta[-1]) * inner_NN.trace())
        return float(loss + 0.5 * (pull**2).sum()), 0.5 * np.array(gradient) + pull / WEAKNESS

    def _kernel(self, theta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The kernel of all pairs, its smooth part, and that part's slope."""
        smooth_T, slope_T = _matern(np.exp(theta[:-3]) @ self.squares_KT, theta[-3])
        noise_T = np.exp(theta[-1]) * (2.0 - self.times_T)
        return smooth_T + np.exp(theta[-2]) * self.line_T + noise_T, smooth_T, slope_T

    def _factor(self, kernel_T: FloatArray) -> FloatArray:
        count = len(self.z_NR)
        flat = np.zeros(count * count)
        flat[self.place_T] = kernel_T
        return _cholesky(flat.reshape((count, count), order="F"))


def _standardised(y_NR: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean, scale and standardised values of each output."""
    mean_R, scale_R = y_NR.mean(axis=0), y_NR.std(axis=0)
    scale_R[scale_R == 0] = 1.0
    return mean_R, scale_R, (y_NR - mean_R) / scale_R


def _weighted(groups: Groups, theta: FloatArray) -> FloatArray:
    """All features at once, so that their distances are the weighted sum over groups."""
    scaled = [np.exp(t / 2) * g for t, g in zip(theta, groups, strict=False)]
    return np.concatenate(scaled, axis=1)


def _cholesky(square_NN: FloatArray) -> FloatArray:
    """Lower factor of a matrix in Fortran's order, which is overwritten; above it is garbage."""
    factor_NN, failed = dpotrf(square_NN, lower=1, clean=0, overwrite_a=1)
    if failed:
        raise np.linalg.LinAlgError("the kernel matrix is not positive definite")
    lower_NN: FloatArray = factor_NN
    return lower_NN


def _squared(a_NF: Real, b_MF: Real) -> Real:
    """Squared distances, ``(N, M)``."""
    squared_NM: Real = -2 * a_NF @ b_MF.T
    squared_NM += np.square(a_NF).sum(axis=1)[:, None]
    squared_NM += np.square(b_MF).sum(axis=1)
    return np.maximum(squared_NM, 0, out=squared_NM)


def _line(a: Groups, b: Groups) -> FloatArray:
    product: FloatArray = 1.0 + a[-1] @ b[-1].T
    return product


def _matern(squared: Any, amplitude: float) -> tuple[Any, Any]:
    """The smooth part of the kernel, and its derivative in the weighted squared distance."""
    squared = 5 * squared
    r = np.sqrt(squared)
    decay = np.exp(float(amplitude) - r)
    return decay * (1 + r + squared / 3), -5 / 6 * decay * (1 + r)
