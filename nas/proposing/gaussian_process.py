"""A Gaussian process over groups of features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from nas.proposing.features import Groups
from nas.runtimes.base import FloatArray

STEPS = 30
WEAKNESS = 1.5  # standard deviation of the prior on logarithms of hyper-parameters


@dataclass(frozen=True, eq=False)
class GaussianProcess:
    """Regression with the kernel ``s² M(Σ_k θ_k d_k²) + l² (1 + x·x') + noise``.

    M is the Matérn function with ν = 5/2 of the distances d_k in each group, x the last group. The
    hyper-parameters maximise the likelihood under a weak prior (Rasmussen and Williams 2006,
    eq. 4.17 and 5.8).

    Attributes:
        groups: features of the N known points.
        mean, scale: of the known values.
        theta: logarithms of θ_k, s², l² and the noise.
        factor: lower Cholesky factor of the kernel matrix, ``(N, N)``.
        weights: the inverse kernel matrix times the standardised values, ``(N,)``.
        evidence: log likelihood of the values, less what the prior takes away.
    """

    groups: Groups
    mean: float
    scale: float
    theta: FloatArray
    factor: FloatArray
    weights: FloatArray
    evidence: float

    @classmethod
    def fit(cls, groups: Groups, y_N: FloatArray) -> GaussianProcess:
        """Fit to the values ``y_N`` of points with these features."""
        mean, scale = float(y_N.mean()), float(y_N.std()) or 1.0
        known = _Known(_squares(groups, groups), _line(groups, groups), (y_N - mean) / scale)
        start = np.log([0.5] * len(groups) + [1.0, 0.4, 0.1])
        found = minimize(
            known.loss,
            start,
            args=(start,),
            jac=True,
            method="L-BFGS-B",
            bounds=[(value - 6.0, value + 6.0) for value in start],
            options={"maxiter": STEPS},
        )
        factor = known.factor(found.x)
        weights = cho_solve((factor, True), known.z_N)
        evidence = -float(found.fun) - len(y_N) * float(np.log(scale))
        return cls(groups, mean, scale, found.x, factor, weights, evidence)

    def predict(self, groups: Groups) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation of the values at B points, ``(B,)`` each."""
        smooth, _ = _matern(self.theta, _squares(groups, self.groups))
        line = np.exp(self.theta[-2])
        kernel_BN = smooth + line * _line(groups, self.groups)
        solved = solve_triangular(self.factor, kernel_BN.T, lower=True)
        own_B = np.exp(self.theta[-3]) + line * (1 + (groups[-1] ** 2).sum(axis=1))
        variance_B = own_B - (solved**2).sum(axis=0) + np.exp(self.theta[-1])
        mean_B = self.mean + self.scale * (kernel_BN @ self.weights)
        return mean_B, self.scale * np.sqrt(np.maximum(variance_B, 1e-10))


@dataclass(frozen=True, eq=False)
class _Known:
    """What the likelihood needs of the known points."""

    squares_KNN: FloatArray
    line_NN: FloatArray
    z_N: FloatArray

    def factor(self, theta: FloatArray) -> FloatArray:
        smooth, _ = _matern(theta, self.squares_KNN)
        kernel = smooth + np.exp(theta[-2]) * self.line_NN
        kernel[np.diag_indices_from(kernel)] += np.exp(theta[-1])
        lower: FloatArray = cholesky(kernel, lower=True)
        return lower

    def loss(self, theta: FloatArray, prior: FloatArray) -> tuple[float, FloatArray]:
        """Negative log posterior and its gradient."""
        smooth, slope = _matern(theta, self.squares_KNN)
        line = np.exp(theta[-2]) * self.line_NN
        kernel = smooth + line
        kernel[np.diag_indices_from(kernel)] += np.exp(theta[-1])
        factor = cholesky(kernel, lower=True)
        weights = cho_solve((factor, True), self.z_N)
        pull = (theta - prior) / WEAKNESS
        loss = 0.5 * self.z_N @ weights + np.log(np.diag(factor)).sum() + 0.5 * (pull**2).sum()
        inner = cho_solve((factor, True), np.eye(len(self.z_N))) - np.outer(weights, weights)
        parts = [np.exp(t) * slope * d for t, d in zip(theta, self.squares_KNN, strict=False)]
        gradient = [0.5 * (inner * part).sum() for part in (*parts, smooth, line)]
        gradient.append(0.5 * np.exp(theta[-1]) * np.trace(inner))
        return float(loss), np.array(gradient) + pull / WEAKNESS


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


def _matern(theta: FloatArray, squares_KNM: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The smooth part of the kernel, and its derivative in the weighted squared distance."""
    squared = 5.0 * np.tensordot(np.exp(theta[:-3]), squares_KNM, axes=1)
    r, amplitude = np.sqrt(squared), np.exp(theta[-3])
    decay = amplitude * np.exp(-r)
    return decay * (1.0 + r + squared / 3.0), -5.0 / 6.0 * decay * (1.0 + r)
