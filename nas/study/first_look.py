"""A first look at a part of the images spares hopeless candidates the rest.

A candidate is looked at in full unless an upper bound of its accuracy, from the first part alone,
lies below the accuracy of a front member, fully evaluated, that costs no more in any free
objective: then it is dominated for good. The front is that of the batch's beginning, so that a
resumed study decides as the undisturbed one did.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nas.evaluation import EvaluationKey
from nas.objectives import Objective
from nas.pareto import Floats, to_costs
from nas.study.trials import FinishedTrial
from nas.tasks.statistics import upper_of_all
from search_spaces.architecture import Architecture

RISK = 0.001
"""How often an upper bound may lie below the truth."""


@dataclass(frozen=True, kw_only=True)
class FirstLook:
    """How candidates are first looked at.

    Attributes:
        metric: the one paid metric: a share of images, larger is better.
        images: of the first part, the same for all candidates.
        total: of the whole split.
        key: where the evaluation store keeps the metric of the first part.
    """

    metric: str
    images: int
    total: int
    key: Callable[[Architecture], EvaluationKey]

    def most(self, share: float) -> float:
        """What the share of all images can be, by one in a thousand, given that of the first part.

        See ``upper_of_all``.
        """
        return upper_of_all(round(share * self.images), self.images, self.total, RISK)

    def whole(self, first: float, rest: float) -> float:
        """The share of all images from those of the two parts."""
        return (round(first * self.images) + round(rest * (self.total - self.images))) / self.total

    def usable(self, objectives: Sequence[Objective], paid: Sequence[Objective]) -> bool:
        """Whether the metric is all that is paid for, and is searched for."""
        return [m.name for m in paid] == [self.metric] and any(
            o.name == self.metric and o.direction == "max" for o in objectives
        )


class Hurdle:
    """What a candidate has to reach so as not to be dominated.

    Args:
        front: feasible non-dominated trials, evaluated in full.
        objectives: all of them.
        metric: the paid one.
    """

    def __init__(
        self, front: Sequence[FinishedTrial], objectives: Sequence[Objective], metric: str
    ) -> None:
        self._free = [o for o in objectives if o.name != metric]
        self._paid_N = np.array([trial.metrics[metric] for trial in front], dtype=np.float64)
        self._costs_NM = self._costs([trial.metrics for trial in front])

    def height(self, free: Mapping[str, float]) -> float:
        """The best of the members that cost no more; −inf where there is none."""
        below_N = (self._costs_NM <= self._costs([free])).all(axis=1)
        return float(self._paid_N[below_N].max(initial=-math.inf))

    def _costs(self, metrics: Sequence[Mapping[str, float]]) -> Floats:
        if not self._free:
            return np.zeros((len(metrics), 0))
        rows = [[values[o.name] for o in self._free] for values in metrics]
        return to_costs(rows, [o.direction for o in self._free])


def saved_images(trials: Sequence[FinishedTrial], total: int) -> tuple[int, int]:
    """(images that candidates were spared, images that full looks at them would have taken).

    Args:
        trials: of a study; what the store knew before is not counted.
        total: images of the whole split.
    """
    paid = [trial for trial in trials if trial.source == "evaluated"]
    whole = {trial.digest for trial in paid if not trial.images}
    parts = {trial.digest: trial.images for trial in paid if trial.images}
    spared = sum(total - images for digest, images in parts.items() if digest not in whole)
    return spared, len(whole | parts.keys()) * total
