"""What a search says: how long it may take, how far it is, what it found."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median

from nas.display import Display, duration
from nas.evaluation import EvaluationStore
from nas.hardware.machine import usable_cores
from nas.objectives import Limit
from nas.run import Run
from nas.steps.batches import evaluation_macs, proposed_at_once
from nas.study import (
    FinishedTrial,
    FirstLook,
    StudyResult,
    count_trials,
    nearest_misses,
    saved_images,
)
from search_spaces.errors import UserError

MACS_PER_SECOND = 20e9
OVERHEAD_S = 0.02
FEW = 20  # evaluations before their times say more than a count of multiply-adds


def announce_search(run: Run, store: EvaluationStore, weights: str, display: Display) -> None:
    """What is searched for, and about how long that takes."""
    search = run.config.search
    left = max(search.trials - count_trials(run.folder.study), 0)
    line = f"{search.trials} trials with {run.config.sampler.name} on {run.config.executor.name}"
    if left:
        workers = run.config.executor.workers or usable_cores()
        if run.config.executor.name == "in_process":
            workers = 1
        seconds = left * _seconds_each(run, store, weights) / workers
        if search.minutes is not None:
            seconds = min(seconds, 60 * search.minutes)
        line += f": about {duration(max(seconds, 1))} once workers have started"
    display.line(line)
    display.line(f"for {run.profile.key()}")


def _seconds_each(run: Run, store: EvaluationStore, weights: str) -> float:
    """Of one evaluation: as those before took, or by its multiply-adds."""
    split = f"val:{run.dataset.digest}"
    known = [
        float(evaluation.provenance["seconds"])
        for key, evaluation in store.items()
        if (key.weights, key.split) == (weights, split) and "seconds" in evaluation.provenance
    ]
    if len(known) >= FEW:
        return median(known)
    return evaluation_macs(run) / MACS_PER_SECOND + OVERHEAD_S


@contextmanager
def watched(run: Run, display: Display) -> Iterator[Callable[[FinishedTrial], None]]:
    """A bar over the trials; where none is drawn, one line after the first batch.

    Timed from the first trial to the same place of the next batch: without the workers' start, but
    with the time that proposing a batch takes.
    """
    search, at_once = run.config.search, proposed_at_once(run)
    first, began = count_trials(run.folder.study), 0.0
    with display.bar("search", search.trials, "trials", done=first) as bar:

        def on_trial(trial: FinishedTrial) -> None:
            nonlocal began
            value = trial.hypervolume
            bar.at(trial.number + 1, "" if value is None else f"hypervolume {value:.4f}")
            done = trial.number + 1 - first
            left = search.trials - trial.number - 1
            if done == 1:
                began = time.monotonic()
            if done == at_once + 1 and left and not display.draws:
                seconds = (time.monotonic() - began) / at_once * left
                if search.minutes is not None:
                    seconds = min(seconds, 60 * search.minutes)
                display.line(f"about {duration(max(seconds, 1))} left, as the first batch went")

        yield on_trial


def report_search(
    run: Run,
    result: StudyResult,
    limits: Sequence[Limit],
    first_look: FirstLook | None,
    display: Display,
) -> None:
    """What came of it.

    Raises:
        UserError: no trial met the limits.
        KeyboardInterrupt: the search was interrupted.
    """
    failed = sum(trial.state == "failed" for trial in result.trials)
    again = f", {result.resumed} of them from before" if result.resumed else ""
    value = "" if result.hypervolume is None else f", hypervolume {result.hypervolume:.4f}"
    display.line(
        f"{len(result.trials)} trials{again}, {failed} failed, "
        f"{len(result.front)} on the front{value}"
    )
    paid_s = sum(trial.seconds for trial in result.trials[result.resumed :])
    if paid_s > 0:
        display.line(
            f"proposing took {result.proposing_s:.1f} s beside {paid_s:.1f} s of evaluations "
            f"({result.proposing_s / paid_s:.0%})"
        )
    if first_look is not None:
        spared, total = saved_images(result.trials, first_look.total)
        share = f" ({spared / total:.0%})" if total else ""
        display.line(
            f"first looks at {first_look.images:,} of {first_look.total:,} images spared "
            f"{spared:,} of {total:,} images{share}"
        )
    if result.stopped == "patience":
        display.line(
            f"the hypervolume has not moved for {run.config.search.patience} trials; "
            "search.patience=null goes on"
        )
    if result.stopped == "interrupted":
        raise KeyboardInterrupt
    if not result.front:
        missed = "; ".join(nearest_misses(result.trials, limits))
        raise UserError(
            "search: no trial met the limits; give it more trials (search.trials) or wider limits"
            + (f" ({missed})" if missed else "")
        )
