"""The search problem of a run: what a study asks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from nas.evaluation import EvaluationKey
from nas.hardware.profile import HardwareProfile
from nas.limits import closed_form
from nas.objectives import OBJECTIVES
from nas.predictors.predictor import LatencyPredictor
from nas.run import Run
from nas.runtimes.base import FloatArray
from nas.version import code_version
from search_spaces.architecture import Architecture
from search_spaces.automaton import IntArray
from search_spaces.space import SearchSpace, Suggestion, Trial


class SupernetProblem:
    """Accuracy from the supernet's weights, latency from the predictor, the rest counted.

    Args:
        run: the run.
        profile: the hardware that is searched for.
        predictor: of that profile.
        weights: hash of the supernet's weights.
    """

    def __init__(
        self, run: Run, profile: HardwareProfile, predictor: LatencyPredictor, weights: str
    ) -> None:
        self.run = run
        self.profile = profile
        self.predictor = predictor
        self.weights = weights

    @property
    def space_digest(self) -> str:
        """Part of the study's name."""
        return self.run.space.digest()

    @property
    def identity(self) -> Mapping[str, Any]:
        """What makes this another study, beside the question itself."""
        text = json.dumps(self.predictor.data.to_dict(), sort_keys=True)
        return {
            "weights": self.weights,
            "split": self.run.dataset.digest,
            "profile": self.profile.key(),
            "predictor": hashlib.sha256(text.encode()).hexdigest()[:16],
        }

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Stored beside each evaluation."""
        return {"code_version": code_version(), "images": len(self.run.dataset.val)}

    @property
    def space(self) -> SearchSpace:
        """What the profile's runtime can run."""
        return self.run.offered

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
        costs = self.run.costs(genes_BG)
        columns = {
            "latency_ms": self.predictor.mean_ms(costs.features_BF),
            **closed_form(costs, self.profile.batch),
        }
        return columns | {o.name: o.derive(columns) for o in OBJECTIVES if o.derive is not None}

    def key(self, architecture: Architecture, metric: str) -> EvaluationKey:
        """Where the store keeps a paid metric."""
        return EvaluationKey(
            weights=self.weights,
            architecture=architecture.digest(),
            metric=metric,
            split=f"val:{self.run.dataset.digest}",
        )
