"""Which genes matter: the share of a metric's variation that each gene explains alone.

Closed form, so that it is exact for 20,000 trials and keeps up with a search; fANOVA took ten
seconds for 400. What genes bring only together is not in it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nas.dashboard.reading.journal import TrialLog

MIN_TRIALS = 20
MAX_GENES = 500


def metric_of(log: TrialLog, metric: str) -> NDArray[np.float64]:
    """(N,) a metric of every trial, NaN where it is not known."""
    nan = float("nan")
    return np.array(
        [t.metrics.get(metric, nan) if t.state == "complete" else nan for t in log.trials]
    )


def gene_choices(log: TrialLog, gene: str) -> tuple[list[str], NDArray[np.int64]]:
    """Labels of a gene's choices, and each trial's choice, -1 where it had none."""
    labels = log.choices.get(gene, [])
    return labels, np.array(
        [c if 0 <= (c := row.get(gene, -1)) < len(labels) else -1 for row in log.genes],
        dtype=np.int64,
    )


def gene_importance(log: TrialLog, metric: str) -> dict[str, float]:
    """Explained share of each gene (epsilon squared, Kelley 1935): 1 - MS_within / MS_total.

    Returns:
        Shares of at least 0, greatest first; {} where there are too few trials.
    """
    value_N = metric_of(log, metric)
    there_N = np.isfinite(value_N)
    if int(there_N.sum()) < MIN_TRIALS or float(np.ptp(value_N[there_N])) == 0.0:
        return {}
    made = {}
    for gene in list(log.choices)[:MAX_GENES]:
        labels, choice_N = gene_choices(log, gene)
        known_N = there_N & (choice_N >= 0)
        if int(known_N.sum()) >= MIN_TRIALS:
            share = explained(choice_N[known_N], value_N[known_N], len(labels))
            if share is not None:
                made[gene] = share
    return dict(sorted(made.items(), key=lambda pair: -pair[1]))


def explained(
    choice_N: NDArray[np.int64], value_N: NDArray[np.float64], count: int
) -> float | None:
    """Epsilon squared of one gene; None where it has one choice only."""
    taken_C = np.bincount(choice_N, minlength=count)
    groups = int((taken_C > 0).sum())
    total = float(((value_N - value_N.mean()) ** 2).sum())
    if groups < 2 or len(value_N) <= groups or total == 0.0:
        return None
    sums_C = np.bincount(choice_N, weights=value_N - value_N.mean(), minlength=count)
    between = float((sums_C**2 / np.maximum(taken_C, 1)).sum())
    within = max(total - between, 0.0)
    return max(0.0, 1 - within / (len(value_N) - groups) * (len(value_N) - 1) / total)
