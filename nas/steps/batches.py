"""How many candidates are proposed at once."""

from __future__ import annotations

import numpy as np

from nas.run import Run

FEW, SOME = 6, 12
SHORT_MACS = 1e9
"""An evaluation of fewer multiply-adds takes no longer than proposing does, were models fitted as
often as where evaluations take long (benchmarks/RESULTS.md)."""
ROWS = 256


def proposed_at_once(run: Run) -> int:
    """What was asked for; else few, or more where evaluations are short.

    A function of the space and the number of images, never of a time: a search that goes on
    elsewhere proposes the same.
    """
    asked = run.config.search.batch_size
    return asked if asked is not None else FEW if evaluation_macs(run) >= SHORT_MACS else SOME


def evaluation_macs(run: Run) -> float:
    """Multiply-adds of an evaluation, in the mean over the space."""
    genes = run.space.sample_genes(np.random.default_rng(0), ROWS)
    return float(run.costs(genes).macs_B.mean()) * len(run.dataset.val)
