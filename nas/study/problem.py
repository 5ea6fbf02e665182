"""What a study is given: the problem, the question, the budget."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from nas.evaluation import EvaluationKey
from nas.objectives import Limit, Objective, describe_limits
from nas.pareto import Box, Direction
from nas.proxies import PROXIES
from nas.runtimes.base import FloatArray
from nas.samplers import SAMPLERS, read_options
from search_spaces.architecture import Architecture
from search_spaces.automaton import IntArray
from search_spaces.errors import UserError, bad_value, unknown_name
from search_spaces.space import SearchSpace, Suggestion, Trial


class SearchProblem(Protocol):
    """What the study asks of its caller. It never sees images, weights or devices.

    Attributes:
        space_digest: digest of the search space; part of the study's name.
        identity: whatever else makes this another study (weights hash, split, profile …), as JSON
            values by name. A journal of another identity is refused.
        provenance: stored with each evaluation (code version …), as JSON values.
        space: what may be proposed.
    """

    @property
    def space_digest(self) -> str: ...
    @property
    def identity(self) -> Mapping[str, Any]: ...
    @property
    def provenance(self) -> Mapping[str, Any]: ...
    @property
    def space(self) -> SearchSpace: ...

    def suggest(self, trial: Trial) -> Suggestion:
        """The architecture that ``trial`` proposes, under names and choices that never change."""
        ...

    def free(self, architectures: Sequence[Architecture]) -> Sequence[Mapping[str, float]]:
        """The free metrics of each, in their own units; a batch at once."""
        ...

    def columns(self, genes_BG: IntArray) -> Mapping[str, FloatArray]:
        """The same for legal gene rows, as columns ``(B,)`` by name."""
        ...

    def key(self, architecture: Architecture, metric: str) -> EvaluationKey:
        """Where the evaluation store keeps a paid metric of ``architecture``."""
        ...


@dataclass(frozen=True, slots=True)
class Prefilter:
    """Which proposals are dropped because of what an untrained network says.

    Attributes:
        proxy: registered name.
        keep: share of the proposals that are kept, those it likes best.

    Raises:
        UserError: there is no such proxy, or the share is none.
    """

    proxy: str
    keep: float = 0.5

    def __post_init__(self) -> None:
        if self.proxy not in PROXIES:
            raise unknown_name("search.prefilter.proxy", self.proxy, PROXIES.names())
        if not 0 < self.keep <= 1:
            raise bad_value("search.prefilter.keep", self.keep, "a share above 0, to 1")


@dataclass(frozen=True, kw_only=True)
class StudySpec:
    """The question. All of it is identity: a journal of another one is refused.

    Attributes:
        objectives: one or more, each once.
        limits: hard limits, at most one at each end of a metric; it may be an objective too.
        sampler: registered name.
        sampler_options: over that sampler's defaults.
        seed: of all proposals.
        batch_size: proposals made at once. Independent of the executor, so that results are too.
        box: fixed scale of the hypervolume; None: around the first feasible trials.
        tried_first: parameters by name of known architectures that open the study.
        prefilter: drops proposals before they are paid for; None: nothing is dropped.

    Raises:
        UserError: a field cannot be used.
    """

    objectives: tuple[Objective, ...]
    limits: tuple[Limit, ...] = ()
    sampler: str = "nsga2"
    sampler_options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    batch_size: int = 20
    box: Box | None = None
    tried_first: tuple[Mapping[str, Any], ...] = ()
    prefilter: Prefilter | None = None

    def __post_init__(self) -> None:
        if not self.objectives:
            raise bad_value("search.objectives", [], "one metric or more")
        for name, given in (
            ("search.objectives", [(objective.name, "") for objective in self.objectives]),
            ("constraints", [(limit.objective.name, limit.side) for limit in self.limits]),
        ):
            for (metric, _), count in Counter(given).items():
                if count > 1:
                    raise UserError(f"{name}: {metric!r} is given twice")
        if self.batch_size < 1:
            raise bad_value("search.batch_size", self.batch_size, "1 or more")
        if self.seed < 0:
            raise bad_value("seed", self.seed, "0 or more")
        read_options(SAMPLERS[self.sampler].options, self.sampler_options)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Of the objectives."""
        return tuple(objective.direction for objective in self.objectives)

    @property
    def metrics(self) -> tuple[Objective, ...]:
        """Objectives, then limited metrics that are none."""
        limited = [limit.objective for limit in self.limits]
        return tuple(dict.fromkeys([*self.objectives, *limited]))

    def identity(self) -> dict[str, Any]:
        """As JSON values by name."""
        return {
            "objectives": [f"{o.direction} {o.name}" for o in self.objectives],
            "constraints": describe_limits(self.limits),
            "sampler": self.sampler,
            "sampler_options": dict(self.sampler_options),
            "seed": self.seed,
            "batch_size": self.batch_size,
            **({} if self.prefilter is None else {"prefilter": asdict(self.prefilter)}),
        }


@dataclass(frozen=True, kw_only=True)
class Budget:
    """When to stop, whichever comes first. A larger one continues the same study.

    Attributes:
        trials: finished trials in total, those of earlier starts and failed ones included.
        minutes: time of this start, min; what is in flight is finished after it. None: no limit.
        patience: stop after a batch if the hypervolume has not moved for so many trials. None: go
            on.

    Raises:
        UserError: a field is not positive.
    """

    trials: int
    minutes: float | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise bad_value("search.trials", self.trials, "1 or more")
        if self.minutes is not None and not (self.minutes > 0 and math.isfinite(self.minutes)):
            raise bad_value("search.minutes", self.minutes, "a time above 0, or null")
        if self.patience is not None and self.patience < 1:
            raise bad_value("search.patience", self.patience, "1 or more, or null")
