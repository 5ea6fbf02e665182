"""The study: proposals by Optuna, evaluated by an executor, durable in a journal."""

from nas.study.first_look import FirstLook, saved_images
from nas.study.problem import Budget, Prefilter, SearchProblem, StudySpec
from nas.study.reading import StudyRecord, count_trials, read_study
from nas.study.run import StudyResult, run_study
from nas.study.trials import FinishedTrial, front_of, nearest_misses

__all__ = [
    "Budget",
    "FinishedTrial",
    "FirstLook",
    "Prefilter",
    "SearchProblem",
    "StudyRecord",
    "StudyResult",
    "StudySpec",
    "count_trials",
    "front_of",
    "nearest_misses",
    "read_study",
    "run_study",
    "saved_images",
]
