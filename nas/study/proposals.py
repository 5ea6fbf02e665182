"""Optuna in memory: rebuilt from records, asked in batches, told in order.

A batch's sampler is new and seeded by (seed, number of its first trial); everything else a sampler
knows it reads from the study. So a batch is a function of the finished trials before it, and
asking it again after a kill gives the same proposals.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC
from typing import Any

import numpy as np
import optuna
from optuna.distributions import distribution_to_json
from optuna.storages import InMemoryStorage
from optuna.storages.journal import BaseJournalBackend, JournalStorage
from optuna.trial import TrialState

from nas.proposing.history import History
from nas.proposing.prefilter import Prefiltered, asked_for
from nas.proposing.question import Question, Scores
from nas.samplers import build_sampler
from nas.study.journal import CREATE_TRIAL, STUDY_SYSTEM_ATTR, Record
from nas.study.problem import SearchProblem, StudySpec
from nas.study.trials import COMPLETE, FAILED, violations_of
from nas.study.verdicts import Verdict
from search_spaces.architecture import Architecture


class Proposals:
    """The study, as Optuna sees it.

    Args:
        problem: has the space and its free metrics.
        spec: names the sampler and its seed.
        records: the journal up to the last complete batch, its header included.
        scores: proxies of gene rows, for specs that name some.
    """

    def __init__(
        self,
        problem: SearchProblem,
        spec: StudySpec,
        records: Sequence[Record],
        scores: Scores | None = None,
    ) -> None:
        self._spec = spec
        self._history = History(_question(problem, spec, scores))
        self._storage = InMemoryStorage()
        self._json: dict[str, str] = {}
        with _quiet():
            self._study = _replay(records, self._storage)
        self._written = dict(self._system_attrs())

    def written(self, records: Iterable[Record]) -> None:
        """Take note of study attributes that the journal holds beyond what was replayed."""
        for record in records:
            if record["op_code"] == STUDY_SYSTEM_ATTR:
                self._written.update(record["system_attr"])

    def begin_batch(self, first: int) -> None:
        """From here on ask with the sampler of the batch that begins with trial ``first``."""
        seed = int(np.random.SeedSequence([self._spec.seed, first]).generate_state(1)[0])
        self._history.refresh(self._study)
        sampler = build_sampler(self._spec.sampler, self._spec.sampler_options, seed, self._history)
        if self._spec.prefilter is not None:
            proxy, size = self._spec.prefilter.proxy, self._spec.batch_size
            sampler = Prefiltered(sampler, self._history, proxy, size)
        self._study.sampler = sampler
        if len(self._storage.get_all_trials(0, deepcopy=False)) == first:
            for params in self._spec.tried_first[first : first + self._spec.batch_size]:
                self._study.enqueue_trial(dict(params))

    def ask(self) -> optuna.Trial:
        """The next trial, still without parameters."""
        return self._study.ask()

    def tell(
        self,
        trial: optuna.Trial,
        architecture: Architecture,
        repairs: Sequence[str],
        verdict: Verdict,
    ) -> list[Record]:
        """Finish ``trial``.

        Returns:
            The records that make it durable, its own last.
        """
        attrs = {
            "digest": architecture.digest(),
            "architecture": architecture.canonical_json(),
            "metrics": dict(verdict.metrics),
            "source": verdict.source,
            "paid": verdict.source != "none",
            "reason": verdict.reason,
            "seconds": round(verdict.seconds, 4),
            "repairs": list(repairs),
            **verdict.part(),
            **verdict.noted(),
        }
        self._finish(trial, attrs, verdict.violations, verdict.values)
        return [*self.changed_attrs(), self._record(trial._trial_id)]

    def adopt(self, trial: optuna.Trial, record: Record) -> None:
        """Finish ``trial`` as ``record`` says it was finished before."""
        values = record["values"] or ([] if record["value"] is None else [record["value"]])
        self._finish(trial, record["user_attrs"], violations_of(record), values)

    def same(self, trial: optuna.Trial, record: Record) -> bool:
        """Whether ``trial`` proposes what ``record`` says."""
        frozen = self._storage.get_trial(trial._trial_id)
        return bool(self._internal(frozen) == record["params"])

    def changed_attrs(self) -> list[Record]:
        """One record for each attribute of the study that the journal does not hold yet."""
        changed = {
            key: value
            for key, value in self._system_attrs().items()
            if self._written.get(key) != value
        }
        self._written.update(changed)
        return [
            {"op_code": STUDY_SYSTEM_ATTR, "study_id": 0, "system_attr": {key: value}}
            for key, value in changed.items()
        ]

    def _finish(
        self,
        trial: optuna.Trial,
        attrs: Mapping[str, Any],
        violations: Mapping[str, float],
        values: Sequence[float],
    ) -> None:
        for key, value in attrs.items():
            trial.set_user_attr(key, value)
        for name, violation in violations.items():
            trial.set_constraint(name, violation)
        if values:
            self._study.tell(trial, list(values))
        else:
            self._study.tell(trial, state=TrialState.FAIL)

    def _system_attrs(self) -> dict[str, Any]:
        attrs: dict[str, Any] = self._storage.get_study_system_attrs(self._study._study_id)
        return attrs

    def _internal(self, trial: optuna.trial.FrozenTrial) -> dict[str, float]:
        return {
            name: trial.distributions[name].to_internal_repr(value)
            for name, value in trial.params.items()
        }

    def _record(self, trial_id: int) -> Record:
        trial = self._storage.get_trial(trial_id)
        assert trial.datetime_start is not None
        assert trial.datetime_complete is not None
        for name, choices in trial.distributions.items():
            if name not in self._json:  # choices never change under one name
                self._json[name] = distribution_to_json(choices)
        values = list(trial.values) if trial.values is not None else []
        return {
            "op_code": CREATE_TRIAL,
            "study_id": 0,
            "state": COMPLETE if values else FAILED,
            "value": values[0] if len(values) == 1 else None,
            "values": values if len(values) > 1 else None,
            "datetime_start": _utc(trial.datetime_start),
            "datetime_complete": _utc(trial.datetime_complete),
            "distributions": {name: self._json[name] for name in trial.distributions},
            "params": self._internal(trial),
            "user_attrs": trial.user_attrs,
            "system_attrs": trial.system_attrs,
            "intermediate_values": {},
        }


def _question(problem: SearchProblem, spec: StudySpec, scores: Scores | None) -> Question:
    keep = 1.0 if spec.prefilter is None else spec.prefilter.keep
    return Question(
        space=problem.space,
        columns=problem.columns,
        objectives=spec.objectives,
        limits=spec.limits,
        box=spec.box,
        batch_size=asked_for(spec.batch_size, keep),
        scores=scores,
    )


class _Records(BaseJournalBackend):
    """Records in memory, for Optuna to read."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = list(records)

    def read_logs(self, log_number_from: int) -> list[Record]:
        return self._records[log_number_from:]

    def append_logs(self, logs: list[Record]) -> None:
        raise NotImplementedError("these records are only read")


def _replay(records: Sequence[Record], storage: InMemoryStorage) -> optuna.Study:
    source = JournalStorage(_Records(records))
    (frozen,) = source.get_all_studies()
    study_id = storage.create_new_study(frozen.directions, frozen.study_name)
    for key, value in frozen.system_attrs.items():
        storage.set_study_system_attr(study_id, key, value)
    for trial in source.get_all_trials(frozen._study_id, deepcopy=False):
        storage.create_new_trial(study_id, trial)
    return optuna.load_study(study_name=frozen.study_name, storage=storage)


def _utc(moment: Any) -> str:
    text: str = moment.astimezone(UTC).isoformat(timespec="microseconds")
    return text


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's notice of a new study on standard error."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
