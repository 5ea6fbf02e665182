"""The search problem of a run: what a study asks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from nas.evaluation import EvaluationKey
from nas.evaluator import FIRST_SEED
from nas.hardware.profile import HardwareProfile
from nas.limits import closed_form
from nas.objectives import OBJECTIVES, Limit
from nas.predictors.predictor import LatencyPredictor
from nas.proxies import PROXIES
from nas.proxies.maths.columns import proxy_key
from nas.run import Run
from nas.runtimes.base import FloatArray
from nas.version import code_version
from search_spaces.architecture import Architecture
from search_spaces.automaton import IntArray
from search_spaces.errors import UserError
from search_spaces.space import SearchSpace, Suggestion, Trial
from supernet.costs import TORCH_EAGER

FIRST_METRIC = "accuracy"


class SupernetProblem:
    """Accuracy from the supernet's weights, latency from the predictor, the rest counted.

    Args:
        run: the run.
        profile: the hardware that is searched for.
        predictor: of that profile.
        weights: hash of the supernet's weights.
        limits: those with a confidence make their metric's quantile a free metric.
    """

    def __init__(
        self,
        run: Run,
        profile: HardwareProfile,
        predictor: LatencyPredictor,
        weights: str,
        limits: Sequence[Limit] = (),
    ) -> None:
        self.run = run
        self.profile = profile
        self.predictor = predictor
        self.weights = weights
        self.first_look = first_look_of(run)
        self._factors = quantile_factors(predictor, limits)

    @property
    def space_digest(self) -> str:
        """Part of the study's name."""
        return self.run.space.digest()

    @property
    def identity(self) -> Mapping[str, Any]:
        """What makes this another study, beside the question itself."""
        text = json.dumps(self.predictor.data.to_dict(), sort_keys=True)
        identity = {
            "weights": self.weights,
            "split": self.run.dataset.digest,
            "profile": self.profile.key(),
            "predictor": hashlib.sha256(text.encode()).hexdigest()[:16],
        }
        if self.run.costs.liveness.runtime != TORCH_EAGER.runtime:
            identity["memory"] = self.run.costs.liveness.identity
        if self.first_look:
            identity["first_look"] = f"{self.first_look} of {len(self.run.dataset.val)} images"
        return identity

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Stored beside each evaluation."""
        return {"code_version": code_version(), "images": len(self.run.dataset.val)}

    @property
    def space(self) -> SearchSpace:
        """What the profile's runtime can run."""
        return self.run.offered

    @property
    def split(self) -> str:
        """Names the validation images."""
        return f"val:{self.run.dataset.digest}"

    def suggest(self, trial: Trial) -> Suggestion:
        """The architecture a trial proposes."""
        return self.run.offered.suggest(trial)

    def free(self, architectures: Sequence[Architecture]) -> list[dict[str, float]]:
        """Predicted latency and closed-form memory, parameters and MACs of a batch."""
        columns = self.columns(self.run.genes(architectures))
        return [
            {name: float(values[i]) for name, values in columns.items()}
            for i in range(len(architectures))
        ]

    def columns(self, genes_BG: IntArray) -> dict[str, FloatArray]:
        """The same for gene rows, as columns ``(B,)`` by name."""
        costs = self.run.costs.legal(genes_BG)
        latency_ms_B = self.predictor.mean_ms(costs.features_BF)
        columns = {
            "latency_ms": latency_ms_B,
            **closed_form(costs, self.profile.batch),
            **{name: latency_ms_B * factor for name, factor in self._factors.items()},
        }
        known = columns | {"batch": self.profile.batch}
        return columns | {o.name: o.derive(known) for o in OBJECTIVES if o.derive is not None}

    def key(self, architecture: Architecture, metric: str) -> EvaluationKey:
        """Where the store keeps a paid metric; a proxy is kept apart from any weights."""
        if metric in PROXIES:
            return proxy_key(architecture, metric, self.split)
        return EvaluationKey(
            weights=self.weights,
            architecture=architecture.digest(),
            metric=metric,
            split=self.split,
        )

    def first_key(self, architecture: Architecture) -> EvaluationKey:
        """Where the store keeps the accuracy of a first look: its split says which images."""
        whole = self.key(architecture, FIRST_METRIC)
        return replace(whole, split=f"{whole.split}:first{self.first_look}-seed{FIRST_SEED}")


def first_look_of(run: Run) -> int:
    """Images of a first look; 0 where the validation split is too small for one to spare much."""
    images = run.config.search.first_look or 0
    return images if len(run.dataset.val) >= 2 * images else 0


def quantile_factors(predictor: LatencyPredictor, limits: Sequence[Limit]) -> dict[str, float]:
    """What the expected latency is multiplied by for each quantile that a limit asks for.

    Raises:
        UserError: too few measurements for a confidence.
    """
    factors = {}
    for limit in limits:
        if limit.confidence is None:
            continue
        try:
            factors[limit.metric] = predictor.quantile_factor(limit.quantile)
        except UserError as error:
            raise UserError(f"constraints.{limit.objective.name}.{error}") from error
    return factors
