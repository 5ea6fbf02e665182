"""A Gaussian process over groups of features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs, dtrtrs
from scipy.optimize import minimize

from nas.proposing.features import Groups
from nas.runtimes.base import FloatArray
from search_spaces.automaton import IntArray

STEPS = 30
WEAKNESS = 1.5  # standard deviation of the prior on logarithms of hyper-parameters


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
        theta: logarithms of θ_k, s², l² and the noise.
        factor_NN: lower Cholesky factor of the kernel matrix.
        weights_NR: the inverse kernel matrix times the standardised values.
        evidence: log likelihood of the values, less what the prior takes away.
    """

    groups: Groups
    mean_R: FloatArray
    scale_R: FloatArray
    theta: FloatArray
    factor_NN: FloatArray
    weights_NR: FloatArray
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
        known, mean_R, scale_R = _Known.of(groups, y_NR)
        prior = np.log([2.0 / len(groups)] * len(groups) + [1.0, 0.4, 0.1])
        found = minimize(
            known.loss,
            prior if start is None else start,
            args=(prior,),
            jac=True,
            method="L-BFGS-B",
            bounds=[(value - 6.0, value + 6.0) for value in prior],
            options={"maxiter": STEPS},
        )
        evidence = -float(found.fun) - len(y_NR) * float(np.log(scale_R).sum())
        return cls(groups, mean_R, scale_R, found.x, *known.solved(found.x), evidence)

    def told(self, groups: Groups, y_NR: FloatArray) -> GaussianProcess:
        """With the same hyper-parameters and evidence, from these points and values."""
        known, mean_R, scale_R = _Known.of(groups, y_NR)
        solved = known.solved(self.theta)
        return GaussianProcess(groups, mean_R, scale_R, self.theta, *solved, self.evidence)

    def predict(self, groups: Groups) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation of the first output at B points, ``(B,)`` each."""
        mean_BR, std_B = self.predict_all(groups)
        return mean_BR[:, 0], self.scale_R[0] * std_B

    def predict_all(self, groups: Groups) -> tuple[FloatArray, FloatArray]:
        """Means ``(B, R)``, and the standard deviation in each output's scale, ``(B,)``."""
        squared_BN = _squares((self._weighted(groups),), (self._weighted(self.groups),))[0]
        smooth, _ = _matern(squared_BN, self.theta[-3])
        line = np.exp(self.theta[-2])
        kernel_BN = smooth + line * _line(groups, self.groups)
        solved, _ = dtrtrs(self.factor_NN, kernel_BN.T, lower=1)
        own_B = np.exp(self.theta[-3]) + line * (1 + (groups[-1] ** 2).sum(axis=1))
        variance_B = own_B - (solved**2).sum(axis=0) + np.exp(self.theta[-1])
        mean_BR = self.mean_R + self.scale_R * (kernel_BN @ self.weights_NR)
        return mean_BR, np.sqrt(np.maximum(variance_B, 1e-10))

    def left_out(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """What each known point is predicted to be from the others (Rasmussen and Williams 2006,
        eq. 5.12): means ``(N, R)``, standard deviation in each output's scale ``(N,)``, and the
        root mean square of each output's errors in such deviations, ``(R,)``.
        """
        inverse_NN, _ = dpotri(self.factor_NN, lower=1)
        own_N = np.diag(inverse_NN)
        error_NR = self.weights_NR / own_N[:, None]
        values_NR = self._values()
        mean_NR = values_NR - self.scale_R * error_NR
        return mean_NR, 1 / np.sqrt(own_N), np.sqrt((error_NR**2 * own_N[:, None]).mean(axis=0))

    def _values(self) -> FloatArray:
        """The known values."""
        lower_NN = np.tril(self.factor_NN)
        known: FloatArray = self.mean_R + self.scale_R * (lower_NN @ (lower_NN.T @ self.weights_NR))
        return known

    def _weighted(self, groups: Groups) -> FloatArray:
        """All features at once, so that their distances are the weighted sum over groups."""
        scaled = [np.exp(t / 2) * g for t, g in zip(self.theta, groups, strict=False)]
        return np.concatenate(scaled, axis=1)


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
    def of(cls, groups: Groups, y_NR: FloatArray) -> tuple[_Known, FloatArray, FloatArray]:
        """Values standardised, with their mean and scale."""
        mean_R, scale_R = y_NR.mean(axis=0), y_NR.std(axis=0)
        scale_R[scale_R == 0] = 1.0
        row_T, column_T = np.tril_indices(len(y_NR))
        known = cls(
            np.stack([square_NN[row_T, column_T] for square_NN in _squares(groups, groups)]),
            _line(groups, groups)[row_T, column_T],
            (y_NR - mean_R) / scale_R,
            column_T * len(y_NR) + row_T,
            np.where(row_T == column_T, 1.0, 2.0),
        )
        return known, mean_R, scale_R

    def solved(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Lower Cholesky factor of the kernel matrix, and its inverse times the values."""
        factor_NN = self._factor(self._kernel(theta)[0])
        weights_NR, _ = dpotrs(factor_NN, self.z_NR, lower=1)
        return factor_NN, weights_NR

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
        square_NN = flat.reshape((count, count), order="F")
        factor_NN, failed = dpotrf(square_NN, lower=1, clean=0, overwrite_a=1)
        if failed:
            raise np.linalg.LinAlgError("the kernel matrix is not positive definite")
        lower_NN: FloatArray = factor_NN
        return lower_NN


def _squares(a: Groups, b: Groups) -> FloatArray:
    """(K, N, M) squared distances in each group."""
    made = []
    for a_NF, b_MF in zip(a, b, strict=True):
        squared = (a_NF**2).sum(axis=1)[:, None] + (b_MF**2).sum(axis=1) - 2 * a_NF @ b_MF.T
        made.append(np.maximum(squared, 0.0))
    return np.stack(made)


def _line(a: Groups, b: Groups) -> FloatArray:
    product: FloatArray = 1.0 + a[-1] @ b[-1].T
    return product


def _matern(squared_NM: FloatArray, amplitude: float) -> tuple[FloatArray, FloatArray]:
    """The smooth part of the kernel, and its derivative in the weighted squared distance."""
    squared = 5.0 * squared_NM
    r = np.sqrt(squared)
    decay = np.exp(amplitude - r)
    return decay * (1.0 + r + squared / 3.0), -5.0 / 6.0 * decay * (1.0 + r)
