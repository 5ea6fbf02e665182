"""A Gaussian process over groups of features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
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
    def fit(
        cls, groups: Groups, y_N: FloatArray, start: FloatArray | None = None
    ) -> GaussianProcess:
        """Fit to the values ``y_N`` of points with these features.

        Args:
            groups: of N points.
            y_N: their values.
            start: hyper-parameters to begin with; the prior's centre by default.
        """
        known, mean, scale = _Known.of(groups, y_N)
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
        evidence = -float(found.fun) - len(y_N) * float(np.log(scale))
        return cls(groups, mean, scale, found.x, *known.solved(found.x), evidence)

    def told(self, groups: Groups, y_N: FloatArray) -> GaussianProcess:
        """With the same hyper-parameters and evidence, from these points."""
        known, mean, scale = _Known.of(groups, y_N)
        solved = known.solved(self.theta)
        return GaussianProcess(groups, mean, scale, self.theta, *solved, self.evidence)

    def predict(self, groups: Groups) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation of the values at B points, ``(B,)`` each."""
        squared_BN = _squares((self._weighted(groups),), (self._weighted(self.groups),))[0]
        smooth, _ = _matern(squared_BN, self.theta[-3])
        line = np.exp(self.theta[-2])
        kernel_BN = smooth + line * _line(groups, self.groups)
        solved = solve_triangular(self.factor, kernel_BN.T, lower=True, check_finite=False)
        own_B = np.exp(self.theta[-3]) + line * (1 + (groups[-1] ** 2).sum(axis=1))
        variance_B = own_B - (solved**2).sum(axis=0) + np.exp(self.theta[-1])
        mean_B = self.mean + self.scale * (kernel_BN @ self.weights)
        return mean_B, self.scale * np.sqrt(np.maximum(variance_B, 1e-10))

    def _weighted(self, groups: Groups) -> FloatArray:
        """All features at once, so that their distances are the weighted sum over groups."""
        scaled = [np.exp(t / 2) * g for t, g in zip(self.theta, groups, strict=False)]
        return np.concatenate(scaled, axis=1)


@dataclass(frozen=True, eq=False)
class _Known:
    """What the likelihood needs of the known points."""

    squares_KNN: FloatArray
    line_NN: FloatArray
    z_N: FloatArray

    @classmethod
    def of(cls, groups: Groups, y_N: FloatArray) -> tuple[_Known, float, float]:
        """Values standardised, with their mean and scale."""
        mean, scale = float(y_N.mean()), float(y_N.std()) or 1.0
        known = cls(_squares(groups, groups), _line(groups, groups), (y_N - mean) / scale)
        return known, mean, scale

    def solved(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Lower Cholesky factor of the kernel matrix, and its inverse times the values."""
        factor = cholesky(self._kernel(theta)[0], lower=True, check_finite=False)
        return factor, cho_solve((factor, True), self.z_N, check_finite=False)

    def loss(self, theta: FloatArray, prior: FloatArray) -> tuple[float, FloatArray]:
        """Negative log posterior and its gradient."""
        kernel, smooth, slope = self._kernel(theta)
        factor = cholesky(kernel, lower=True, check_finite=False)
        weights = cho_solve((factor, True), self.z_N, check_finite=False)
        pull = (theta - prior) / WEAKNESS
        loss = 0.5 * self.z_N @ weights + np.log(np.diag(factor)).sum() + 0.5 * (pull**2).sum()
        inner = _inverse(factor) - np.outer(weights, weights)
        flat = self.squares_KNN.reshape(len(self.squares_KNN), -1)
        gradient = list(np.exp(theta[:-3]) * (flat @ (inner * slope).ravel()))
        gradient.append(np.vdot(inner, smooth))
        gradient.append(np.exp(theta[-2]) * np.vdot(inner, self.line_NN))
        gradient.append(np.exp(theta[-1]) * np.trace(inner))
        return float(loss), 0.5 * np.array(gradient) + pull / WEAKNESS

    def _kernel(self, theta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The kernel matrix, its smooth part, and that part's slope."""
        flat = np.exp(theta[:-3]) @ self.squares_KNN.reshape(len(self.squares_KNN), -1)
        squared = flat.reshape(self.line_NN.shape)
        smooth, slope = _matern(squared, theta[-3])
        kernel = smooth + np.exp(theta[-2]) * self.line_NN
        kernel[np.diag_indices_from(kernel)] += np.exp(theta[-1])
        return kernel, smooth, slope


def _inverse(factor: FloatArray) -> FloatArray:
    """Of the matrix whose lower Cholesky factor this is, as a triangle: what is above its diagonal
    is added to what is below, which makes no difference to products with symmetric matrices."""
    triangle, _ = dpotri(factor, lower=1)
    triangle *= 2.0
    triangle[np.diag_indices_from(triangle)] /= 2.0
    lower: FloatArray = triangle
    return lower


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
