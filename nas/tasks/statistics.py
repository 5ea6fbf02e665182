"""How sure is an accuracy, and do two of them differ? Pure functions of counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the standard normal distribution."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval of a share."""

    low: float
    high: float


def wilson_interval(right: int, count: int, z: float = Z_95) -> Interval:
    """Wilson's score interval of a share (Wilson, JASA 22, 1927).

    Args:
        right: successes.
        count: trials.
        z: normal quantile; the default gives 95 %.

    Returns:
        Bounds in [0, 1], sensible at 0 and ``count`` successes too.

    Raises:
        ValueError: ``count`` is not positive, or ``right`` lies outside 0 to ``count``.
    """
    if count < 1 or not 0 <= right <= count:
        raise ValueError(f"{right} of {count} is no share")
    share = right / count
    spread = z * z / count
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / count + spread / (4 * count))
    low = 0.0 if right == 0 else max(0.0, centre - half)
    high = 1.0 if right == count else min(1.0, centre + half)
    return Interval(low, high)


def upper_of_all(right: int, count: int, total: int, risk: float = 0.001) -> float:
    """Upper bound of the share of a whole, from a part drawn from it without replacement.

    Exact: the largest share under which a part has no more successes than this one with a
    probability above ``risk`` (hypergeometric). Wilson's interval errs more often than it says
    near shares of 1, where accuracies are.

    Args:
        right: successes of the part.
        count: size of the part.
        total: size of the whole.
        risk: how often the bound may lie below the truth.

    Raises:
        ValueError: the part is empty or larger than the whole, or ``right`` lies outside it.
    """
    if not 1 <= count <= total or not 0 <= right <= count:
        raise ValueError(f"{right} of {count} of {total} is no share")
    low, high = right, right + total - count  # successes of the whole
    while low < high:
        middle = (low + high + 1) // 2
        if _at_most(right, count, middle, total) > risk:
            low = middle
        else:
            high = middle - 1
    return low / total


def _at_most(right: int, count: int, successes: int, total: int) -> float:
    """Probability that a part of ``count`` has at most ``right`` of the whole's successes."""
    log = _log_factorials(total)
    x = np.arange(max(0, count - (total - successes)), min(right, successes) + 1)

    def choose(n: int, k: IntArray | int) -> FloatArray:
        return np.asarray(log[n] - log[k] - log[n - k])

    logs = choose(successes, x) + choose(total - successes, count - x) - choose(total, count)
    return float(np.exp(logs).sum())


@cache
def _log_factorials(most: int) -> FloatArray:
    """log n! for n from 0 to ``most``."""
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, most + 1)))])


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided exact p-value of McNemar's test (McNemar, Psychometrika 12, 1947).

    Images that both or neither get right say nothing about a difference; among the others each is
    a fair coin if the two models are equally good.

    Args:
        only_first: images that the first model alone gets right.
        only_second: images that the second model alone gets right.

    Raises:
        ValueError: a count is negative.
    """
    if min(only_first, only_second) < 0:
        raise ValueError(f"counts must not be negative: {only_first}, {only_second}")
    discordant = only_first + only_second
    smaller = min(only_first, only_second)
    term, tail = 1, 1  # binomial coefficients as integers: exact at any count
    for index in range(smaller):
        term = term * (discordant - index) // (index + 1)
        tail += term
    # One integer division, rounded once: as floats both would overflow.
    return min(1.0, 2 * tail / (1 << discordant))


def tied(first: Sequence[bool], second: Sequence[bool], level: float = 0.05) -> bool:
    """Whether two models' accuracies on the same images do not differ significantly.

    Args:
        first: right or wrong, image by image.
        second: likewise, same images in the same order.
        level: significance level of McNemar's exact test.

    Raises:
        ValueError: the two do not speak of equally many images.
    """
    pairs = list(zip(first, second, strict=True))
    only_first = sum(bool(a) and not b for a, b in pairs)
    only_second = sum(bool(b) and not a for a, b in pairs)
    return mcnemar_exact(only_first, only_second) >= level
