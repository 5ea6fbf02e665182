"""Which model learns a paid metric, from which trials and features."""

from __future__ import annotations

from dataclasses import dataclass

from nas.proposing.answers import AnswerSurrogate
from nas.proposing.features import Features, Groups
from nas.proposing.gaussian_process import GaussianProcess
from nas.proposing.history import ENOUGH, History
from nas.proposing.proxy_features import ProxyFeatures
from nas.proposing.question import Columns
from nas.proposing.surrogate import Surrogate
from nas.runtimes.base import FloatArray
from search_spaces.automaton import IntArray

REFIT = 4  # a share of what is known is new before hyper-parameters are fitted again
ACCURACY = "accuracy"


@dataclass(frozen=True, eq=False)
class Model:
    """A surrogate with the features it knows."""

    features: Features | ProxyFeatures
    surrogate: Surrogate | AnswerSurrogate

    def costs(self, genes_BG: IntArray, columns: Columns, standard_S: FloatArray) -> FloatArray:
        """Costs of B rows, ``(B, S)``, this many standard deviations from the mean."""
        return self.surrogate.costs(self.features(genes_BG, columns), standard_S)


def model_of(
    history: History,
    known: IntArray,
    metric: int,
    columns: Columns,
    features: ProxyFeatures | None = None,
) -> Model:
    """The model of one paid metric: of accuracy one of all images' margins, where they are known.

    Args:
        history: of the study.
        known: trials to learn from.
        metric: place among the objectives.
        columns: free metrics of the known trials.
        features: those of the history by default.
    """
    answered = history.question.objectives[metric].name == ACCURACY and features is None
    places = history.answered(known) if answered else known[:0]
    if len(places):
        return _answers(history, known, places, metric, columns)
    used = features or history.features
    groups = used(history.genes_NG[known], columns)
    costs_N, first = history.costs_NM[known, metric], checkpoint(len(known))
    key = (metric, first, len(groups))
    if key not in history.shapes:
        history.shapes[key] = Surrogate(tuple(g[:first] for g in groups), costs_N[:first])
    return Model(used, Surrogate(groups, costs_N, history.shapes[key]))


def _answers(
    history: History, known: IntArray, places: IntArray, metric: int, columns: Columns
) -> Model:
    used, answered = history.gene_features, known[places]
    groups = tuple(g[places] for g in used(history.genes_NG[known], columns))
    costs_N, margins_NI = history.costs_NM[answered, metric], history.margins_of(answered)
    kernel = _kernel(history, groups, costs_N, margins_NI)
    return Model(used, AnswerSurrogate(groups, costs_N, margins_NI, kernel))


def _kernel(
    history: History, groups: Groups, costs_N: FloatArray, margins_NI: FloatArray
) -> GaussianProcess:
    """Fitted to the first trials, from where the fit to fewer of them ended.

    All that a study has come past are fitted where they are not known: a resumed one finds the
    same.
    """
    found = None
    for first in checkpoints(ENOUGH, len(costs_N)):
        if first not in history.kernels:
            known = tuple(group[:first] for group in groups)
            start = None if found is None else found.theta
            history.kernels[first] = AnswerSurrogate.shaped(
                known, costs_N[:first], margins_NI[:first], start
            )
        found = history.kernels[first]
    assert found is not None
    return found


def checkpoints(least: int, count: int) -> list[int]:
    """Those that a count of ``count`` has come past since it was ``least``."""
    reached = {checkpoint(passed) for passed in range(least, count + 1)}
    return sorted(reached)


def checkpoint(count: int) -> int:
    """The largest number not above ``count`` of a series that grows by a quarter from 4 on."""
    reached, following = 4, 5
    while following <= count:
        reached, following = following, following + -(-following // REFIT)
    return min(reached, count)
