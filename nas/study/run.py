"""The search loop: ask a batch, settle it, tell it in order, make it durable."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nas.evaluation import EvaluationStore
from nas.executors import Executor
from nas.pareto import Box
from nas.study.first_look import FirstLook
from nas.study.interrupt import Stopper
from nas.study.journal import CREATE_TRIAL, Journal, Record
from nas.study.mirror import Mirror
from nas.study.opening import begin, split
from nas.study.problem import Budget, SearchProblem, StudySpec
from nas.study.trials import FinishedTrial, Progress, front_of, since_moved
from nas.study.verdicts import Judge

if TYPE_CHECKING:
    import optuna

    from nas.proposing.question import Scores
    from search_spaces.space import Suggestion

_log = logging.getLogger(__name__)

Stopped = Literal["trials", "minutes", "patience", "interrupted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResult:
    """What a study has found so far.

    Attributes:
        trials: all finished ones, in order, each with the hypervolume so far.
        front: the feasible non-dominated ones, each architecture once, by the first objective.
        resumed: how many of the trials were there before this start.
        stopped: what ended it: the trials of the budget, its minutes, its patience, or Ctrl-C.
        box: scale of the hypervolume.
        proposing_s: what proposing took in this start, s.
    """

    trials: tuple[FinishedTrial, ...]
    front: tuple[FinishedTrial, ...]
    resumed: int
    stopped: Stopped
    box: Box | None
    proposing_s: float = 0.0

    @property
    def hypervolume(self) -> float | None:
        """Of all trials."""
        return self.trials[-1].hypervolume if self.trials else None


def run_study(
    problem: SearchProblem,
    spec: StudySpec,
    *,
    executor: Callable[[], Executor],
    store: EvaluationStore,
    journal: Path,
    budget: Budget,
    on_trial: Callable[[FinishedTrial], None] | None = None,
    mirror: Mirror | None = None,
    first_look: FirstLook | None = None,
    scores: Scores | None = None,
) -> StudyResult:
    """Run, or go on with, the study in ``journal`` until ``budget`` is spent.

    Batches begin at multiples of ``spec.batch_size``; within one, trials are told and recorded by
    number, so that the order in which evaluations finish changes nothing. Failed evaluations are
    failed trials: they count, and the study goes on. Ctrl-C and the budget's minutes let what is
    in flight finish; finished values whose turn has not come are kept by ``store``.

    Args:
        problem: what is searched.
        spec: what for, and how.
        executor: opens the executor; called when the first evaluation has to be paid for, and
            what it opened is closed before this returns.
        store: asked before paying, told after.
        journal: the study's file.
        budget: trials in total, minutes of this start.
        on_trial: called with each new trial once it is durable.
        mirror: gets a copy of the journal's trials.
        first_look: spare hopeless candidates most of the images. Whether, and how many images, is
            to be part of the problem's identity.
        scores: proxies of gene rows, where the spec names some.

    Raises:
        UserError: the journal is of another study or in use, a sampler option cannot be used, the
            executor cannot start, a file cannot be written.
    """
    with ExitStack() as stack:
        file = stack.enter_context(Journal(journal))
        begin(file, problem, spec)
        if mirror is not None:
            stack.enter_context(mirror.follow(file.records))
        stopper = stack.enter_context(Stopper(budget.minutes))
        opened: list[Executor] = []

        def open_once() -> Executor:
            if not opened:
                opened.append(stack.enter_context(executor()))
            return opened[0]

        judge = Judge(problem, spec, store, open_once, first_look)
        driver = _Driver(problem, spec, file, judge, stopper, on_trial, scores)
        resumed = len(driver.trials)
        driver.run(budget)
        stopped: Stopped = "trials"
        if len(driver.trials) < budget.trials:
            stopped = "patience" if driver.stale(budget.patience) else "minutes"
        if stopper.interrupted and len(driver.trials) < budget.trials:
            stopped = "interrupted"
        return StudyResult(
            trials=tuple(driver.trials),
            front=front_of(driver.trials, spec.directions),
            resumed=resumed,
            stopped=stopped,
            box=driver.progress.box,
            proposing_s=driver.proposing_s,
        )


class _Driver:
    """Owns the study while it runs."""

    def __init__(
        self,
        problem: SearchProblem,
        spec: StudySpec,
        journal: Journal,
        judge: Judge,
        stopper: Stopper,
        on_trial: Callable[[FinishedTrial], None] | None,
        scores: Scores | None,
    ) -> None:
        self._problem = problem
        self._scores = scores
        self._spec = spec
        self._journal = journal
        self._judge = judge
        self._stopper = stopper
        self._on_trial = on_trial
        self.progress = Progress(spec.directions, spec.box)
        self.proposing_s = 0.0
        self.trials: list[FinishedTrial] = []
        for record in journal.records:
            if record["op_code"] == CREATE_TRIAL:
                self._add(record)

    def stale(self, patience: int | None) -> bool:
        """Whether the last complete batch left the hypervolume where it was ``patience`` ago."""
        size = self._spec.batch_size
        whole = self.trials[: len(self.trials) // size * size]
        return patience is not None and since_moved(whole) >= patience

    def run(self, budget: Budget) -> None:
        """Go on until ``budget`` is spent, or the stopper says stop."""
        trials = budget.trials
        if len(self.trials) >= trials or self.stale(budget.patience):
            return
        from nas.study.proposals import Proposals  # Optuna: a second that readers need not wait

        size = self._spec.batch_size
        replayed, rest = split(self._journal.records, size)
        self._proposals = Proposals(self._problem, self._spec, replayed, self._scores)
        self._proposals.written(rest)
        known = [record for record in rest if record["op_code"] == CREATE_TRIAL]
        while len(self.trials) < trials and not self._stopper() and not self.stale(budget.patience):
            first = len(self.trials) - len(known)
            self._batch(first, min(size, trials - first), known)
            self._journal.sync()
            known = []
            if len(self.trials) < min(first + size, trials) and not self._stopper():
                raise RuntimeError("the executor ended before its batch did")

    def _batch(self, first: int, count: int, known: list[Record]) -> None:
        asked = self._ask(first, count)
        if all(self._proposals.same(asked[i][0], known[i]) for i in range(len(known))):
            for (trial, _), record in zip(asked, known, strict=False):
                self._proposals.adopt(trial, record)
            asked = asked[len(known) :]
        else:
            asked = self._ask_anew(first, count, known)
        attrs = self._proposals.changed_attrs()
        if attrs:
            self._journal.append(attrs)
        architectures = [suggestion.architecture for _, suggestion in asked]
        front: tuple[FinishedTrial, ...] = ()
        if self._judge.looks_first:
            front = front_of(self.trials[:first], self._spec.directions)
        verdicts = self._judge.verdicts(architectures, self._stopper, front)
        for verdict, (trial, suggestion) in zip(verdicts, asked, strict=False):
            records = self._proposals.tell(
                trial, suggestion.architecture, suggestion.repairs, verdict
            )
            self._journal.append(records)
            finished = self._add(records[-1])
            if self._on_trial is not None:
                self._on_trial(finished)

    def _ask(self, first: int, count: int) -> list[tuple[optuna.Trial, Suggestion]]:
        began = time.perf_counter()
        self._proposals.begin_batch(first)
        made = []
        for _ in range(count):
            trial = self._proposals.ask()
            made.append((trial, self._problem.suggest(trial)))
        self.proposing_s += time.perf_counter() - began
        return made

    def _ask_anew(
        self, first: int, count: int, known: list[Record]
    ) -> list[tuple[optuna.Trial, Suggestion]]:
        """Keep trials that this version of the sampler would not have proposed."""
        from nas.study.proposals import Proposals

        _log.warning(
            "%s: trials %d to %d were proposed otherwise than they would be now (another version "
            "of a library?); they are kept, and the study goes on from them",
            self._journal.path,
            first,
            first + len(known) - 1,
        )
        self._proposals = Proposals(self._problem, self._spec, self._journal.records, self._scores)
        return self._ask(first, count - len(known))

    def _add(self, record: Record) -> FinishedTrial:
        trial = self.progress.add(FinishedTrial.from_record(len(self.trials), record))
        self.trials.append(trial)
        return trial
