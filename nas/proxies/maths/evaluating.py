"""Proxies as objectives: workers score fresh models beside, or instead of, inherited accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nas.evaluator import SupernetEvaluator, SupernetEvaluatorFactory
from nas.executors import Arrays, EvaluatorFactory
from nas.proxies.maths.columns import Sample, score_of
from nas.proxies.proxy import PROXIES, Score
from search_spaces.architecture import Architecture

ACCURACY = "accuracy"


@dataclass(frozen=True)
class ProxyEvaluatorFactory:
    """Builds evaluators that score architectures untrained.

    Attributes:
        inner: has the images, and the weights for accuracy.
        proxies: what is scored.
        accuracy: whether accuracy is wanted too.
        split: names the images.
    """

    inner: SupernetEvaluatorFactory
    proxies: tuple[str, ...]
    accuracy: bool
    split: str

    def shared(self) -> Arrays:
        """See ``EvaluatorFactory.shared``."""
        return self.inner.shared()

    def build(self, shared: Arrays) -> ProxyEvaluator:
        """See ``EvaluatorFactory.build``."""
        evaluator = self.inner.build(shared)
        sample = Sample.first_of(
            evaluator.images_NCHW, evaluator.labels_N, self.split, self.inner.num_classes
        )
        return ProxyEvaluator(evaluator if self.accuracy else None, self.proxies, sample)


class ProxyEvaluator:
    """Scores architectures, and evaluates them where accuracy is wanted.

    Args:
        inner: of accuracy; None: not wanted.
        proxies: names of scores.
        sample: what they look at.
    """

    def __init__(
        self, inner: SupernetEvaluator | None, proxies: Sequence[str], sample: Sample
    ) -> None:
        self._inner = inner
        self._proxies = proxies
        self._sample = sample

    def evaluate(self, architecture: Architecture) -> dict[str, float | str]:
        """The scores by name, accuracy first where it is wanted."""
        values: dict[str, float | str] = (
            {} if self._inner is None else self._inner.evaluate(architecture)
        )
        for name in self._proxies:
            proxy = PROXIES[name]
            assert isinstance(proxy, Score)
            values[name] = score_of(proxy, architecture, self._sample)
        return values


def with_proxies(
    factory: SupernetEvaluatorFactory, paid: Sequence[str], split: str
) -> EvaluatorFactory:
    """A factory of evaluators for these metrics.

    Args:
        factory: of accuracy.
        paid: the metrics that have to be paid for.
        split: names the images.
    """
    proxies = tuple(name for name in paid if name in PROXIES)
    if not proxies:
        return factory
    return ProxyEvaluatorFactory(factory, proxies, ACCURACY in paid, split)
